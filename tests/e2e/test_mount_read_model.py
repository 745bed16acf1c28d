"""A differential model: threads read a mount in every way that a program may, while others evict, warm,
pin, scrub and verify; every byte is compared with the store's.

PENSTOCK_MODEL_SECONDS=3600 makes a campaign of it; PENSTOCK_MODEL_SEED repeats the choices of a run.
"""

import ctypes
import errno
import mmap
import os
import pathlib
import random
import struct
import subprocess
import tempfile
import threading
import time

import pytest

from mount_store import BLOCK, master, places, store
from mounting import mounted, need_fuse, replicas
from synthetic import make_dataset_program
from test_mount_descriptors import (ACQUIRE, GRANTED, NOT_RESIDENT, RELEASE, WAIT, ask, connect)

need_fuse()

SECONDS = float(os.environ.get("PENSTOCK_MODEL_SECONDS", "6"))
SEED = int(os.environ.get("PENSTOCK_MODEL_SEED", str(random.SystemRandom().randrange(1 << 32))))
LEAST_READS = 20  # of each thread
FILES = [BLOCK.format(0), BLOCK.format(1), BLOCK.format(2), "raw", "notes.txt",
         "proposal/scan/nexus.json"]
LIBC = ctypes.CDLL(None, use_errno=True)


def pread(fd, at, size, numbers):
    return os.pread(fd, size, at)


def readv(fd, at, size, numbers):
    first = numbers.randrange(size + 1)
    parts = [bytearray(first), bytearray(size - first)]
    count = os.preadv(fd, parts, at)
    return (bytes(parts[0]) + bytes(parts[1]))[:count]


def read_after_seek(fd, at, size, numbers):
    copy = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    try:
        os.lseek(copy, at, os.SEEK_SET)
        return os.read(copy, size)
    finally:
        os.close(copy)


def mapped(fd, at, size, numbers):
    whole = os.fstat(fd).st_size
    if at >= whole:
        return b""
    flags = numbers.choice([mmap.MAP_SHARED, mmap.MAP_PRIVATE])
    try:
        view = mmap.mmap(fd, 0, flags=flags, prot=mmap.PROT_READ)
    except OSError:
        # Where the kernel does not map direct files shared.
        view = mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    with view:
        return view[at:at + size]


def after_readahead(fd, at, size, numbers):
    LIBC.readahead(fd, ctypes.c_int64(at), ctypes.c_size_t(size))
    os.posix_fadvise(fd, at, size, numbers.choice([os.POSIX_FADV_WILLNEED, os.POSIX_FADV_SEQUENTIAL,
                                                   os.POSIX_FADV_DONTNEED]))
    return os.pread(fd, size, at)


def collect(read_end, write_end, move):
    """What `move` puts into a pipe."""
    parts = []

    def drain():
        while part := os.read(read_end, 1 << 16):
            parts.append(part)

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        while move(write_end) > 0:
            pass
    finally:
        os.close(write_end)
        thread.join()
        os.close(read_end)
    return b"".join(parts)


def sent(fd, at, size, numbers):
    state = [at, size]

    def move(write_end):
        count = os.sendfile(write_end, fd, state[0], state[1]) if state[1] else 0
        state[0] += count
        state[1] -= count
        return count
    return collect(*os.pipe(), move)


def spliced(fd, at, size, numbers):
    state = [at, size]

    def move(write_end):
        count = os.splice(fd, write_end, state[1], offset_src=state[0]) if state[1] else 0
        state[0] += count
        state[1] -= count
        return count
    return collect(*os.pipe(), move)


def copied(fd, at, size, numbers):
    with tempfile.TemporaryFile() as target:
        done = 0
        while done < size:
            try:
                count = os.copy_file_range(fd, target.fileno(), size - done, offset_src=at + done)
            except OSError as failure:
                # From one file system to another the kernel leaves it to the program, whatever the
                # file systems are.
                assert failure.errno == errno.EXDEV
                return os.pread(fd, size, at)
            if count == 0:
                break
            done += count
        return os.pread(target.fileno(), size, 0)


def direct(fd, at, size, numbers):
    copy = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_DIRECT)
    try:
        start = at // 4096 * 4096
        pages = mmap.mmap(-1, (at + size - start + 4095) // 4096 * 4096 + 4096)
        count = os.preadv(copy, [pages], start)
        return pages[at - start:max(count, at - start)][:size]
    finally:
        os.close(copy)


def data_and_holes(fd, at, size, numbers):
    """What is said to be a hole must be zeros."""
    whole = os.fstat(fd).st_size
    if at >= whole:
        return b""
    try:
        data = os.lseek(fd, at, os.SEEK_DATA)
    except OSError:
        data = whole  # nothing but a hole from here on
    hole = os.lseek(fd, at, os.SEEK_HOLE)
    assert at <= data <= whole and at <= hole <= whole
    read = os.pread(fd, size, at)
    return bytes(min(max(data - at, 0), len(read))) + read[min(max(data - at, 0), len(read)):]


def without_waiting(fd, at, size, numbers):
    """What memory has (RWF_NOWAIT), then the rest; or polling for it (RWF_HIPRI)."""
    got = bytearray(size)
    try:
        count = os.preadv(fd, [got], at, numbers.choice([os.RWF_NOWAIT, os.RWF_HIPRI]))
    except OSError as failure:
        assert failure.errno in (errno.EAGAIN, errno.EOPNOTSUPP)
        count = 0
    return bytes(got[:count]) + os.pread(fd, size - count, at + count)


class UringReader:
    """tests/programs/read_with_uring.cc, one process for each thread."""

    _local = threading.local()

    def __init__(self):
        program = make_dataset_program().parent / "penstock_read_with_uring"
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    @classmethod
    def of_thread(cls):
        if not hasattr(cls._local, "reader"):
            cls._local.reader = cls()
        return cls._local.reader

    @classmethod
    def end(cls):
        reader = cls._local.__dict__.pop("reader", None)
        if reader:
            reader.process.communicate()

    def read(self, path, at, size, parts, direct_io):
        self.process.stdin.write(b"%d %d %d %d %s\n" % (at, size, parts, direct_io, os.fsencode(path)))
        self.process.stdin.flush()
        count = int.from_bytes(self.process.stdout.read(8), "little", signed=True)
        if count < 0:
            raise OSError(-count, os.strerror(-count), path)
        return self.process.stdout.read(count)


def path_of(fd):
    # The kernel calls a name deleted for which it has looked up another node since.
    return os.readlink(f"/proc/self/fd/{fd}").removesuffix(" (deleted)")


def through_uring(fd, at, size, numbers):
    path = f"/proc/{os.getpid()}/fd/{fd}"
    parts = numbers.choice([1, 2, 7])
    direct_io = numbers.choice([False, True])
    start = at // 4096 * 4096 if direct_io else at
    got = UringReader.of_thread().read(path, start, at + size - start, parts, direct_io)
    return got[at - start:]


def leased(fd, at, size, numbers):
    """By a descriptor that the daemon hands out, where the file is a block."""
    path = path_of(fd)
    block = [number for number in range(3) if path.endswith(BLOCK.format(number))]
    if not block:
        return os.pread(fd, size, at)
    point = path[:-len(BLOCK.format(block[0]))]
    with connect(pathlib.Path(point) / "proposal/scan") as connection:
        outcome, lease, _, _, descriptors = ask(connection, ACQUIRE, b"proposal/scan", block[0],
                                                numbers.choice([0, WAIT]))
        if outcome == NOT_RESIDENT:
            return os.pread(fd, size, at)
        assert outcome == GRANTED
        got = os.pread(descriptors[0], size, at)
        assert ask(connection, RELEASE, block=lease)[0] == GRANTED
        # It is read for as long as it is open, whatever becomes of the replica.
        assert os.pread(descriptors[0], size, at) == got
        os.close(descriptors[0])
        return got


def after_looking_at_it(fd, at, size, numbers):
    """stat and statx say what they say of the store's file."""
    path = path_of(fd)
    name = next(name for name in FILES if path.endswith("/" + name))
    expected = STATUS[name]
    for status in (os.fstat(fd), os.stat(path), os.stat(path, follow_symlinks=False)):
        assert tuple(getattr(status, field) for field in STATUS_FIELDS) == expected, name
    assert statx(fd) == expected
    return os.pread(fd, size, at)


STATUS_FIELDS = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_ino", "st_size", "st_blocks",
                 "st_mtime_ns", "st_ctime_ns")
STATUS = {}  # by name, of the store's files


def statx(fd):
    """The same fields by statx(2), asked anew of the daemon (AT_STATX_FORCE_SYNC)."""
    buffer = ctypes.create_string_buffer(256)
    assert LIBC.statx(fd, b"", 0x1000 | 0x2000, 0x7FF, buffer) == 0
    (_, _, _, nlink, uid, gid, mode, inode, size, blocks) = struct.unpack_from("=IIQIIIH2xQQQ", buffer)
    changed, modified = (struct.unpack_from("=qI", buffer, at) for at in (0x60, 0x70))
    return (mode, nlink, uid, gid, inode, size, blocks, modified[0] * 10**9 + modified[1],
            changed[0] * 10**9 + changed[1])


WAYS = [pread, readv, read_after_seek, mapped, after_readahead, sent, spliced, copied, direct,
        data_and_holes, without_waiting, through_uring, leased, after_looking_at_it]


class Churn:
    """Does to the cache what managers do, again and again."""

    def __init__(self, penstock, mount):
        self.penstock, self.mount = penstock, mount

    def step(self, numbers):
        point = self.mount.point
        action = numbers.choice(["evict", "evict", "warm", "verify", "pin", "unpin", "scrub", "status"])
        if action == "evict":
            self.penstock("evict", numbers.choice([point, point / "proposal/scan"]), status=None)
        elif action == "warm":
            self.penstock("warm", point / numbers.choice(FILES), status=None)
        elif action == "verify":
            self.penstock("warm", "--verify", point / "proposal/scan", status=None)
        elif action in ("pin", "unpin"):
            self.penstock(action, point / "proposal/scan", status=None)
        elif action == "scrub":
            self.penstock("scrub", point, "--rate", "0", "--detach", status=None)
        else:
            self.mount.status()


@pytest.mark.parametrize("options", [(), ("--no-passthrough",), ("--cache-size", "20M")],
                         ids=["default", "served", "tight"])
def test_every_byte_is_the_stores(penstock, master, places, options):
    point, cache = places
    expected = {name: (master / name).read_bytes() for name in FILES}
    STATUS.update({name: tuple(getattr(os.stat(master / name), field) for field in STATUS_FIELDS)
                   for name in FILES})
    wrong, reads = [], [0] * 4
    end = time.monotonic() + SECONDS / 3

    def read(thread):
        try:
            read_on(thread)
        finally:
            UringReader.end()

    def read_on(thread):
        numbers = random.Random(f"{SEED} {thread}")
        # A slow machine, or a build with sanitizers, takes longer than that for a few reads.
        while (time.monotonic() < end or reads[thread] < LEAST_READS) and not wrong:
            name = numbers.choice(FILES)
            with open(point / name, "rb", buffering=0) as file:
                for _ in range(numbers.choice([1, 5, 20])):
                    way = numbers.choice(WAYS)
                    at = numbers.randrange(len(expected[name]) + 100)
                    size = numbers.choice([1, 100, 4096, 70_000, 1_500_000])
                    try:
                        got = way(file.fileno(), at, size, numbers)
                    except Exception as failure:  # pylint: disable=broad-except
                        got = repr(failure)
                    reads[thread] += 1
                    if got != expected[name][at:at + size]:
                        wrong.append((name, way.__name__, at, size, got if isinstance(got, str) else len(got)))
                        return

    with mounted(penstock, master, point, cache, "--settle-time", "0", *options) as mount:
        before = mount.status()["process"]
        threads = [threading.Thread(target=read, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        churn, numbers = Churn(penstock, mount), random.Random(SEED)
        while any(thread.is_alive() for thread in threads):
            churn.step(numbers)
        for thread in threads:
            thread.join()
        assert not wrong, f"PENSTOCK_MODEL_SEED={SEED}: {wrong[0]}"
        assert min(reads) >= LEAST_READS
        status = mount.status()
        print(f"{sum(reads)} reads: {before} before, {status['process']} after")
        counters = status["counters"]
        assert counters["damaged_cache_extents"] == counters["verification_failures"] == 0
        assert counters["cache_errors"] == 0
        if not options:
            # (The last thing that was done may have been to evict everything.)
            penstock("warm", point / "proposal/scan")
    assert replicas(cache) or options
