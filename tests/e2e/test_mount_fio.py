"""fio writes a file with checksums into the store and proves it through a mount, by its own engines, while
what the cache has of it is evicted.

PENSTOCK_FIO_ROUNDS=1000 makes a campaign of it."""

import itertools
import os
import subprocess
import threading

import pytest

from mount_store import places
from mounting import flip_byte, mounted, need_fuse

need_fuse()

ROUNDS = int(os.environ.get("PENSTOCK_FIO_ROUNDS", "1"))
ENGINES = [("psync", "read", "64k", 0), ("psync", "randread", "64k", 1), ("io_uring", "randread", "64k", 1),
           ("mmap", "randread", "64k", 0), ("io_uring", "read", "64k", 0)]


def fio(path, *options, status=0, folder):
    done = subprocess.run(["fio", "--name=job", f"--filename={path}", "--size=12M", "--verify=crc32c",
                           "--minimal", *options], capture_output=True, text=True, cwd=folder, check=False)
    assert (done.returncode == 0) == (status == 0), done.stdout + done.stderr
    return done.stderr


@pytest.fixture
def written(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    fio(folder / "data", "--bs=64k", "--rw=randwrite", "--do_verify=0", "--randseed=7", folder=tmp_path)
    return folder


@pytest.mark.parametrize("options, engines", [((), ENGINES), (("--no-passthrough",), ENGINES[2:4]),
                                              (("--cache-size", "6M"), ENGINES[:2])],
                         ids=["default", "served", "tight"])
def test_fio_finds_what_it_wrote(penstock, written, places, tmp_path, options, engines):
    point, cache = places
    with mounted(penstock, written, point, cache, "--settle-time", "0", *options) as mount:
        ended = threading.Event()

        def evict():
            while not ended.is_set():
                penstock("evict", point, status=None)
                ended.wait(0.2)

        thread = threading.Thread(target=evict)
        thread.start()
        try:
            for engine, order, size, direct in itertools.chain(*[engines] * ROUNDS):
                fio(point / "data", f"--ioengine={engine}", f"--rw={order}", f"--bs={size}",
                    f"--direct={direct}", "--iodepth=8", "--readonly", folder=tmp_path)
        finally:
            ended.set()
            thread.join()
        counters = mount.status()["counters"]
        assert counters["damaged_cache_extents"] == counters["cache_errors"] == 0
    # It does look: a damaged file is found.
    flip_byte(written / "data", 5_000_000)
    with mounted(penstock, written, point, cache, "--settle-time", "0"):
        assert "verify failed" in fio(point / "data", "--rw=read", "--bs=64k", "--readonly", status=1,
                                      folder=tmp_path)
