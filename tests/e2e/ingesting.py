"""What the tests of `penstock ingest` share: sources, runs in the background, what a dataset holds."""

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest
import zarr

from stopping import stop_among_blocks

EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


def make_frames(count, rows, columns, dtype, seed=1):
    numbers = np.random.default_rng(seed).integers(0, 120, (count, rows, columns))
    return numbers.astype(dtype)


def write_raw(path, frames, header=b"", frame_header=b"", frame_footer=b""):
    with open(path, "wb") as file:
        file.write(header)
        for frame in frames:
            file.write(frame_header + frame.tobytes() + frame_footer)
    return path


def raw_options(frames):
    return ["--format", "raw", "--sig-shape", f"{frames.shape[1]},{frames.shape[2]}",
            "--dtype", frames.dtype.str]


def blocks_of(dataset):
    return sorted(p for p in (dataset / "data.zarr/real/c").rglob("*") if p.is_file())


def read_blocks(dataset, shape, dtype):
    """All frames by the raw face: memory-mapped at byte 65536 of each block, in block order."""
    array = zarr.open_array(dataset / "data.zarr/real", mode="r")
    assert array.shape == shape and array.dtype == np.dtype(dtype).newbyteorder("=")
    return array[...]


def image_key(dataset):
    return zarr.open_array(dataset / "data.zarr/image_key", mode="r")[...]


def nexus(dataset):
    return json.loads((dataset / "nexus.json").read_text())


def find_all(tree, key):
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == key:
                yield value
            yield from find_all(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from find_all(value, key)


def files_of(dataset):
    return {str(p.relative_to(dataset)): p.read_bytes()
            for p in sorted(dataset.rglob("*")) if p.is_file()}


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir() if p.name.startswith(".") and "ingest" in p.name)


def write_mib(path, frames, numbers):
    """Processed 16-bit Merlin frames, from the description of the format."""
    rows, columns = frames.shape[1:]
    with open(path, "wb") as file:
        for number, frame in zip(numbers, frames):
            header = (f"MQ1,{number:06d},00384,01,{columns:04d},{rows:04d},U16,   1x1,01,"
                      "2024-01-01 00:00:00.000000,0.001000,0,0,0,0.000000E+0,")
            file.write(header.encode().ljust(384, b"\0") + frame.astype(">u2").tobytes())


class Running:
    """An ingest in the background, slow enough to be interfered with: many small blocks (of 1600
    frames of 2 KiB: 50, or more with a scan), each of which is synced."""

    def __init__(self, penstock, source, frames, to, *more):
        self.arguments = [str(penstock.binary), "ingest", str(source), "--to", str(to),
                          *raw_options(frames), "--block-size", "64K", "--jobs", "2",
                          *map(str, more)]
        self.to = pathlib.Path(to)

    def start(self):
        self.process = subprocess.Popen(self.arguments, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, **EPOCH})
        return self

    def stop_among_blocks(self, first=2, last=40):
        """Starts it, too."""
        self.process = stop_among_blocks(lambda: self.start().process, self.to, first, last)
        return self.process


@pytest.fixture
def slow_source(tmp_path):
    frames = make_frames(1600, 32, 32, "<u2")
    return write_raw(tmp_path / "slow.raw", frames), frames
