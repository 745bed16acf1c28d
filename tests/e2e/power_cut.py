"""A disk whose power fails: what was written and not synced is lost.

The file system lies in a file, its journal is committed by fsync alone, and nobody writes back what is
dirty before its time: the file has exactly what programs have synced. A copy of it, taken while the
process is stopped, is the disk after the power failed at that moment."""

import contextlib
import ctypes
import errno
import os
import pathlib
import random
import signal
import subprocess
import traceback

import pytest

from mounting import wait_for

CLONE_NEWNS = 0x20000
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


class Disk:
    """An ext4 in a file, mounted."""

    def __init__(self, folder, mib, inodes=None):
        folder.mkdir(exist_ok=True)
        self.image, self.point = folder / "image", folder / "disk"
        self.point.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(mib << 20)
        options = ["-N", str(inodes)] if inodes else []
        if run("mkfs.ext4", "-q", "-b", "4096", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", *options,
               self.image).returncode:
            pytest.skip("SKIPPED: no mkfs.ext4 here")
        self.mount()

    def mount(self):
        # An hour: the journal is committed when somebody asks for it. (What is dirty is written back
        # after 30 s, which only makes the loss smaller.)
        if run("mount", "-o", "loop,commit=3600", self.image, self.point).returncode:
            pytest.skip("SKIPPED: no loop devices here")

    def remove(self):
        run("umount", "-l", self.point)

    def after_power_cut(self, to):
        """A copy of the image as it is now. (By this process itself: another one would close what
        this one has open on the mount that is stopped, and wait for its answer.)"""
        with open(self.image, "rb") as image, open(to, "wb") as copy:
            size = os.fstat(image.fileno()).st_size
            copy.truncate(size)
            hole = 0
            while hole < size:
                try:
                    data = os.lseek(image.fileno(), hole, os.SEEK_DATA)
                except OSError as nothing_more:
                    assert nothing_more.errno == errno.ENXIO
                    break
                hole = os.lseek(image.fileno(), data, os.SEEK_HOLE)
                while data < hole:
                    data += os.pwrite(copy.fileno(), os.pread(
                        image.fileno(), min(1 << 20, hole - data), data), data)
        return to


@contextlib.contextmanager
def disk_in(folder, mib, inodes=None):
    disk = Disk(folder, mib, inodes)
    try:
        yield disk
    finally:
        disk.remove()


def stop(pid):
    """All threads. One that is in the kernel stops when its call is done: no fsync is half done."""
    os.kill(pid, signal.SIGSTOP)
    wait_until_stopped(pid)


def wait_until_stopped(pid):
    threads = pathlib.Path(f"/proc/{pid}/task")

    def stopped():
        try:
            return all((thread / "stat").read_text().rpartition(")")[2].split()[0] in "TZX"
                       for thread in threads.iterdir())
        except FileNotFoundError:
            return True
    wait_for(stopped)


def after_boot(image, point, check):
    """Mounts the copy, on a machine that was started anew, and calls `check`; what it raises is
    raised. In a process with mounts of its own: the machine has not really been started anew."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        failure = b""
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.unshare(CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
            assert run("mount", "--make-rprivate", "/").returncode == 0
            boot = image.with_suffix(".boot")
            boot.write_text("%032x\n" % random.getrandbits(128))
            assert run("mount", "--bind", boot, BOOT_ID).returncode == 0
            point.mkdir(exist_ok=True)
            mounted = run("mount", "-o", "loop", image, point)
            assert mounted.returncode == 0, mounted.stderr
            try:
                check(point)
            finally:
                run("umount", "-l", point)
        except BaseException:  # pylint: disable=broad-except
            failure = traceback.format_exc().encode()
        with contextlib.suppress(OSError):
            os.write(writer, failure[-60_000:])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        failure = pipe.read().decode()
    os.waitpid(child, 0)
    image.unlink()
    assert not failure, failure
