"""Reader: warm against the load-and-discard rate of the same mapping, cold against fio; how soon it starts."""

import json
import statistics

from benchmarks import vendor_files
from benchmarks.measure import GIB, Row, Table


def run(bench):
    datasets = {"uint16": bench.dataset}
    datasets.update({dtype: bench.typed_dataset(dtype)[0] for dtype in ("uint8", "float32")})
    for dtype, dataset in datasets.items():
        for threads in (1, 2):
            yield _warm(bench, dataset, dtype, threads)
    yield _packed(bench)
    yield _cold(bench)
    yield _start(bench)


def _warm(bench, dataset, dtype, threads):
    for block in bench.blocks(dataset):  # into the page cache, sequentially
        with open(block, "rb", buffering=0) as file:
            while file.read(16 << 20):
                pass
    report = json.loads(bench.run(bench.bandwidth, dataset, "--threads", threads,
                                  "--repeat", bench.repeats, "--json").stdout)
    # The program takes the limit anew beside every operation, and forms the ratios itself.
    repetitions = report["repetitions"]
    rows, to_streams = [], []
    for name, rates in repetitions.items():
        if name + "_ratio" in repetitions:
            limits = [rate / ratio for rate, ratio in zip(rates, repetitions[name + "_ratio"])]
            rows.append(Row(name.replace("_", " "), "load and discard", rates, limits))
            ratio = statistics.median(repetitions[name + "_ratio_to_eight_streams"])
            to_streams.append(f"{name.replace('_', ' ')} {ratio:.2f}")
    return Table(f"reader, warm, mmap, {dtype}, {threads} thread(s)", rows,
                 ["load and discard: one linear read or eight side by side, whichever is faster;",
                  "against the eight alone: " + ", ".join(to_streams)])


def _packed(bench):
    """K2 IS as the camera wrote it, against reading and discarding the same files through mappings made anew."""
    folder = bench.work / "packed"
    folder.mkdir()
    path, files = vendor_files.k2is(folder, bench.dataset_bytes())
    bench.drop_from_page_cache(*files)
    size = sum(file.stat().st_size for file in files) / GIB
    rows = []
    operations = {"mask disk:930,1024,300": ("apply", "--mask", "disk:930,1024,300"),
                  "mask full": ("apply", "--mask", "full"), "centre of mass": ("com",)}
    for name, (command, *options) in operations.items():
        for threads in (1, 2):
            ours, theirs = [], []
            for _ in range(bench.repeats):
                _read(files)
                theirs.append(float(bench.run(bench.files, *files, "--threads", threads).stdout))
                done = bench.run(bench.penstock, command, path, "--no-ingest", *options, "--threads", threads,
                                 "--no-pictures", "--out", bench.work / "packed", "--json")
                ours.append(size / json.loads(done.stdout.strip().splitlines()[-1])["seconds"])
            rows.append(Row(f"{name}, {threads} thread(s)", "load and discard", ours, theirs))
    for file in files:
        file.unlink()
    return Table("reader, K2 IS as it lies, warm, packed bytes", rows)


def _read(files):
    """From the first byte to the last, so that the page cache has all of them, in large pages: some kernels take away
    within seconds what nobody uses."""
    for file in files:
        with open(file, "rb", buffering=0) as source:
            while source.read(16 << 20):
                pass


def _cold(bench):
    ours, theirs = [], []
    blocks = bench.blocks()
    payload = sum(block.stat().st_size for block in blocks) / GIB
    for _ in range(bench.repeats):
        bench.drop_from_page_cache(*blocks)
        theirs.append(bench.fio(blocks, "--rw=read", "--bs=1M", "--direct=1", "--ioengine=io_uring", "--iodepth=4",
                                bench.fio_memory))
        bench.drop_from_page_cache(*blocks)
        done = bench.run(bench.penstock, "apply", bench.dataset, "--mask", "disk:127.5,127.5,24", "--backend", "direct",
                         "--threads", 1, "--out", bench.work / "cold", "--json")
        ours.append(_apply_rate(done.stdout))
    return Table("reader, cold, O_DIRECT", [
        Row("apply, 1 mask, 1 thread", f"fio 1M qd4 {bench.fio_memory[8:]}", ours, theirs)],
        [f"{payload:.1f} GiB in {len(blocks)} blocks; penstock's rate is the pass over the blocks, process start excluded"])


def _start(bench):
    """Times in ms until a dataset of 1000 blocks is open and has a first partial result, warm."""
    mib, dataset = bench.work / "start.mib", bench.work / "start"
    if not dataset.exists():
        bench.run(bench.penstock, "simulate", mib, "--scan-shape", "100,160", "--sig-shape", "128,128")
        bench.run(bench.penstock, "ingest", mib, "--to", dataset, "--block-size", "512K")
    assert len(bench.blocks(dataset)) == 1000
    times = json.loads(bench.run(bench.start, dataset, "--repeat", bench.repeats, "--json").stdout)
    apply, version = [], []
    for _ in range(bench.repeats):
        version.append(1000 * bench.timed(bench.penstock, "--version"))
        apply.append(1000 * bench.timed(bench.penstock, "apply", dataset, "--mask", "disk:64,64,20", "--region", "0:1,0:16",
                                        "--no-pictures", "--out", bench.work / "started.npy"))
    wanted = [20.0] * bench.repeats
    return Table("reader, start, 1000 blocks, warm", [
        Row("library: open", "wanted", times["open_ms"], wanted),
        Row("library: open to first partial result", "wanted", times["first_ms"], wanted),
        Row("penstock apply of one block, whole process", "penstock --version", apply, version)],
        ["times: lower is better; most of the last row is the loading of libraries, which --version does, too"], unit="ms")


def _apply_rate(output):
    """GiB/s out of the last JSON line of `penstock apply --json`."""
    summary = json.loads(output.strip().splitlines()[-1])
    return summary["bytes"] / GIB / summary["seconds"]
