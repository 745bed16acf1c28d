"""The bound on memory for files that are larger than memory and disk: PENSTOCK_HUGE_GIB, 100 with
tools/soak, a few in the default suite.

The files are sparse, and so is what comes of them: a preloaded library turns writes of zeros into
holes. All bytes are read, decoded, measured, hashed and handed to the kernel. What is not covered is
the disk itself: no page of frames is written, so that nothing is said of memory of the kernel and of
a disk that is slower than the decoder.
"""

import os
import pathlib
import shutil
import subprocess
import time

import pytest

from ingesting import blocks_of, image_key, nexus
from test_ingest_memory import peak_memory

GIB = 1 << 30
HUGE = int(os.environ.get("PENSTOCK_HUGE_GIB", "2")) * GIB
LIMIT = 512 << 20
SIDE = 512


@pytest.fixture(scope="module")
def holes(tmp_path_factory):
    """The environment in which zeros are not written."""
    if shutil.which("cc") is None:
        pytest.skip("SKIPPED FOR WANT OF A C COMPILER")
    library = tmp_path_factory.mktemp("preload") / "holes.so"
    source = pathlib.Path(__file__).with_name("zeros_become_holes.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return {**os.environ, "LD_PRELOAD": str(library)}


def raw(folder):
    path = folder / "sparse.raw"
    with open(path, "wb") as file:
        file.truncate(HUGE)
    return path, ["--format", "raw", "--sig-shape", f"{SIDE},{SIDE}", "--dtype", "uint16"], SIDE * SIDE * 2


def mib(folder):
    """Frames of 32 bits; only their headers are there."""
    path = folder / "sparse.mib"
    record = 384 + SIDE * SIDE * 4
    with open(path, "wb") as file:
        for number in range(HUGE // record):
            header = (f"MQ1,{number + 1:06d},00384,01,{SIDE:04d},{SIDE:04d},U32,   1x1,01,"
                      "2024-01-01 00:00:00.000000,0.001000,0,0,0,0.000000E+0,")
            file.seek(number * record)
            file.write(header.encode().ljust(384, b"\0"))
        file.truncate((HUGE // record) * record)
    return path, [], SIDE * SIDE * 4


def allocated(path):
    return sum(p.stat().st_blocks * 512 for p in path.rglob("*") if p.is_file())


@pytest.mark.parametrize("make", [raw, mib])
def test_memory_is_bounded_whatever_the_size(penstock, tmp_path, holes, make):
    source, options, frame_bytes = make(tmp_path)
    frames = source.stat().st_size // (frame_bytes + (384 if make is mib else 0))
    out = tmp_path / "out"
    try:
        looked = peak_memory(penstock, "ingest", source, "--to", out, *options, "--dry-run")
        began = time.monotonic()
        peak = peak_memory(penstock, "ingest", source, "--to", out, *options, env=holes)
        seconds = time.monotonic() - began
        summary = nexus(out)["entry1"]["penstock"]
        assert summary["frames_received"] == frames == image_key(out).size
        assert not image_key(out).any()
        size = sum(p.stat().st_size for p in blocks_of(out))
        assert size >= frames * frame_bytes
        assert allocated(out) < size // 20, "frames were written to the disk after all"
        verified = peak_memory(penstock, "verify", out)
        print(f"\n{make.__name__}: {size / GIB:.1f} GiB in {seconds:.0f} s; peak memory "
              f"{looked >> 20} MiB to look, {peak >> 20} MiB to ingest, {verified >> 20} MiB to verify")
        assert max(looked, peak, verified) < LIMIT
    finally:
        source.unlink()
        shutil.rmtree(out, ignore_errors=True)
