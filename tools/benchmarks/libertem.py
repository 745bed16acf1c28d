"""Reader against LiberTEM, the release in the tests' environment: element type by operation, warm and
cold. LiberTEM gets the same frames as one raw file, and of its executors and I/O back ends the ones
that are quickest for the operation; its context is started, and each operation run once, before the
clock is. Both use all processors. Whoever does not run is stopped meanwhile: threads of LiberTEM's libraries
wait for their next work by looking for it, and take half of the machine doing so."""

import contextlib
import json
import os
import signal
import statistics
import subprocess

from benchmarks.measure import GIB, SIGNAL, Row, Table

TYPES = ["float32", "uint16", "uint8"]
OPERATIONS = ["sum", "masks_1", "masks_4", "masks_16", "std", "com", "radial_256"]
EXECUTORS = ["dask", "threads", "inline"]

# Reads "OPERATION BACKEND" lines, answers each with the seconds of a run.
WORKER = """
import sys, time
import numpy as np, sparse
import libertem.api as lt
from libertem.io.dataset.base import DirectBackend, MMapBackend
from libertem.udf.com import CoMUDF
from libertem.udf.masks import ApplyMasksUDF
from libertem.udf.stddev import StdDevUDF
from libertem.udf.sum import SumUDF

def rings(count, outer):
    rows, columns = SHAPE
    y, x = np.mgrid[:rows, :columns]
    distance = np.hypot(y - rows / 2, x - columns / 2)
    edges = np.linspace(0, outer, count + 1)
    stack = [(distance > low if low > 0 else distance >= 0) & (distance <= high)
             for low, high in zip(edges, edges[1:])]
    return np.stack(stack).astype(np.float32)

def sparse_rings():
    return sparse.COO(rings(256, np.hypot(SHAPE[0] / 2, SHAPE[1] / 2)))

def udf(operation):
    if operation == "sum": return SumUDF()
    if operation == "std": return StdDevUDF()
    if operation == "com": return CoMUDF.with_params(cy=SHAPE[0] / 2, cx=SHAPE[1] / 2)
    if operation == "radial_256":
        return ApplyMasksUDF(mask_factories=sparse_rings, mask_count=256, mask_dtype=np.float32, use_sparse=True)
    count = int(operation.rpartition("_")[2])
    return ApplyMasksUDF(mask_factories=lambda: rings(count, SHAPE[0] / 2), mask_count=count,
                         mask_dtype=np.float32, use_sparse=False)

if __name__ == "__main__":
    path, dtype, frames, executor = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    SHAPE = tuple(int(n) for n in sys.argv[5].split(","))
    with lt.Context.make_with(executor) as context:
        data = {name: context.load("raw", path=path, dtype=dtype, nav_shape=(frames // 64, 64), sig_shape=SHAPE,
                                   io_backend=backend)
                for name, backend in (("mmap", MMapBackend()), ("direct", DirectBackend()))}
        print("ready", flush=True)
        for line in sys.stdin:
            operation, backend = line.split()
            begin = time.perf_counter()
            context.run_udf(dataset=data[backend], udf=udf(operation))
            print(time.perf_counter() - begin, flush=True)
"""


def run(bench):
    program = bench.work / "libertem_worker.py"
    program.write_text(WORKER)
    for dtype in TYPES:
        yield from _one_type(bench, dtype, program)


def _one_type(bench, dtype, program):
    dataset, frames = bench.typed_dataset(dtype)  # a quarter of the size, as the cold table reads every byte from the disk
    raw = bench.work / f"typed-{dtype}.raw"
    _write_raw(dataset, raw)
    size = raw.stat().st_size / GIB
    with contextlib.ExitStack() as stack:
        workers = {}
        for executor in EXECUTORS:
            workers[executor] = stack.enter_context(_worker(bench, program, raw, dtype, frames, executor))
        yield Table(f"reader against LiberTEM, {dtype}, warm", [
            _warm(bench, dataset, workers, operation, size) for operation in OPERATIONS])
        yield Table(f"reader against LiberTEM, {dtype}, cold", [_cold(bench, dataset, raw, workers, size)])
    raw.unlink()


def _write_raw(dataset, raw):
    import zarr
    array = zarr.open_array(dataset / "data.zarr/real", mode="r")
    with open(raw, "wb") as file:
        for row in range(array.shape[0]):
            array[row].tofile(file)


@contextlib.contextmanager
def _worker(bench, program, raw, dtype, frames, executor):
    command = [bench.root / ".venv/bin/python", program, raw, dtype, frames, executor,
               ",".join(str(n) for n in SIGNAL)]
    with subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, start_new_session=True) as process:
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"LiberTEM does not start with {executor}")

        def run(operation, backend):
            process.stdin.write(f"{operation} {backend}\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        run.group = process.pid
        yield run
        process.stdin.close()


@contextlib.contextmanager
def _stopped(workers):
    for worker in workers:
        os.killpg(worker.group, signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in workers:
            os.killpg(worker.group, signal.SIGCONT)


def _theirs(workers, executor, operation, backend):
    with _stopped([worker for name, worker in workers.items() if name != executor]):
        return workers[executor](operation, backend)


def _ours(bench, dataset, operation, *options):
    done = bench.run(bench.bandwidth, dataset, "--threads", os.cpu_count(), "--repeat", 2, "--only", operation, "--json",
                     *options)
    return json.loads(done.stdout)["repetitions"]


def _warm(bench, dataset, workers, operation, size):
    for executor in workers:
        workers[executor](operation, "mmap")  # compiles, fills the page cache
    quickest = min(workers, key=lambda executor: _theirs(workers, executor, operation, "mmap"))
    ours, theirs = [], []
    for _ in range(bench.repeats):
        theirs.append(size / _theirs(workers, quickest, operation, "mmap"))
        # The second pass of two: LiberTEM has had its first, too.
        with _stopped(workers.values()):
            ours.append(_ours(bench, dataset, operation)[operation][-1])
    return Row(operation.replace("_", " "), f"LiberTEM, {quickest}", ours, theirs)


def _cold(bench, dataset, raw, workers, size):
    ours, theirs = [], {(executor, backend): [] for executor in workers for backend in ("mmap", "direct")}
    for _ in range(bench.repeats):
        for executor, backend in theirs:
            bench.drop_from_page_cache(raw)
            theirs[executor, backend].append(size / _theirs(workers, executor, "masks_1", backend))
        with _stopped(workers.values()):
            ours.append(_ours(bench, dataset, "masks_1", "--cold")["direct_masks_1"][-1])
    executor, backend = max(theirs, key=lambda each: statistics.median(theirs[each]))
    return Row("masks 1, O_DIRECT", f"LiberTEM, {executor}, {backend}", ours, theirs[executor, backend])
