"""Acquisitions as instruments leave them, for the tests of unattended ingest."""

import json

import numpy as np


def frames(count, rows=8, columns=6, seed=1):
    return np.random.default_rng(seed).integers(1, 4000, (count, rows, columns)).astype("<u2")


def mib_bytes(stack, first_number=1):
    """Processed 16-bit Merlin frames."""
    rows, columns = stack.shape[1:]
    out = b""
    for number, frame in enumerate(stack, first_number):
        header = (f"MQ1,{number:06d},00384,01,{columns:04d},{rows:04d},U16,   1x1,01,"
                  "2024-01-01 00:00:00.000000,0.001000,0,0,0,0.000000E+0,")
        out += header.encode().ljust(384, b"\0") + frame.astype(">u2").tobytes()
    return out


def hdr_text(frame_count, columns, rows=None):
    rows = frame_count // columns if rows is None else rows
    return ("HDR,\t\n"
            f"Frames in Acquisition (Number):\t{frame_count}\n"
            "Frames per Trigger (Number):\t1\n"
            "Counter Depth (number):\t12\nAssembly Size (NX1, 2X2):\t1x1\n"
            f"ScanX:\t{columns}\nScanY:\t{rows}\nEnd\t\n")


def write_mib(path, stack, columns=None, first_number=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    if columns:
        path.with_suffix(".hdr").write_text(hdr_text(len(stack), columns))
    path.write_bytes(mib_bytes(stack, first_number))
    return path


def lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def events(done, kind):
    return [line for line in lines(done.stdout) if line["event"] == kind]
