"""What the benchmark suites share: the simulated scan, cache dropping, fio, tables of ratios."""

import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import time

GIB = 1 << 30
FRAME_RECORD_BYTES = 131456  # 256x256 u16 MIB record
SIGNAL = (256, 256)
ITEM_BYTES = {"float32": 4, "uint16": 2, "uint8": 1}


@dataclasses.dataclass
class Row:
    """One comparison: rates (GiB/s) of penstock and of its reference, repetition by repetition."""

    name: str
    reference: str
    ours: list
    theirs: list

    def ratios(self):
        return [a / b for a, b in zip(self.ours, self.theirs)]


@dataclasses.dataclass
class Table:
    title: str
    rows: list
    notes: list = dataclasses.field(default_factory=list)
    unit: str = "GiB/s"

    def text(self) -> str:
        lines = ["", f"== {self.title}",
                 f"{'what':<44} {'reference':<30} {'penstock':>22} {'reference':>22} {'ratio':>20}  ({self.unit})"]
        for row in self.rows:
            lines.append(f"{row.name:<44} {row.reference:<30} {_spread(row.ours):>22} "
                         f"{_spread(row.theirs):>22} {_spread(row.ratios()):>20}")
        lines += [f"   {note}" for note in self.notes]
        return "\n".join(lines)

    def as_json(self):
        return {"title": self.title, "unit": self.unit, "notes": self.notes,
                "rows": [{"name": row.name, "reference": row.reference, "penstock": row.ours,
                          "reference_values": row.theirs, "ratio_median": statistics.median(row.ratios()),
                          "ratios": row.ratios()} for row in self.rows]}


def _spread(values) -> str:
    return f"{statistics.median(values):.2f} [{min(values):.2f}-{max(values):.2f}]"


class Bench:
    def __init__(self, root: pathlib.Path, work: pathlib.Path, gib: float, repeats: int):
        self.root, self.work, self.repeats = root, work, repeats
        self.frames = max(64, int(gib * GIB / FRAME_RECORD_BYTES) // 64 * 64)
        self.penstock = root / "build/release/tools/penstock/penstock"
        self.bandwidth = root / "build/release/tools/benchmarks/penstock_bandwidth"
        self.files = root / "build/release/tools/benchmarks/penstock_bench_files"
        self.start = root / "build/release/tools/benchmarks/penstock_bench_start"
        self.mib = work / "scan.mib"
        self.store = work / "store"
        self.dataset = self.store / "scan"
        self._huge_pages_before = None

    def prepare(self):
        """Writes the vendor file and ingests it once; the suites work on both."""
        self.store.mkdir()
        self.run(self.penstock, "simulate", self.mib, "--scan-shape", f"64,{self.frames // 64}", "--counts", "0.5")
        self.run(self.penstock, "ingest", self.mib, "--to", self.dataset)
        self._reserve_huge_pages()

    def close(self):
        if self._huge_pages_before is not None:
            pathlib.Path("/proc/sys/vm/nr_hugepages").write_text(self._huge_pages_before)

    def run(self, *command, **options):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
        if done.returncode not in (0, 3):
            raise RuntimeError(f"{' '.join(map(str, command))}\nexit status {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def timed(self, *command) -> float:
        start = time.monotonic()
        self.run(*command)
        return time.monotonic() - start

    def blocks(self, dataset=None):
        return sorted(path for path in ((dataset or self.dataset) / "data.zarr/real/c").rglob("*") if path.is_file())

    def dataset_bytes(self):
        return sum(block.stat().st_size for block in self.blocks())

    def typed_dataset(self, dtype):
        """A dataset of that type, a quarter of the simulated scan's size, and its number of frames."""
        frames = max(64, int(self.frames * 2 / ITEM_BYTES[dtype]) // 4 // 64 * 64)
        dataset = self.work / f"typed-{dtype}"
        if not dataset.exists():
            self.run(self.penstock.parents[2] / "tests/penstock_make_dataset", dataset, "--scan-shape",
                     f"{frames // 64},64", "--sig-shape", *SIGNAL, "--dtype", dtype)
        return dataset, frames

    def drop_from_page_cache(self, *paths):
        """Writes dirty pages back and drops the files from the page cache; all of it when root."""
        os.sync()
        with contextlib.suppress(OSError):
            pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
            return
        for path in paths:
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)

    def fio(self, files, *options) -> float:
        """GiB/s of one fio job over the files."""
        names = ":".join(str(path) for path in files)
        done = self.run("fio", "--name=read", f"--filename={names}", "--readonly", "--output-format=json",
                        "--thread", "--group_reporting", "--file_service_type=sequential",
                        # What is in the page cache is decided here: fio would drop it before each job.
                        "--invalidate=0", *options)
        return json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]["read"]["bw_bytes"] / GIB

    @property
    def fio_memory(self):
        """fio reads into huge pages where they can be reserved, as penstock does."""
        return "--iomem=mmaphuge" if self._huge_pages_before is not None else "--iomem=mmap"

    def _reserve_huge_pages(self):
        control = pathlib.Path("/proc/sys/vm/nr_hugepages")
        with contextlib.suppress(OSError):
            before = control.read_text()
            control.write_text(str(max(64, int(before))))
            if int(control.read_text()) >= 64:
                self._huge_pages_before = before
