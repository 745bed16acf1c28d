"""A mount against the native files of its store: warm blocks with fio, first reads, the first byte of a
cold block, descriptors by the short-circuit socket; rclone's mount in the same tables."""

import contextlib
import os
import random
import shutil
import socket
import statistics
import struct
import subprocess
import time

from benchmarks.measure import GIB, Row, Table

EXTENT = 4 << 20

PATTERNS = [
    ("1 MiB sequential, page cache", ["--rw=read", "--bs=1M", "--ioengine=psync"]),
    ("4 KiB random, page cache", ["--rw=randread", "--bs=4k", "--ioengine=psync", "--norandommap", "--size=25%"]),
    ("1 MiB sequential, mmap", ["--rw=read", "--bs=1M", "--ioengine=mmap"]),
    ("1 MiB sequential, O_DIRECT, qd 4", ["--rw=read", "--bs=1M", "--ioengine=io_uring", "--iodepth=4", "--direct=1"]),
]


def run(bench):
    mount, cache = bench.work / "mount", bench.work / "cache"
    mount.mkdir()
    tables = []
    with _mounted(bench, mount, cache):
        first = _first_read(bench, mount, "cat of every block")
        warm = _warm(bench, mount, "penstock")
        passthrough = [line for line in bench.run(bench.penstock, "status", mount).stdout.splitlines()
                       if line.startswith("passthrough")]
        tables.append(_short_circuit(bench, mount))
    tables.append(_first_byte(bench, mount))
    notes = ["one repetition: the second read would be warm"]
    with _rclone(bench) as peer:
        if peer is None:
            notes.append("rclone is not installed (Debian: rclone)")
        else:
            first += _first_read(bench, peer, "rclone 'full', cat of every block")
            warm += _warm(bench, peer, "rclone 'full'")
    tables.insert(0, Table("mount, first read with a cold cache", first, notes))
    tables.insert(1, Table("mount, complete block, against the native file", warm, passthrough))
    return tables


@contextlib.contextmanager
def _mounted(bench, mount, cache, *options):
    bench.run(bench.penstock, "mount", bench.store, mount, "--cache", cache, "--cache-size", "64G", *options)
    try:
        yield mount
    finally:
        bench.run(bench.penstock, "unmount", mount)


@contextlib.contextmanager
def _rclone(bench):
    """The store through rclone's mount with its cache of whole files; None where there is no rclone."""
    if shutil.which("rclone") is None:
        yield None
        return
    mount = bench.work / "rclone"
    mount.mkdir()
    with open(bench.work / "rclone.log", "w", encoding="utf-8") as log:
        daemon = subprocess.Popen(["rclone", "mount", str(bench.store), str(mount), "--read-only",
                                   "--vfs-cache-mode", "full", "--cache-dir", str(bench.work / "rclone-cache")],
                                  stdout=log, stderr=log)
    try:
        for _ in range(200):
            if os.path.ismount(mount):
                break
            time.sleep(0.05)
        yield mount
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(mount)], check=False)
        daemon.wait()


def _warm(bench, mount, who):
    native = bench.blocks()[0]
    mounted = mount / native.relative_to(bench.store)
    rows = []
    for name, options in PATTERNS:
        ours, theirs = [], []
        bench.fio([native], *options), bench.fio([mounted], *options)  # into the page cache
        for _ in range(bench.repeats):
            theirs.append(bench.fio([native], *options))
            ours.append(bench.fio([mounted], *options))
        rows.append(Row(f"{who}: {name}", "native file", ours, theirs))
    return rows


def _first_read(bench, mount, what):
    """All blocks once, cold cache, against cp from the store to the same disk. One repetition only:
    the second read would be warm."""
    blocks = bench.blocks()
    size = sum(block.stat().st_size for block in blocks) / GIB
    copy = bench.work / "copied"
    copy.mkdir()
    bench.drop_from_page_cache(*blocks)
    theirs = size / bench.timed("cp", "-r", bench.dataset / "data.zarr/real", copy)
    bench.run("rm", "-r", copy)
    bench.drop_from_page_cache(*blocks)
    mounted = [mount / block.relative_to(bench.store) for block in blocks]
    ours = size / bench.timed("sh", "-c", 'for file; do cat "$file" >/dev/null; done', "sh", *mounted)
    return [Row(what, "cp to the same disk", [ours], [theirs])]


def _first_byte(bench, mount):
    """4 KiB at a random place of a block of which nothing is there, against a read of its whole extent
    from the store: what has to be fetched at least."""
    numbers = random.Random(1)
    ours, theirs, beyond = [], [], []
    cache = bench.work / "first-byte"
    for _ in range(max(7, bench.repeats)):
        native = numbers.choice(bench.blocks())
        offset = numbers.randrange(native.stat().st_size // EXTENT) * EXTENT
        bench.drop_from_page_cache(native)
        start = time.monotonic()
        with open(native, "rb", buffering=0) as file:
            os.pread(file.fileno(), EXTENT, offset)
        theirs.append((time.monotonic() - start) * 1000)
        bench.drop_from_page_cache(native)
        with _mounted(bench, mount, cache, "--settle-time", "0"):
            path = mount / native.relative_to(bench.store)
            with open(path, "rb", buffering=0) as file:
                start = time.monotonic()
                os.pread(file.fileno(), 4096, offset + 8192)
                ours.append((time.monotonic() - start) * 1000)
        beyond.append(ours[-1] - theirs[-1])
        shutil.rmtree(cache)
    return Table("mount, first byte of a random frame, cold", [Row("pread of 4 KiB", "pread of its extent", ours, theirs)],
                 [f"beyond the extent's own read: {statistics.median(beyond):.2f} ms in the median"], unit="ms")


def _short_circuit(bench, mount):
    """A descriptor and a lease of a warm block, asked for over the socket (from Python), against open(2)."""
    native = bench.blocks()[0]
    dataset = b"scan"
    ours, theirs = [], []
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(os.getxattr(mount / "scan", "user.penstock.socket").decode())
    with connection:
        for _ in range(max(3, bench.repeats)):
            took = {"ours": [], "theirs": []}
            for _ in range(1000):
                packet = struct.pack("=IHHqII", 0x6B6C5350, 1, 1, 0, 1, len(dataset)) + dataset
                start = time.perf_counter()
                connection.send(packet)
                answer, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
                took["ours"].append((time.perf_counter() - start) * 1e6)
                _, outcome, _, lease, _ = struct.unpack("=IHHQQ", answer[:24])
                if outcome != 0:
                    raise RuntimeError(f"no lease: outcome {outcome}")
                os.close(descriptors[0])
                connection.send(struct.pack("=IHHqII", 0x6B6C5350, 1, 2, lease, 0, 0))
                connection.recv(4096)
                start = time.perf_counter()
                os.close(os.open(native, os.O_RDONLY))
                took["theirs"].append((time.perf_counter() - start) * 1e6)
            ours.append(statistics.median(took["ours"]))
            theirs.append(statistics.median(took["theirs"]))
    return Table("short-circuit open of a warm block, medians of 1000",
                 [Row("descriptor and lease", "open(2) and close of the native file", ours, theirs)], unit="µs")
