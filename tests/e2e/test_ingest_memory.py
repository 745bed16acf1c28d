"""The bounds on memory."""

import shutil
import subprocess
import sys

import pytest

from ingesting import blocks_of


def peak_memory(penstock, *arguments, **options):
    """Peak resident bytes of one run of its own; `options` as for subprocess.run."""
    # A process of its own in between: until it is another program, a child counts what its parent has.
    script = ("import os, subprocess, sys\n"
              "process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
              "_, status, usage = os.wait4(process.pid, 0)\n"
              "print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)\n")
    done = subprocess.run([sys.executable, "-c", script, str(penstock.binary), *map(str, arguments)],
                          capture_output=True, text=True, check=True, **options)
    status, peak = map(int, done.stdout.split())
    assert status == 0, done.stderr
    return peak * 1024


@pytest.mark.parametrize("side, dtype, size", [
    (256, "<u2", 1 << 30), (4096, "<u2", 256 << 20), (4096, "<u4", 320 << 20),
    (4096, ">f4", 320 << 20)])
def test_memory_does_not_depend_on_the_input(penstock, tmp_path, side, dtype, size):
    source = tmp_path / "sparse.raw"
    with open(source, "wb") as file:
        file.truncate(size)
    try:
        peak = peak_memory(penstock, "ingest", source, "--to", tmp_path / "out", "--format", "raw",
                           "--sig-shape", f"{side},{side}", "--dtype", dtype)
        assert peak < 512 << 20
        assert len(blocks_of(tmp_path / "out")) == -(-size >> 28)
    finally:
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


def test_frames_beyond_the_memory_are_refused(penstock, tmp_path):
    source = tmp_path / "huge.raw"
    with open(source, "wb") as file:
        file.truncate(2 << 30)
    done = penstock("ingest", source, "--to", tmp_path / "out", "--format", "raw", "--sig-shape",
                    "16384,16384", "--dtype", "f4", status=1)
    assert "more memory" in done.stderr and "--memory" in done.stderr
