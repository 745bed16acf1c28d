"""The formula of tests/support/synthetic_dataset.h in NumPy, and the program that writes it."""

import os
import pathlib
import subprocess

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]


def make_dataset_program() -> pathlib.Path:
    """tests/penstock_make_dataset of the build folder that the penstock command is from."""
    named = os.environ.get("PENSTOCK_BINARY")
    build = pathlib.Path(named).parents[2] if named else ROOT / "build/release"
    return build / "tests/penstock_make_dataset"


def make_dataset(out, scan=(5, 6), sig=(16, 12), dtype="uint16", missing=(), block_bytes=None,
                 calibrated=False, complete=False, compression=None, marked=()):
    program = make_dataset_program()
    assert program.exists(), f"{program} does not exist: build first, or set PENSTOCK_BINARY"
    command = [program, out, "--scan-shape", ",".join(map(str, scan)),
               "--sig-shape", ",".join(map(str, sig)), "--dtype", dtype]
    if missing:
        command += ["--missing", ",".join(map(str, missing))]
    if len(marked):
        command += ["--marked", ",".join(map(str, marked))]
    if block_bytes:
        command += ["--block-bytes", block_bytes]
    if compression:
        command += ["--compression", compression]
    if calibrated:
        command.append("--calibrated")
    if complete:
        command.append("--complete")
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return pathlib.Path(out)


def frames(scan=(5, 6), sig=(16, 12), dtype="uint16", missing=(), **_):
    """All frames as the dataset must hold them, missing ones as zeros; shape scan + sig."""
    dtype = np.dtype(dtype)
    count = int(np.prod(scan))
    n = np.arange(count, dtype=np.int64)[:, None, None]
    y = np.arange(sig[0], dtype=np.int64)[None, :, None]
    x = np.arange(sig[1], dtype=np.int64)[None, None, :]
    number = (7 * n + 3 * y + 5 * x + ((n * y) ^ x)) % (113 if dtype.itemsize == 1 else 4093)
    if dtype.kind == "i":
        pixels = number - 50
    elif dtype.kind == "f":
        pixels = number * 0.25 - 3
    elif dtype.kind == "c":
        pixels = number - 1j * number
    else:
        pixels = number
    pixels = pixels.astype(dtype)
    pixels[list(missing)] = 0
    return pixels.reshape(tuple(scan) + tuple(sig))
