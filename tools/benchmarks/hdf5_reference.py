"""Run with the Python of .venv: makes the HDF5 file of the benchmark, and reads it with h5py.

    hdf5_reference.py make FILE GIB FILTER
    hdf5_reference.py read FILE
"""

import sys
import time

import h5py
import hdf5plugin
import numpy as np

SIDE, FRAMES_AT_ONCE = 256, 16


def filters(name):
    return {"bitshuffle-lz4": dict(hdf5plugin.Bitshuffle()), "none": {},
            "shuffle+deflate": {"compression": "gzip", "shuffle": True, "compression_opts": 4},
            "blosc-lz4": dict(hdf5plugin.Blosc(cname="lz4"))}[name]


def make(path, gib, name):
    frames = int(float(gib) * (1 << 30) / (SIDE * SIDE * 2)) // 64 * 64
    rng = np.random.default_rng(1)
    # Counts as of a bright disk on a faint background; few patterns, since making them is slow.
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    rate = 0.3 + 8 * (np.hypot(y, x) < 30)
    patterns = rng.poisson(rate, (64, SIDE, SIDE)).astype("<u2")
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", (frames // 64, 64, SIDE, SIDE), "<u2", chunks=(1, 1, SIDE, SIDE),
                                   **filters(name))
        for row in range(frames // 64):
            data[row] = np.roll(patterns, row, axis=0)


def read(path):
    began = time.monotonic()
    with h5py.File(path) as file:
        data = file["data"]
        tile = np.empty((1, FRAMES_AT_ONCE, SIDE, SIDE), "<u2")
        for row in range(data.shape[0]):
            for column in range(0, data.shape[1], FRAMES_AT_ONCE):
                data.read_direct(tile, np.s_[row:row + 1, column:column + FRAMES_AT_ONCE])
        size = data.size * 2
    print(size, time.monotonic() - began)


if __name__ == "__main__":
    {"make": make, "read": read}[sys.argv[1]](*sys.argv[2:])
