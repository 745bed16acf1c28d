"""Decoding HDF5 against h5py with hdf5plugin: the same file, warm, 16 frames at a time; penstock on
all cores as the pipeline decodes, and on one."""

import os

from benchmarks.measure import GIB, Row, Table

FILTERS = ("bitshuffle-lz4", "blosc-lz4", "shuffle+deflate")


def run(bench):
    python, script = bench.root / ".venv/bin/python", bench.root / "tools/benchmarks/hdf5_reference.py"
    decode = bench.root / "build/release/tests/penstock_decode_source"
    rows = []
    for name in FILTERS:
        path = bench.work / "scan.h5"
        bench.run(python, script, "make", path, bench.frames * 131072 / GIB, name)
        ours, single, theirs = [], [], []
        for _ in range(bench.repeats):
            size, seconds = map(float, bench.run(python, script, "read", path).stdout.split())
            theirs.append(size / GIB / seconds)
            for threads, rates in ((os.cpu_count(), ours), (1, single)):
                words = bench.run(decode, "-", 16, threads, path).stdout.split()
                rates.append(size / GIB / float(words[-1]))
        rows.append(Row(f"decode {name}, {os.cpu_count()} threads", "h5py + hdf5plugin", ours, theirs))
        rows.append(Row(f"decode {name}, 1 thread", "h5py + hdf5plugin", single, theirs))
        path.unlink()
    return [Table("HDF5, chunks of one frame of 256x256 u16, warm", rows,
                  ["rates count decoded bytes; the file holds counts of a bright disk on a faint background"])]
