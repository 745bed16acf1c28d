"""A cache disk that hangs, fails and recovers: right bytes in bounded time, from the store."""

import os
import pathlib
import subprocess
import threading

import pytest

from mount_store import BLOCK, master
from mounting import assert_same_tree, is_mounted, mounted, need_fuse, wait_for, wait_for_end

need_fuse()


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


class Disk:
    """A file system of its own in a file, that can be frozen and cut off."""

    def __init__(self, folder, mib):
        self.image, self.point = folder / "image", folder / "disk"
        self.point.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(mib << 20)
        self.frozen = False
        if run("mkfs.ext4", "-q", "-m", "0", self.image).returncode:
            pytest.skip("SKIPPED: no mkfs.ext4 here")
        if run("mount", "-o", "loop,noatime,errors=remount-ro", self.image, self.point).returncode:
            pytest.skip("SKIPPED: no loop devices here")

    def error_trigger(self):
        device = pathlib.Path(run("findmnt", "-no", "SOURCE", self.point).stdout.strip()).name
        trigger = pathlib.Path(f"/sys/fs/ext4/{device}/trigger_fs_error")
        if not os.access(trigger, os.W_OK):
            pytest.skip("SKIPPED: this kernel makes no errors of ext4")
        return trigger

    def freeze(self):
        """From here on whatever writes hangs."""
        assert run("fsfreeze", "-f", self.point).returncode == 0
        self.frozen = True

    def thaw(self):
        if self.frozen:
            run("fsfreeze", "-u", self.point)
        self.frozen = False

    def remove(self):
        self.thaw()
        run("umount", "-l", self.point)


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path, 192)
    yield disk
    disk.remove()


def disk_state(mount):
    return mount.status()["cache_disk"]["state"]


def read_blocks(point, numbers, expected):
    for number in numbers:
        assert (point / BLOCK.format(number)).read_bytes() == expected[number]


def test_a_disk_that_hangs_is_read_around_and_comes_back(penstock, master, tmp_path, disk):
    point = tmp_path / "mnt"
    expected = [(master / BLOCK.format(number)).read_bytes() for number in range(3)]
    with mounted(penstock, master, point, disk.point / "cache") as mount:
        read_blocks(point, [0], expected)
        wait_for(lambda: mount.status()["datasets"][0]["complete_blocks"] == 1)
        disk.freeze()
        # Its bytes can still be read; new ones cannot be kept. Many readers, and none of them is stuck.
        failures = []

        def read():
            try:
                read_blocks(point, [1, 2, 0], expected)
            except (AssertionError, OSError) as failure:
                failures.append(failure)

        readers = [threading.Thread(target=read) for _ in range(8)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(120)
            assert not reader.is_alive(), "a reader hangs with the disk"
        assert not failures
        wait_for(lambda: disk_state(mount) != "normal")
        status = mount.status()
        assert status["cache_disk"]["reason"] and status["process"]["threads"] < 100
        read_blocks(point, [1, 2, 0], expected)
        assert "cache disk" in penstock("status", point).stdout
        disk.thaw()
        wait_for(lambda: disk_state(mount) == "normal")
        # As if nothing had been: what is read is kept again.
        read_blocks(point, [1, 2], expected)
        wait_for(lambda: mount.status()["datasets"][0]["complete_blocks"] == 3)
        assert_same_tree(master, point)
    with mounted(penstock, master, point, disk.point / "cache") as mount:
        assert_same_tree(master, point)
        assert mount.counter("fetched_bytes") == 0


def test_a_mount_can_be_ended_while_its_disk_hangs(penstock, master, tmp_path, disk):
    point = tmp_path / "mnt"
    with mounted(penstock, master, point, disk.point / "cache", "--scrub-every", "0") as mount:
        penstock("warm", point / "proposal/scan", "--blocks", "0")
        disk.freeze()
        # Whoever is stuck with the disk holds nothing that the status needs.
        penstock("scrub", disk.point / "cache", "--rate", "0", "--detach")
        (point / BLOCK.format(1)).read_bytes()
        wait_for(lambda: disk_state(mount) != "normal")
        daemon = mount.pid()
        ended = penstock("unmount", disk.point / "cache", "--timeout", "1", status=None)
        assert not is_mounted(point)
        if ended.returncode:  # A thread that the kernel holds keeps the process, nothing else.
            assert f"the daemon, process {daemon}, has not ended within 1 s" in ended.stderr
            assert "the disk of its cache" in ended.stderr
        disk.thaw()
        wait_for_end(daemon)
    with mounted(penstock, master, point, disk.point / "cache"):
        assert_same_tree(master, point)


def test_a_disk_that_takes_no_writes_is_read_around(penstock, master, tmp_path, disk):
    """What ext4 makes of a disk with errors."""
    point = tmp_path / "mnt"
    expected = [(master / BLOCK.format(number)).read_bytes() for number in range(3)]
    trigger = disk.error_trigger()
    with mounted(penstock, master, point, disk.point / "cache") as mount:
        read_blocks(point, [0], expected)
        wait_for(lambda: mount.status()["datasets"][0]["complete_blocks"] == 1)
        trigger.write_text("1")
        read_blocks(point, [1, 2, 0], expected)
        wait_for(lambda: disk_state(mount) != "normal")
        assert "Read-only file system" in mount.status()["cache_disk"]["reason"]
        read_blocks(point, [1, 2, 0, 1], expected)
        assert "the cache disk is" in penstock("warm", point / "proposal/scan", status=1).stderr
        wait_for(lambda: disk_state(mount) == "off")  # the probes find the same
        read_blocks(point, [2, 1, 0], expected)
