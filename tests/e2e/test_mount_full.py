"""A cache disk that others fill, bytes and inodes: reads go on, and what is read is kept again when there
is room."""

import os
import threading

import pytest

from mount_store import BLOCK, master
from mounting import assert_same_tree, mounted, need_fuse, wait_for
from power_cut import disk_in

need_fuse()

NOW = ("--settle-time", "0", "--scrub-every", "0")


def fill(disk):
    """All bytes of the disk."""
    with open(disk.point / "other", "ab", buffering=0) as other:
        for size in (1 << 20, 4096):
            try:
                while True:
                    other.write(bytes(size))
                    os.fsync(other.fileno())
            except OSError:
                continue


def take_inodes(disk):
    """All inodes; returns how many those were."""
    (disk.point / "many").mkdir()
    number = 0
    try:
        while True:
            (disk.point / "many" / str(number)).touch()
            number += 1
    except OSError:
        return number


def read_from_many_threads(point, store):
    """All blocks, by eight threads at once; what went wrong."""
    expected = [(store / BLOCK.format(number)).read_bytes() for number in range(3)]
    failures = []

    def read(first):
        for number in range(3):
            block = (first + number) % 3
            try:
                if (point / BLOCK.format(block)).read_bytes() != expected[block]:
                    failures.append(f"block {block}: wrong bytes")
            except OSError as failure:
                failures.append(failure)

    threads = [threading.Thread(target=read, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a reader hangs"
    return failures


def threads_of(mount):
    return mount.status()["process"]["threads"]


def test_a_disk_that_others_fill(penstock, master, tmp_path):
    point = tmp_path / "mnt"
    with disk_in(tmp_path / "full", 96) as disk:
        with mounted(penstock, master, point, disk.point / "cache", *NOW) as mount:
            penstock("warm", point / "proposal/scan", "--blocks", "0")
            before = threads_of(mount)
            fill(disk)
            assert not read_from_many_threads(point, master)
            assert_same_tree(master, point)
            assert mount.counter("uncached_extents") > 0
            assert threads_of(mount) <= before + 8
            status = mount.status()
            assert status["cache_disk"]["state"] == "normal"  # full is not sick
            # What is acknowledged is on the disk, or is refused.
            pinned = penstock("pin", point / "proposal", status=None)
            assert ("proposal" in penstock("pins", disk.point / "cache").stdout) == (
                pinned.returncode == 0)
            (disk.point / "other").unlink()
            os.sync()

            def kept():
                assert_same_tree(master, point)
                return mount.status()["datasets"][0]["complete_blocks"] == 3
            wait_for(kept)
        with mounted(penstock, master, point, disk.point / "cache", *NOW) as mount:
            assert_same_tree(master, point)
            assert mount.counter("fetched_bytes") == 0


def test_a_mount_of_a_full_disk(penstock, master, tmp_path):
    """The daemon starts, or says which file it cannot write."""
    point = tmp_path / "mnt"
    with disk_in(tmp_path / "full", 96) as disk:
        with mounted(penstock, master, point, disk.point / "cache", *NOW):
            penstock("warm", point / "proposal/scan", "--blocks", "0")
        fill(disk)
        done = penstock("mount", master, point, "--cache", disk.point / "cache", "--reserve", "0",
                        "--settle-time", "0", status=None)
        try:
            if done.returncode == 0:
                assert not read_from_many_threads(point, master)
            else:
                assert str(disk.point / "cache") in done.stderr and "No space" in done.stderr
        finally:
            penstock("unmount", point, status=None)
        (disk.point / "other").unlink()
        with mounted(penstock, master, point, disk.point / "cache", *NOW):
            assert_same_tree(master, point)


@pytest.mark.parametrize("reserve", ["0", "10%"])
def test_no_inodes(penstock, master, tmp_path, reserve):
    point = tmp_path / "mnt"
    with disk_in(tmp_path / "fs", 96, inodes=256) as disk:
        with mounted(penstock, master, point, disk.point / "cache", *NOW, "--reserve", reserve) as mount:
            penstock("warm", point / "proposal/scan", "--blocks", "0")
            before = threads_of(mount)
            assert take_inodes(disk) > 50
            assert not read_from_many_threads(point, master)
            assert_same_tree(master, point)
            assert threads_of(mount) <= before + 8
            for path in (disk.point / "many").iterdir():
                path.unlink()

            def kept():
                assert_same_tree(master, point)
                status = mount.status()
                return (status["cache_disk"]["state"] == "normal"
                        and sum(each["complete_blocks"] for each in status["datasets"]) == 3)
            wait_for(kept)
