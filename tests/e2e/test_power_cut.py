"""The power fails at any moment: what was acknowledged is there, and nothing that is half is taken for
whole (power_cut.py).

PENSTOCK_POWER_CUTS=100 makes a campaign of it; PENSTOCK_SEED repeats the choices of a run.
"""

import json
import os
import random
import signal
import subprocess
import threading
import time

from ingesting import leftovers, make_frames, write_mib
from mount_store import BLOCK, master
from mounting import Mount, need_fuse, replicas, wait_for
from power_cut import after_boot, disk_in, stop, wait_until_stopped

need_fuse()

CUTS = int(os.environ.get("PENSTOCK_POWER_CUTS", "3"))
SEED = int(os.environ.get("PENSTOCK_SEED", str(random.SystemRandom().randrange(1 << 32))))
FILES = [BLOCK.format(0), BLOCK.format(1), BLOCK.format(2), "raw", "notes.txt",
         "proposal/scan/nexus.json"]


class Work:
    """What readers and managers do to a cache, in a thread, until it is told to stop."""

    def __init__(self, penstock, mount, expected):
        self.penstock, self.mount, self.expected = penstock, mount, expected
        self.acknowledged = {"pins": 0, "quota": None}
        self.wrong = []
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.go_on)
        self.thread.start()

    def end(self):
        self.ending.set()
        self.thread.join(120)
        assert not self.thread.is_alive() and not self.wrong, self.wrong

    def go_on(self):
        numbers = random.Random(f"{SEED} work")
        point = self.mount.point
        while not self.ending.is_set():
            action = numbers.choice(["read", "read", "read", "pin", "quota", "evict", "scrub"])
            if action == "read":
                name = numbers.choice(FILES)
                if (point / name).read_bytes() != self.expected[name]:
                    self.wrong.append(name)
            elif action == "pin":
                number = self.acknowledged["pins"]
                self.penstock("pin", point / "proposal/scan", "--blocks", "2", "--reason", f"n{number}")
                self.acknowledged["pins"] = number + 1
            elif action == "quota":
                soft = numbers.randrange(1 << 30, 1 << 40)
                self.acknowledged["quota"] = None  # neither is promised while it changes
                self.penstock("quota", point, "--folder", "proposal", "--soft", soft)
                self.acknowledged["quota"] = soft
            elif action == "evict":
                self.penstock("evict", point, status=None)
            else:
                self.penstock("scrub", self.mount.cache, "--rate", "0", "--detach", status=None)


def check_cache(penstock, store, cache, point, expected, acknowledged):
    mount = Mount(penstock, store, point, cache, "--settle-time", "0", "--scrub-every", "0")
    try:
        mount.start()
        pins = json.loads(penstock("pins", cache, "--json").stdout)
        assert len(pins) >= acknowledged["pins"]
        assert [pin["reason"] for pin in pins] == [f"n{number}" for number in range(len(pins))]
        if acknowledged["quota"] is not None:
            folders = {folder["folder"]: folder for folder in
                       json.loads(penstock("quota", cache, "--json").stdout)}
            assert folders["proposal"]["soft_bytes"] == acknowledged["quota"]
        wait_for(lambda: mount.status()["inventory_done"])
        before = mount.status()
        for name, whole in expected.items():
            assert (point / name).read_bytes() == whole, name
        # Blocks that the records called complete were that: no extent of them was found damaged.
        complete = sum(dataset["complete_blocks"] for dataset in before["datasets"])
        if complete == 3:
            assert mount.counter("fetched_bytes") == mount.counter("damaged_cache_extents") == 0
        wait_for(lambda: mount.status()["datasets"][0]["complete_blocks"] == 3)
        scrubbed = penstock("scrub", cache, "--rate", "0", status=None)
        assert scrubbed.returncode == 0, scrubbed.stdout + scrubbed.stderr
        status = mount.status()
        assert len(replicas(cache)) == status["cached_blocks"] + status["other_files"]["files"]
        on_disk = sum(path.stat().st_blocks * 512 for path in replicas(cache))
        assert abs(status["cached_bytes"] - on_disk) < 64 << 10
        mount.stop()
    finally:
        mount.clear()


def test_of_the_cache(penstock, master, tmp_path):
    expected = {name: (master / name).read_bytes() for name in FILES}
    numbers = random.Random(SEED)
    for first in range(0, CUTS, 8):
        with disk_in(tmp_path / f"power{first}", 128) as disk:
            cuts = cut_cache(penstock, master, tmp_path, disk, expected,
                             [numbers.uniform(0.05, 0.6) for _ in range(first, min(CUTS, first + 8))])
        for image, acknowledged in cuts:
            after_boot(image, tmp_path / "copy", lambda copy, known=acknowledged: check_cache(
                penstock, master, copy / "cache", tmp_path / "mnt2", expected, known))


def cut_cache(penstock, store, folder, disk, expected, pauses):
    """Copies of the disk after power cuts at moments `pauses` apart, each with what was acknowledged
    before."""
    mount = Mount(penstock, store, folder / "mnt", disk.point / "cache", "--settle-time", "0",
                  "--cache-size", "30M", "--scrub-every", "0")
    cuts = []
    work = None
    try:
        mount.start()
        pid = mount.pid()
        work = Work(penstock, mount, expected)
        for pause in pauses:
            time.sleep(pause)  # any moment is as good as another
            stop(pid)
            acknowledged = dict(work.acknowledged)
            cuts.append((disk.after_power_cut(folder / f"cut{len(cuts)}"), acknowledged))
            os.kill(pid, signal.SIGCONT)
    finally:
        if work is not None:
            work.end()
        mount.stop()
        mount.clear()
    return cuts


class Ingests:
    """Ingests and verifies one dataset after the other, in a thread."""

    def __init__(self, penstock, source, store):
        self.penstock, self.source, self.store = penstock, source, store
        self.ingested, self.verified = [], []
        self.failures = []
        self.process = None
        self.starting = threading.Lock()  # held while the power fails
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.go_on)
        self.thread.start()

    def call(self, *arguments):
        with self.starting:
            self.process = subprocess.Popen([str(self.penstock.binary), *map(str, arguments)],
                                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        output = self.process.communicate()
        if self.process.returncode:
            self.failures.append((arguments, output))
            self.ending.set()

    def go_on(self):
        number = 0
        while not self.ending.is_set():
            name = f"scan{number}"
            self.call(*ingest_command(self.source, self.store / name))
            with self.starting:
                self.ingested.append(name)
            self.call("verify", self.store / name)
            with self.starting:
                self.verified.append(name)
            number += 1

    def fail(self, copy):
        """The names that were acknowledged when `copy` was called, and what it gives."""
        with self.starting:
            if self.process is not None:
                self.process.send_signal(signal.SIGSTOP)  # nothing where it has ended
                wait_until_stopped(self.process.pid)
            known = list(self.ingested), list(self.verified)
            copied = copy()
            if self.process is not None:
                self.process.send_signal(signal.SIGCONT)
        return copied, known

    def end(self):
        self.ending.set()
        self.thread.join(120)
        assert not self.thread.is_alive() and not self.failures, self.failures


def ingest_command(source, to):
    return ("ingest", source, "--to", to, "--block-size", "64K", "--jobs", "2")


def check_store(penstock, source, store, ingested, verified):
    assert not set(ingested) - {path.name for path in store.iterdir()}
    listed = {entry["path"]: entry for entry in ls(penstock, store)}
    for name in verified:
        assert listed[name]["verified"]["intact"], listed[name]
    names = [path.name for path in store.iterdir() if not path.name.startswith(".")]
    # What was published and not yet listed when the power failed is found by a rebuild.
    assert set(ingested) <= set(listed) <= set(names)
    penstock("catalog", "rebuild", store)
    assert sorted(entry["path"] for entry in ls(penstock, store)) == sorted(names)
    for name in names:
        penstock("verify", store / name, "--source", source)
    for name in {each.removeprefix(".").split(".ingest")[0] for each in leftovers(store)}:
        done = penstock(*ingest_command(source, store / name), status=None)
        assert done.returncode == 0 or name in names and "exists" in done.stderr, done.stderr
        penstock("verify", store / name, "--source", source)
    assert not leftovers(store)


def ls(penstock, store):
    return json.loads(penstock("ls", store, "--json").stdout)["datasets"]


def test_of_ingest_and_catalog(penstock, tmp_path):
    frames = make_frames(300, 32, 32, "<u2")
    source = tmp_path / "scan.mib"
    write_mib(source, frames, range(1, 301))
    numbers = random.Random(SEED)
    for first in range(0, CUTS, 8):
        with disk_in(tmp_path / f"power{first}", 128) as disk:
            store = disk.point / "store"
            store.mkdir()
            penstock("catalog", "rebuild", store)
            os.sync()
            work = Ingests(penstock, source, store)
            try:
                cuts = []
                for cut in range(first, min(CUTS, first + 8)):
                    time.sleep(numbers.uniform(0.05, 0.8))
                    cuts.append(work.fail(lambda number=cut: disk.after_power_cut(
                        tmp_path / f"cut{number}")))
            finally:
                work.end()
        for image, (ingested, verified) in cuts:
            after_boot(image, tmp_path / "copy", lambda copy, known=(ingested, verified): check_store(
                penstock, source, copy / "store", *known))
