"""Compressed counting data against the same frames uncompressed: rates of frames, not of stored bytes."""

import json

from benchmarks.measure import GIB, Row, Table
from benchmarks.reader import _apply_rate

COUNTS = 0.05  # per pixel


def run(bench):
    mib = bench.work / "counting.mib"
    bench.run(bench.penstock, "simulate", mib, "--scan-shape", f"64,{bench.frames // 64}", "--counts", COUNTS)
    datasets = {}
    notes = []
    for choice in ("none", "lz4", "zstd", "auto"):
        datasets[choice] = bench.work / f"counting-{choice}"
        done = bench.run(bench.penstock, "ingest", mib, "--to", datasets[choice], f"--compress={choice}", "--json")
        result = json.loads(done.stdout.splitlines()[-1])
        notes.append(f"{choice}: ingested at {result['bytes'] / GIB / result['seconds']:.2f} GiB/s, "
                     f"{result['bytes'] / result['stored_bytes']:.1f} times smaller"
                     + (f"; took {result['compression']}" if choice == "auto" else ""))
    mib.unlink()
    return [_table(bench, datasets, cold, notes) for cold in (True, False)]


def _table(bench, datasets, cold, notes):
    rates = {choice: [] for choice in datasets}
    for _ in range(bench.repeats):
        for choice, dataset in datasets.items():
            blocks = bench.blocks(dataset)
            if cold:
                bench.drop_from_page_cache(*blocks)
            else:
                for block in blocks:
                    with open(block, "rb", buffering=0) as file:
                        while file.read(16 << 20):
                            pass
            done = bench.run(bench.penstock, "apply", dataset, "--mask", "disk:127.5,127.5,24",
                             "--out", bench.work / "out", "--json")
            rates[choice].append(_apply_rate(done.stdout))
    return Table(f"compressed, {'cold' if cold else 'warm'}, apply, 1 mask, all processors",
                 [Row(f"{choice}, mean {COUNTS} counts per pixel", "uncompressed", rates[choice], rates["none"])
                  for choice in datasets if choice != "none"], notes)
