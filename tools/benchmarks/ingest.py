"""Ingest (decode, checksums, statistics, previews, publication) against cp of the same files: cold
source, source and destination on the same disk. cp is timed as it is and with a sync of the copy,
since ingest syncs what it writes. The peers convert the same MIB file in the same run."""

import os
import shutil
import subprocess
import time

from benchmarks import vendor_files
from benchmarks.measure import GIB, Row, Table

# What a user of the peers writes today.
PEERS = {
    "rosettasciio to .hspy": """
import sys, warnings; warnings.simplefilter("ignore")
from rsciio.quantumdetector import file_reader
from rsciio.hspy import file_writer
signal = file_reader(sys.argv[1], lazy=True)[0]
signal.setdefault("package_info", {"package": "rosettasciio", "package_version": "0"})
for key in ("learning_results", "models", "tmp_parameters"):
    signal.setdefault(key, {})
signal.setdefault("attributes", {"_lazy": True, "ragged": False})
signal["metadata"].setdefault("General", {}).setdefault("title", "")
file_writer(sys.argv[2] + ".hspy", signal)
""",
    "LiberTEM export_dataset": """
import sys
import libertem.api as lt
if __name__ == "__main__":
    with lt.Context() as context:
        data = context.load("mib", path=sys.argv[1].replace(".mib", ".hdr"))
        context.export_dataset(data, path=sys.argv[2] + ".npy")
""",
}


def run(bench):
    """Yields each table when it is done: the whole takes many minutes."""
    mib = bench.mib
    yield _against_cp(bench, "MIB u16", mib, [mib], [])
    for name, make in (("raw u16", vendor_files.raw), ("EMPAD", vendor_files.empad), ("K2 IS", vendor_files.k2is)):
        folder = bench.work / "vendor"
        folder.mkdir()
        source, files, *options = make(folder, mib.stat().st_size)
        yield _against_cp(bench, name, source, files, options[0] if options else [])
        shutil.rmtree(folder)
    yield _against_peers(bench)


def _ingest(bench, source, to, options):
    """Seconds and peak memory in MiB."""
    command = [str(part) for part in (bench.penstock, "ingest", source, "--to", to, *options)]
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 3):
        raise RuntimeError(f"{' '.join(command)}\n{error}")
    return time.monotonic() - start, usage.ru_maxrss / 1024


def _against_cp(bench, name, source, files, options):
    size = sum(file.stat().st_size for file in files) / GIB
    copy, dataset = bench.work / "copy", bench.work / "ingested"
    ours, plain, synced, peak = [], [], [], 0.0
    for _ in range(bench.repeats):
        copy.mkdir()
        bench.drop_from_page_cache(*files)
        seconds = bench.timed("cp", *files, copy)
        plain.append(size / seconds)
        seconds += bench.timed("sync", "-f", copy)
        synced.append(size / seconds)
        shutil.rmtree(copy)

        bench.drop_from_page_cache(*files)
        seconds, memory = _ingest(bench, source, dataset, options)
        ours.append(size / seconds)
        peak = max(peak, memory)
        shutil.rmtree(dataset)
    return Table(f"ingest, {name}, cold source", [
        Row(f"ingest {size:.1f} GiB", "cp", ours, plain),
        Row(f"ingest {size:.1f} GiB", "cp + sync", ours, synced)],
        ["rates count source bytes; ingest includes checksums, statistics, previews, sync, publication",
         f"peak memory of ingest {peak:.0f} MiB"])


def _against_peers(bench):
    """One repetition: the peers take minutes."""
    size = bench.mib.stat().st_size / GIB
    rows, notes = [], []
    out = bench.work / "peer"
    for name, script in PEERS.items():
        bench.drop_from_page_cache(bench.mib)
        start = time.monotonic()
        python = bench.root / ".venv/bin/python"
        program = bench.work / "peer.py"
        program.write_text(script)
        out.mkdir()
        done = subprocess.run([python, program, bench.mib, out / "converted"], capture_output=True, text=True,
                              check=False)
        seconds = time.monotonic() - start
        shutil.rmtree(out)
        if done.returncode != 0:
            notes.append(f"{name}: failed: {done.stderr.strip().splitlines()[-1] if done.stderr else done.returncode}")
            continue
        bench.drop_from_page_cache(bench.mib)
        ours, _ = _ingest(bench, bench.mib, bench.work / "ingested", [])
        shutil.rmtree(bench.work / "ingested")
        rows.append(Row(f"ingest {size:.1f} GiB", name, [size / ours], [size / seconds]))
    return Table("ingest, MIB u16, cold source, against the peers (one repetition)", rows, notes)
