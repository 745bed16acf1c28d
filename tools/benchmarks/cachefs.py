"""A mount against the native files of its store: warm blocks with fio, first reads, the first byte of a
cold block, descriptors by the short-circuit socket; mounts of others (peers.py) in the same tables."""

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
from benchmarks.peers import PEERS

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

    @contextlib.contextmanager
    def fresh():
        try:
            with _mounted(bench, mount, cache):
                yield mount
        finally:
            shutil.rmtree(cache, ignore_errors=True)

    first = _first_reads(bench, fresh)
    with _mounted(bench, mount, cache):
        bench.run(bench.penstock, "warm", mount / "scan")
        warm = _warm(bench, mount, "penstock")
        warm.append(_against_replicas(bench, mount, cache))
        passthrough = [line for line in bench.run(bench.penstock, "status", mount).stdout.splitlines()
                       if line.startswith("passthrough")]
        tables.append(_short_circuit(bench, mount))
    tables.append(_first_byte(bench, mount))
    notes = ["cp leaves its copy in the page cache unwritten; the mount syncs every block before it is complete",
             "before each: sync, and all of the page cache dropped (without root: the store's files)"]
    for peer in PEERS:
        if shutil.which(peer.command) is None:
            notes.append(f"{peer.command} is not installed: {peer.advice}")
            continue
        with peer.prepared(bench) as fresh_peer:
            first += _first_reads(bench, fresh_peer, peer.name)
            with fresh_peer() as mounted:
                warm += _warm(bench, mounted, peer.name)
    tables.insert(0, Table("mount, first read with a cold cache, in turns with cp to the same disk", first, notes))
    tables.insert(1, Table("mount, complete block, against the native file", warm, passthrough))
    return tables


@contextlib.contextmanager
def _mounted(bench, mount, cache, *options):
    bench.run(bench.penstock, "mount", bench.store, mount, "--cache", cache, "--cache-size", "64G", *options)
    try:
        yield mount
    finally:
        bench.run(bench.penstock, "unmount", mount)


def _warm(bench, mount, who):
    # Several blocks: one takes less than a tenth of a second, and what a disk's host has of it decides.
    native = bench.blocks()[:4]
    mounted = [mount / block.relative_to(bench.store) for block in native]
    rows = []
    for name, options in PATTERNS:
        ours, theirs = [], []
        bench.fio(native, *options), bench.fio(mounted, *options)  # into the page cache
        for repetition in range(bench.repeats):
            pair = [(theirs, native), (ours, mounted)]
            for rates, files in pair[::-1 if repetition % 2 else 1]:
                rates.append(bench.fio(files, *options))
        rows.append(Row(f"{who}: {name}", "native file", ours, theirs))
    return rows


def _against_replicas(bench, mount, cache):
    """Past the page cache, where a file lies on the disk, and what the disk's host has of it, decide more than
    how it is read: the same blocks at the same places."""
    def key(path):
        with open(path, "rb") as file:
            return path.stat().st_size, file.read(65536)

    replicas = {key(path): path for path in cache.glob("blocks/*/*") if path.is_file()}
    mounted = [mount / block.relative_to(bench.store) for block in bench.blocks()[:4]]
    native = [replicas[key(path)] for path in mounted]
    name, options = PATTERNS[-1]
    ours, theirs = [], []
    for repetition in range(2 * bench.repeats):
        pair = [(theirs, native), (ours, mounted)]
        for rates, files in pair[::-1 if repetition % 2 else 1]:
            rates.append(bench.fio(files, *options))
    return Row(f"penstock: {name}", "its replica", ours, theirs)


def _first_reads(bench, fresh, peer=None):
    """All blocks once, cold cache, against cp from the store to the same disk, in turns and each first
    every other time, as disks remember what was done to them. `fresh` mounts with an empty cache."""
    blocks = bench.blocks()
    size = sum(block.stat().st_size for block in blocks) / GIB
    copy = bench.work / "copied"

    def copied():
        bench.drop_from_page_cache(*blocks)
        copy.mkdir()
        unsynced = bench.timed("cp", "-r", bench.dataset / "data.zarr/real", copy)
        synced = unsynced + bench.timed("sync", *[path for path in copy.rglob("*") if path.is_file()])
        shutil.rmtree(copy)
        return size / unsynced, size / synced

    def read():
        with fresh() as mount:
            bench.drop_from_page_cache(*blocks)
            mounted = [mount / block.relative_to(bench.store) for block in blocks]
            return size / bench.timed("sh", "-c", 'cat "$@" >/dev/null', "sh", *mounted)

    def warmed():
        with fresh() as mount:
            bench.drop_from_page_cache(*blocks)
            return size / bench.timed(bench.penstock, "warm", mount / "scan")

    jobs = {"cp": copied, "cat": read} | ({} if peer else {"warm": warmed})
    rates = {name: [] for name in jobs}
    for repetition in range(bench.repeats):
        for name in list(jobs)[::-1 if repetition % 2 else 1]:
            rates[name].append(jobs[name]())
    unsynced, synced = ([pair[each] for pair in rates["cp"]] for each in (0, 1))
    rows = [Row(f"{peer or 'penstock'}: cat of every block", "cp", rates["cat"], unsynced)]
    if peer is None:
        rows += [Row("penstock: the same", "cp and fdatasync of each file", rates["cat"], synced),
                 Row("penstock: warm, all synced", "cp and fdatasync of each file", rates["warm"], synced)]
    return rows


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
