"""Helpers for tests that mount: start and stop a daemon, look at its status, compare trees."""

import contextlib
import errno
import json
import os
import pathlib
import subprocess
import sys

import pytest

from waiting import wait_for, wait_for_end

HAVE_FUSE = os.path.exists("/dev/fuse") and os.access("/dev/fuse", os.R_OK | os.W_OK)


def need_fuse():
    if not HAVE_FUSE:
        # Named, since workers side by side report what is skipped for one reason at one place once.
        module = sys._getframe(1).f_globals["__name__"]
        pytest.skip(f"SKIPPED FOR WANT OF /dev/fuse: NO TEST OF {module} WAS RUN",
                    allow_module_level=True)


def is_mounted(path) -> bool:
    return any(line.split()[4] == str(path)
               for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines())


class Mount:
    """A mount of `store` at `point` with the cache directory `cache`."""

    def __init__(self, penstock, store, point, cache, *options):
        self.penstock = penstock
        self.store = store  # a directory, or an address
        self.point, self.cache = map(pathlib.Path, (point, cache))
        # Files other than blocks are read through, however old the test's store is by then, unless
        # the test is about them.
        self.options = options if "--settle-time" in options else (*options, "--settle-time", 86400)
        self.point.mkdir(exist_ok=True)

    def start(self):
        reserve = () if "--reserve" in self.options else ("--reserve", "0")
        self.penstock("mount", self.store, self.point, "--cache", self.cache, *reserve,
                      *self.options)
        assert is_mounted(self.point)
        return self

    def stop(self):
        self.penstock("unmount", self.cache)
        assert not is_mounted(self.point)

    def status(self) -> dict:
        # Asked at the cache directory, which works without the store.
        return json.loads(self.penstock("status", self.cache, "--json", "--all-datasets").stdout)

    def counter(self, name) -> int:
        return self.status()["counters"][name]

    def log(self) -> str:
        """What is in it by now: the daemon writes it without waiting."""
        return (self.cache / "penstock.log").read_text()

    def wait_for_log(self, text):
        try:
            wait_for(lambda: text in self.log())
        except AssertionError:
            raise AssertionError(f"the log does not say {text!r}; it ends with\n{self.log()[-4000:]}") from None

    def pid(self) -> int:
        return self.status()["pid"]

    def clear(self):
        """Whatever the test left behind."""
        if is_mounted(self.point):
            subprocess.run(["umount", "-l", str(self.point)], check=False)


@contextlib.contextmanager
def mounted(*arguments):
    mount = Mount(*arguments)
    try:
        yield mount.start()
    finally:
        with contextlib.suppress(Exception):
            if is_mounted(mount.point):
                mount.stop()
        mount.clear()


def files_below(root):
    return sorted(path.relative_to(root) for path in pathlib.Path(root).rglob("*")
                  if path.is_file())


def penstock_attributes(path):
    """Those that a mount gives to a path, without their prefix."""
    try:
        lines = os.getxattr(path, "user.penstock.all").decode().splitlines()
    except OSError as failure:
        if failure.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
            raise
        return {}
    return dict(line.split(": ", 1) for line in lines)


FACES = ("data.nxs", "data.npy", "data.raw", "checksums.xxh128")


def is_face(path):
    """A file that the mount makes of the blocks; test_mount_faces.py looks at them."""
    return path.name in FACES and "face" in penstock_attributes(path)


def assert_same_tree(store, mountpoint):
    def without_faces(names):
        return [name for name in names if not is_face(mountpoint / name)]

    names = without_faces(files_below(store))
    assert names and names == without_faces(files_below(mountpoint))
    # (filecmp remembers what it has compared before.)
    for name in names:
        assert (store / name).read_bytes() == (mountpoint / name).read_bytes(), name


def flip_byte(path, offset):
    """Flips a byte below any permission; gives the file its old times back."""
    before = os.stat(path)
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))
    os.chmod(path, before.st_mode & 0o7777)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replicas(cache):
    return sorted(path for path in (pathlib.Path(cache) / "blocks").glob("*/*") if path.is_file())


