"""Blocks that change in the store while a mount shows them: a reader gets the dataset's bytes or an error,
never those of something else. (test_mount_files.py has the same of other files.)"""

import errno
import os
import shutil

import pytest

from mount_store import BLOCK, EXTENT, master, places, store
from mounting import mounted, need_fuse, wait_for

need_fuse()

SERVING = pytest.mark.parametrize("options", [(), ("--no-passthrough",)], ids=["default", "served"])
CHANGES = ["same size and time", "cut", "grown", "renamed over", "removed"]


def change_block(path, change):
    before = path.stat()
    if change == "same size and time":
        with open(path, "r+b") as file:
            for at in range(0, before.st_size, EXTENT):
                file.seek(at + 70_000)
                file.write(b"changed")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "cut":
        os.truncate(path, 100_000)
    elif change == "grown":
        with open(path, "ab") as file:
            file.write(b"more" * 100_000)
    elif change == "renamed over":
        other = path.with_name("other")
        other.write_bytes(bytes(before.st_size))
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        os.rename(other, path)
    else:
        path.unlink()


def right_or_refused(read, expected):
    """Whether `read` gives what is expected; otherwise it must give an error of the store."""
    try:
        assert read() == expected
        return True
    except OSError as failure:
        assert failure.errno in (errno.EIO, errno.ENOENT), failure
        return False


@SERVING
def test_blocks_that_are_in_the_cache_stay_what_they_are(penstock, store, places, options):
    point, cache = places
    for number in range(len(CHANGES)):
        shutil.copytree(store / "proposal/scan", store / f"proposal/scan{number}")
    expected = (store / BLOCK.format(2)).read_bytes()
    blocks = [BLOCK.format(2).replace("scan", f"scan{number}") for number in range(len(CHANGES))]
    with mounted(penstock, store, point, cache, "--read-ahead", "0", *options) as mount:
        for name in blocks:
            assert (point / name).read_bytes() == expected
            wait_for(lambda: os.getxattr(point / name, "user.penstock.state") == b"complete 3/3")
        fetched = mount.counter("fetched_bytes")
        readers = [open(point / name, "rb", buffering=0) for name in blocks]
        for name, change in zip(blocks, CHANGES):
            change_block(store / name, change)
        for reader, name, change in zip(readers, blocks, CHANGES):
            with reader:
                assert reader.read() == expected, change
            if change != "removed":
                assert (point / name).read_bytes() == expected, change
        assert mount.counter("fetched_bytes") == fetched

        def gone():
            return not os.path.exists(point / blocks[-1])
        wait_for(gone)


@SERVING
def test_blocks_that_are_not_in_the_cache_give_an_error(penstock, store, places, options):
    point, cache = places
    for number in range(len(CHANGES)):
        shutil.copytree(store / "proposal/scan", store / f"proposal/scan{number}")
    whole = (store / BLOCK.format(2)).read_bytes()
    blocks = [BLOCK.format(2).replace("scan", f"scan{number}") for number in range(len(CHANGES))]
    with mounted(penstock, store, point, cache, "--read-ahead", "0", *options) as mount:
        readers = [open(point / name, "rb", buffering=0) for name in blocks]
        for name, change in zip(blocks, CHANGES):
            change_block(store / name, change)
        for reader, name, change in zip(readers, blocks, CHANGES):
            with reader:
                got = [right_or_refused(lambda at=at: os.pread(reader.fileno(), 1000, at + 70_000),
                                        whole[at + 70_000:at + 71_000])
                       for at in (0, EXTENT)]
                # The store's file is open, too: what took its name, or that it has none, makes no difference.
                assert got == [change in ("grown", "renamed over", "removed")] * 2, change
        # Mended in the store: right again, without a restart.
        for name in blocks:
            shutil.copyfile(store / BLOCK.format(2), store / name)
        for name in blocks:
            wait_for(lambda: right_or_refused((point / name).read_bytes, whole))
        assert mount.counter("verification_failures") > 0
