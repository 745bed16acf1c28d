"""Ingest (decode, checksums, statistics, previews, publication) against cp of the same file: cold
source, source and destination on the same disk. cp is timed as it is and with a sync of the copy,
since ingest syncs what it writes."""

import shutil

from benchmarks.measure import GIB, Row, Table


def run(bench):
    size = bench.mib.stat().st_size / GIB
    copy, dataset = bench.work / "copy.mib", bench.work / "ingested"
    ours, plain, synced = [], [], []
    for _ in range(bench.repeats):
        bench.drop_from_page_cache(bench.mib)
        seconds = bench.timed("cp", bench.mib, copy)
        plain.append(size / seconds)
        seconds += bench.timed("sync", copy)
        synced.append(size / seconds)
        copy.unlink()

        bench.drop_from_page_cache(bench.mib)
        ours.append(size / bench.timed(bench.penstock, "ingest", bench.mib, "--to", dataset))
        shutil.rmtree(dataset)
    return [Table("ingest, MIB u16, cold source", [
        Row(f"ingest {size:.1f} GiB", "cp", ours, plain),
        Row(f"ingest {size:.1f} GiB", "cp + sync", ours, synced)],
        ["rates count source bytes; ingest includes checksums, statistics, previews, sync, publication"])]
