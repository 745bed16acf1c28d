"""Mounts with a local cache that others made, for the tables of cachefs.py: each is run where its command
is installed."""

import contextlib
import dataclasses
import os
import shutil
import subprocess
import time
from typing import Callable


@dataclasses.dataclass
class Peer:
    """`prepared(bench)` is a context that gives a function; that one is a context that mounts the store
    with an empty cache and gives the mountpoint, on which the store's paths are found."""

    name: str
    command: str
    advice: str
    prepared: Callable


def _wait_until_mounted(mount):
    for _ in range(200):
        if os.path.ismount(mount):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{mount} is not mounted after 10 s")


@contextlib.contextmanager
def _rclone(bench):
    """The store through rclone's mount with its cache of whole files."""
    mount, cache = bench.work / "rclone", bench.work / "rclone-cache"
    mount.mkdir()

    @contextlib.contextmanager
    def fresh():
        with open(bench.work / "rclone.log", "a", encoding="utf-8") as log:
            daemon = subprocess.Popen(["rclone", "mount", str(bench.store), str(mount), "--read-only",
                                       "--vfs-cache-mode", "full", "--cache-dir", str(cache)],
                                      stdout=log, stderr=log)
        try:
            _wait_until_mounted(mount)
            yield mount
        finally:
            subprocess.run(["fusermount3", "-u", "-z", str(mount)], check=False)
            daemon.wait()
            shutil.rmtree(cache, ignore_errors=True)

    yield fresh


@contextlib.contextmanager
def _juicefs(bench):
    """A volume of JuiceFS with its metadata in SQLite and its objects in files, into which the store is
    copied, as it can show nothing but what was written to it."""
    mount, cache, database = bench.work / "juicefs", bench.work / "juicefs-cache", bench.work / "juicefs.db"
    mount.mkdir()
    volume = f"sqlite3://{database}"
    bench.run("juicefs", "format", "--storage", "file", "--bucket", f"{bench.work}/juicefs-objects/", volume, "bench")

    @contextlib.contextmanager
    def mounted(*options):
        with open(bench.work / "juicefs.log", "a", encoding="utf-8") as log:
            daemon = subprocess.Popen(["juicefs", "mount", "--no-usage-report", "--cache-dir", str(cache),
                                       *options, volume, str(mount)], stdout=log, stderr=log)
        try:
            _wait_until_mounted(mount)
            yield mount
        finally:
            bench.run("juicefs", "umount", mount)
            daemon.wait()
            shutil.rmtree(cache, ignore_errors=True)

    with mounted():
        bench.run("cp", "-r", f"{bench.store}/.", mount)
    yield lambda: mounted("--read-only", "--cache-size", "65536")


PEERS = [Peer("rclone 'full'", "rclone", "Debian: rclone", _rclone),
         Peer("JuiceFS", "juicefs", "https://juicefs.com, a single program", _juicefs)]
