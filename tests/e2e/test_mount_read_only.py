"""Every call that would change something, on everything a mount shows: the answers of a file system that
is mounted read-only.

The table is held against ext4 as well, mounted read-only from an image, where that can be done."""

import contextlib
import ctypes
import errno
import fcntl
import os
import pathlib
import shutil
import socket
import stat
import struct
import subprocess

import pytest

from mount_store import BLOCK, master, places
from mounting import mounted, need_fuse

need_fuse()

LIBC = ctypes.CDLL(None, use_errno=True)
SET_FLAGS, IMMUTABLE = 0x40086602, 0x10  # FS_IOC_SETFLAGS
# What is there, and what is not.
FILES = {"block": BLOCK.format(0), "file": "notes.txt", "face": "proposal/scan/data.npy"}
FOLDER, LINK, DANGLING = "proposal", "link", "dangling"
MISSING, NO_FOLDER, BELOW_FILE = "proposal/missing", "absent/missing", "notes.txt/missing"


def call(name, *arguments):
    if getattr(LIBC, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def opened(flags):
    return lambda path: os.close(os.open(path, flags))


def through(flags, change):
    """`change` of a descriptor that was opened for reading."""
    def attempt(path):
        descriptor = os.open(path, flags)
        try:
            change(descriptor)
        finally:
            os.close(descriptor)
    return attempt


def bind(path):
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(path.parent, os.O_PATH)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)


def set_flags(descriptor):
    fcntl.ioctl(descriptor, SET_FLAGS, struct.pack("l", IMMUTABLE))


RDONLY = os.O_RDONLY
ON_PATH = {
    "open write-only": opened(os.O_WRONLY),
    "open read-write": opened(os.O_RDWR),
    "open truncating": opened(os.O_RDONLY | os.O_TRUNC),
    "open appending": opened(os.O_WRONLY | os.O_APPEND),
    "open creating": opened(os.O_WRONLY | os.O_CREAT),
    "open creating, to read": opened(os.O_RDONLY | os.O_CREAT),
    "open creating, exclusive": opened(os.O_WRONLY | os.O_CREAT | os.O_EXCL),
    "open temporary": opened(os.O_WRONLY | os.O_TMPFILE),
    "truncate": lambda path: os.truncate(path, 1),
    "link from": lambda path: os.link(path, path.parent / "another", follow_symlinks=False),
    "symlink": lambda path: os.symlink("x", path),
    "mkdir": os.mkdir,
    "mknod": lambda path: os.mknod(path, stat.S_IFREG | 0o644),
    "mknod of a device": lambda path: os.mknod(path, stat.S_IFCHR | 0o644, os.makedev(1, 3)),
    "mkfifo": os.mkfifo,
    "bind": bind,
    "rename from": lambda path: os.rename(path, path.parent / "another"),
    "rename onto itself": lambda path: os.rename(path, path),
    "unlink": os.unlink,
    "rmdir": os.rmdir,
    "chmod": lambda path: os.chmod(path, 0o777),
    "chown": lambda path: os.chown(path, 1, 1),
    "lchown": lambda path: os.lchown(path, 1, 1),
    "utimensat": lambda path: os.utime(path, ns=(1, 1)),
    "utimensat, now": os.utime,
    "utimensat of a link": lambda path: os.utime(path, ns=(1, 1), follow_symlinks=False),
    "setxattr": lambda path: os.setxattr(path, "user.x", b"y"),
    "removexattr": lambda path: os.removexattr(path, "user.x"),
    "access for writing": lambda path: call("access", os.fsencode(path), os.W_OK),
}
ON_DESCRIPTOR = {
    "ftruncate": lambda fd: os.ftruncate(fd, 1),
    "fallocate": lambda fd: call("fallocate", fd, 0, ctypes.c_int64(0), ctypes.c_int64(10)),
    "punch": lambda fd: call("fallocate", fd, 3, ctypes.c_int64(0), ctypes.c_int64(10)),
    "write": lambda fd: os.write(fd, b"x"),
    "fchmod": lambda fd: os.fchmod(fd, 0o777),
    "fchown": lambda fd: os.fchown(fd, 1, 1),
    "futimens": lambda fd: os.utime(fd, ns=(1, 1)),
    "fsetxattr": lambda fd: os.setxattr(fd, "user.x", b"y"),
    "fremovexattr": lambda fd: os.removexattr(fd, "user.x"),
    "fsync": os.fsync,
    "fdatasync": os.fdatasync,
    "flock": lambda fd: fcntl.flock(fd, fcntl.LOCK_EX),
    "lock for reading": lambda fd: fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB),
    "lock for writing": lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB),
}
TARGETS = [*FILES, "folder", "link", "dangling", "missing", "no folder", "below a file"]
PLACES = {**FILES, "folder": FOLDER, "link": LINK, "dangling": DANGLING, "missing": MISSING,
          "no folder": NO_FOLDER, "below a file": BELOW_FILE}


def outcome(attempt, *arguments):
    try:
        attempt(*arguments)
    except OSError as failure:
        return errno.errorcode[failure.errno]
    return "done"


def answers(root):
    """Of every call on every target."""
    found = {}
    for name, attempt in ON_PATH.items():
        found[name] = {target: outcome(attempt, root / PLACES[target]) for target in TARGETS}
    for name, attempt in ON_DESCRIPTOR.items():
        found[name] = {target: outcome(through(RDONLY, attempt), root / PLACES[target])
                       for target in [*FILES, "folder"]}
    found["rename onto"] = {target: outcome(os.rename, root / "notes.txt", root / PLACES[target])
                            for target in TARGETS}
    found["link onto"] = {target: outcome(os.link, root / "notes.txt", root / PLACES[target])
                          for target in TARGETS}
    found["link from elsewhere"] = {
        target: outcome(os.link, "/proc/self/status", root / PLACES[target]) for target in TARGETS}
    found["set flags"] = {target: outcome(through(RDONLY, set_flags), root / PLACES[target])
                          for target in [*FILES, "folder"]}
    return found


GONE = {"no folder": "ENOENT", "below a file": "ENOTDIR"}


def row(there, folder=None, link=None, dangling="ENOENT", missing="ENOENT"):
    return {**dict.fromkeys(FILES, there), "folder": folder or there, "link": link or there,
            "dangling": dangling, "missing": missing, **GONE}


def of_names(there, missing="EROFS"):
    """A call that makes or takes away a name: links are not followed."""
    return row(there, dangling=there, missing=missing)


def of_descriptor(files, folder=None):
    return {**dict.fromkeys(FILES, files), "folder": folder or files}


EXPECTED = {
    "open write-only": row("EROFS", folder="EISDIR"),
    "open read-write": row("EROFS", folder="EISDIR"),
    "open truncating": row("EROFS", folder="EISDIR"),
    "open appending": row("EROFS", folder="EISDIR"),
    "open creating": row("EROFS", folder="EISDIR", dangling="EROFS", missing="EROFS"),
    "open creating, to read": row("done", folder="EISDIR", dangling="EROFS", missing="EROFS"),
    "open creating, exclusive": of_names("EEXIST"),
    "open temporary": {**row("ENOTDIR", folder="EROFS"), "dangling": "ENOENT"},
    "truncate": row("EROFS", folder="EISDIR"),
    "link from": of_names("EROFS", missing="ENOENT"),
    "symlink": of_names("EEXIST"),
    "mkdir": of_names("EEXIST"),
    "mknod": of_names("EEXIST"),
    "mknod of a device": of_names("EEXIST"),
    "mkfifo": of_names("EEXIST"),
    "bind": of_names("EADDRINUSE"),
    "rename from": of_names("EROFS"),
    "rename onto itself": of_names("EROFS"),
    "unlink": of_names("EROFS"),
    "rmdir": of_names("EROFS"),
    "chmod": row("EROFS"),
    "chown": row("EROFS"),
    "lchown": of_names("EROFS", missing="ENOENT"),
    "utimensat": row("EROFS"),
    "utimensat, now": row("EROFS"),
    "utimensat of a link": of_names("EROFS", missing="ENOENT"),
    "setxattr": row("EROFS"),
    "removexattr": row("EROFS"),
    "access for writing": row("EROFS"),
    "ftruncate": of_descriptor("EINVAL"),
    "fallocate": of_descriptor("EBADF"),
    "punch": of_descriptor("EBADF"),
    "write": of_descriptor("EBADF"),
    "fchmod": of_descriptor("EROFS"),
    "fchown": of_descriptor("EROFS"),
    "futimens": of_descriptor("EROFS"),
    "fsetxattr": of_descriptor("EROFS"),
    "fremovexattr": of_descriptor("EROFS"),
    "fsync": of_descriptor("done"),
    "fdatasync": of_descriptor("done"),
    "flock": of_descriptor("done"),
    "lock for reading": of_descriptor("done"),
    "lock for writing": of_descriptor("EBADF"),
    "rename onto": of_names("EROFS"),
    "link onto": of_names("EEXIST"),
    "link from elsewhere": of_names("EEXIST"),
    "set flags": of_descriptor("EROFS"),
}


@pytest.fixture(scope="module")
def tree(master, tmp_path_factory):
    copy = tmp_path_factory.mktemp("tree") / "store"
    shutil.copytree(master, copy, symlinks=True)
    (copy / DANGLING).symlink_to("nowhere")
    return copy


@contextlib.contextmanager
def read_only_ext4(tree, folder):
    """The same tree on ext4, mounted read-only."""
    image, point = folder / "ext4.img", folder / "ext4"
    point.mkdir()
    copy = folder / "copy"
    shutil.copytree(tree, copy, symlinks=True)
    (copy / FILES["face"]).write_bytes(b"in the place of a face")
    with open(image, "wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", copy, image], check=True)
    made = subprocess.run(["mount", "-o", "loop,ro,noload", image, point], capture_output=True,
                          text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"SKIPPED FOR WANT OF A LOOP DEVICE: {made.stderr}")
    try:
        yield point
    finally:
        subprocess.run(["umount", point], check=True)


def snapshot(root):
    return {path: (status.st_mode, status.st_uid, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            for path in sorted(pathlib.Path(root).rglob("*")) for status in [os.lstat(path)]}


def differences(found):
    return {(call_name, target): (found[call_name][target], expected)
            for call_name, targets in EXPECTED.items() for target, expected in targets.items()
            if found[call_name][target] != expected}


def test_the_table_is_that_of_ext4(tree, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("SKIPPED FOR WANT OF ROOT: ext4 was not mounted read-only")
    with read_only_ext4(tree, tmp_path) as point:
        found = answers(point)
    assert found.keys() == EXPECTED.keys()
    assert not differences(found)


@pytest.mark.parametrize("options", [(), ("--no-passthrough",)], ids=["default", "served"])
def test_a_mount_answers_as_the_table_says(penstock, tree, places, options):
    point, cache = places
    before = snapshot(tree)
    with mounted(penstock, tree, point, cache, "--settle-time", "0", *options):
        shown = snapshot(point)
        for _ in ("absent", "complete"):
            assert not differences(answers(point))
            penstock("warm", point)
        assert snapshot(point) == shown
    assert snapshot(tree) == before
