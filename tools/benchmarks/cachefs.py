"""A warm, complete block through the mount against the native file in the store, with fio."""

from benchmarks.measure import GIB, Row, Table

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
    bench.run(bench.penstock, "mount", bench.store, mount, "--cache", cache, "--cache-size", "64G")
    try:
        tables.append(_first_read(bench, mount))
        native = bench.blocks()[0]
        mounted = mount / native.relative_to(bench.store)
        rows = []
        for name, options in PATTERNS:
            ours, theirs = [], []
            bench.fio([native], *options), bench.fio([mounted], *options)  # into the page cache
            for _ in range(bench.repeats):
                theirs.append(bench.fio([native], *options))
                ours.append(bench.fio([mounted], *options))
            rows.append(Row(name, "native file", ours, theirs))
        tables.append(Table("mount, complete block, against the native file", rows,
                            [line for line in bench.run(bench.penstock, "status", mount).stdout.splitlines()
                             if line.startswith("passthrough")]))
    finally:
        bench.run(bench.penstock, "unmount", mount)
    return tables


def _first_read(bench, mount):
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
    return Table("mount, first read with a cold cache", [Row("cat of every block", "cp to the same disk", [ours], [theirs])],
                 ["one repetition: the second read would be warm"])
