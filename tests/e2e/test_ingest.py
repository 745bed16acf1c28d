"""`penstock ingest` and `penstock info` on raw and NPY files: pixels against NumPy, missing frames,
resuming after kill -9, refusals, and the bounds on memory and disk."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest
import xxhash
import zarr

EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


def make_frames(count, rows, columns, dtype, seed=1):
    numbers = np.random.default_rng(seed).integers(0, 120, (count, rows, columns))
    return numbers.astype(dtype)


def write_raw(path, frames, header=b"", frame_header=b"", frame_footer=b""):
    with open(path, "wb") as file:
        file.write(header)
        for frame in frames:
            file.write(frame_header + frame.tobytes() + frame_footer)
    return path


def raw_options(frames):
    return ["--format", "raw", "--sig-shape", f"{frames.shape[1]},{frames.shape[2]}",
            "--dtype", frames.dtype.str]


def blocks_of(dataset):
    return sorted(p for p in (dataset / "data.zarr/real/c").rglob("*") if p.is_file())


def read_blocks(dataset, shape, dtype):
    """All frames by the raw face: memory-mapped at byte 65536 of each block, in block order."""
    array = zarr.open_array(dataset / "data.zarr/real", mode="r")
    assert array.shape == shape and array.dtype == np.dtype(dtype).newbyteorder("=")
    return array[...]


def image_key(dataset):
    return zarr.open_array(dataset / "data.zarr/image_key", mode="r")[...]


def nexus(dataset):
    return json.loads((dataset / "nexus.json").read_text())


def find_all(tree, key):
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == key:
                yield value
            yield from find_all(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from find_all(value, key)


def files_of(dataset):
    return {str(p.relative_to(dataset)): p.read_bytes()
            for p in sorted(dataset.rglob("*")) if p.is_file()}


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir() if p.name.startswith(".") and "ingest" in p.name)


DTYPES = [order + kind for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
          for order in "<>"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_raw_of_every_type_and_byte_order(penstock, tmp_path, dtype):
    frames = make_frames(15, 7, 9, dtype)
    if np.dtype(dtype).kind in "if":
        frames = (frames - np.dtype(dtype).type(60)).astype(dtype)
    source = write_raw(tmp_path / "scan.raw", frames, header=b"H" * 13, frame_header=b"h" * 3,
                       frame_footer=b"f" * 5)
    penstock("ingest", source, "--to", tmp_path / "out", *raw_options(frames), "--offset", 13,
             "--frame-header", 3, "--frame-footer", 5, "--scan-shape", "3,5", "--block-size", 700)
    out = tmp_path / "out"
    assert len(blocks_of(out)) > 1
    stored = read_blocks(out, (3, 5, 7, 9), dtype)
    np.testing.assert_array_equal(stored, frames.reshape(3, 5, 7, 9))
    assert not leftovers(tmp_path)
    penstock("verify", out, status=None)  # present once the catalog's commands are


def test_npy_and_the_three_faces(penstock, tmp_path):
    frames = make_frames(6 * 7, 16, 12, "<u2").reshape(6, 7, 16, 12)
    np.save(tmp_path / "scan.npy", frames)
    store = tmp_path / "store"
    penstock("ingest", tmp_path / "scan.npy", "--to", f"{store}/", "--block-size", 6000)
    out = store / "scan"
    np.testing.assert_array_equal(read_blocks(out, (6, 7, 16, 12), "<u2"), frames)
    first = blocks_of(out)[0]
    with h5py.File(first) as block:
        rows = block["real"].shape[0]
        np.testing.assert_array_equal(block["real"][...], frames[:rows, :block["real"].shape[1]])
    mapped = np.memmap(first, "<u2", "r", offset=65536, shape=(16, 12))
    np.testing.assert_array_equal(mapped, frames[0, 0])
    with h5py.File(out / "data.nxs") as file:
        signal_path = "entry1/measurement/event1/image1/image_4d/real"
        np.testing.assert_array_equal(file[signal_path][...], frames)
    subprocess.run(["xxh128sum", "-c", "--quiet", "checksums.xxh128"], cwd=out, check=True)
    for picture, size in (("mean_pattern", (12, 16)), ("total_intensity", (7, 6))):
        from PIL import Image
        with Image.open(out / f"preview/{picture}.png") as image:
            assert image.size == size
    np.testing.assert_array_equal(
        zarr.open_array(out / "data.zarr/statistics/frame/sum", mode="r")[...],
        frames.sum(axis=(2, 3), dtype=np.uint64))


def test_npy_in_fortran_order_is_refused(penstock, tmp_path):
    np.save(tmp_path / "f.npy", np.asfortranarray(np.zeros((3, 4, 5), "u2")))
    done = penstock("ingest", tmp_path / "f.npy", "--to", tmp_path / "out", status=1)
    assert "Fortran order" in done.stderr and "ascontiguousarray" in done.stderr
    assert not (tmp_path / "out").exists() and not leftovers(tmp_path)


def test_series_without_any_scan_shape(penstock, tmp_path):
    frames = make_frames(9, 4, 4, "<u2")
    source = write_raw(tmp_path / "s.raw", frames)
    done = penstock("ingest", source, "--to", tmp_path / "out", *raw_options(frames), "--dry-run")
    assert "series of 9" in done.stdout and "--scan-shape 3,3" in done.stdout
    assert not (tmp_path / "out").exists() and not leftovers(tmp_path)
    penstock("ingest", source, "--to", tmp_path / "out", *raw_options(frames), "--block-size", 70)
    np.testing.assert_array_equal(read_blocks(tmp_path / "out", (9, 4, 4), "<u2"), frames)


@pytest.mark.parametrize("offset", [3, -3])
def test_sync_offset(penstock, tmp_path, offset):
    frames = make_frames(20, 4, 6, "<u2")
    source = write_raw(tmp_path / "s.raw", frames)
    penstock("ingest", source, "--to", tmp_path / "out", *raw_options(frames), "--scan-shape",
             "4,5", "--sync-offset", offset, "--missing", "zero", "--block-size", 200, status=3)
    expected = np.zeros_like(frames)
    key = np.full(20, 3)
    if offset > 0:
        expected[:-offset], key[:-offset] = frames[offset:], 0
    else:
        expected[-offset:], key[-offset:] = frames[:offset], 0
    np.testing.assert_array_equal(read_blocks(tmp_path / "out", (4, 5, 4, 6), "<u2"),
                                  expected.reshape(4, 5, 4, 6))
    np.testing.assert_array_equal(image_key(tmp_path / "out").ravel(), key)


def test_missing_frames_by_policy(penstock, tmp_path):
    frames = make_frames(13, 4, 6, "<u2")
    source = write_raw(tmp_path / "s.raw", frames)
    options = [*raw_options(frames), "--scan-shape", "5,4"]
    done = penstock("ingest", source, "--to", tmp_path / "a", *options, status=1)
    assert "fewer frames" in done.stderr and "20 positions" in done.stderr
    assert "13 frames" in done.stderr and not (tmp_path / "a").exists()

    penstock("ingest", source, "--to", tmp_path / "b", *options, "--missing", "zero", status=3)
    np.testing.assert_array_equal(image_key(tmp_path / "b").ravel(), [0] * 13 + [3] * 7)
    penstock("ingest", source, "--to", tmp_path / "c", *options, "--missing", "skip", status=3)
    np.testing.assert_array_equal(image_key(tmp_path / "c").ravel(), [0] * 13 + [3] * 3)
    stored = read_blocks(tmp_path / "c", (4, 4, 4, 6), "<u2").reshape(16, 4, 6)
    np.testing.assert_array_equal(stored[:13], frames)
    assert not stored[13:].any()
    summary = nexus(tmp_path / "c")["entry1"]["penstock"]
    assert summary["frames_expected"] == 16 and summary["frames_received"] == 13


def write_mib(path, frames, numbers):
    """Processed 16-bit Merlin frames, from the description of the format."""
    rows, columns = frames.shape[1:]
    with open(path, "wb") as file:
        for number, frame in zip(numbers, frames):
            header = (f"MQ1,{number:06d},00384,01,{columns:04d},{rows:04d},U16,   1x1,01,"
                      "2024-01-01 00:00:00.000000,0.001000,0,0,0,0.000000E+0,")
            file.write(header.encode().ljust(384, b"\0") + frame.astype(">u2").tobytes())


GAP_SERIES = [(1, 7), (12, 9), (22, 9)]  # of each file: first sequence number, frames


@pytest.fixture
def gap_series(tmp_path):
    """An acquisition of 30 frames, of which 8..11 (a file) and 21 were lost. All 30 frames."""
    frames = make_frames(30, 4, 6, "<u2", seed=7) + 1
    for i, (first, count) in enumerate(GAP_SERIES):
        write_mib(tmp_path / f"scan{i + 1}.mib", frames[first - 1:first - 1 + count],
                  range(first, first + count))
    kept = np.concatenate([np.arange(first - 1, first - 1 + count) for first, count in GAP_SERIES])
    return tmp_path / "scan1.mib", frames, kept


def with_holes(frames, kept):
    stored, key = np.zeros_like(frames), np.full(len(frames), 3)
    stored[kept], key[kept] = frames[kept], 0
    return stored, key


@pytest.mark.parametrize("block", ["256M", "300"])
def test_lost_frames_leave_holes_at_their_positions(penstock, tmp_path, gap_series, block):
    source, frames, kept = gap_series
    out = tmp_path / "out"
    done = penstock("ingest", source, "--to", out, "--scan-shape", "5,6", "--missing", "zero",
                    "--block-size", block, "--dry-run", status=None)
    assert "scan positions 7 to 10 marked as missing" in done.stdout
    assert "scan position 20 marked as missing" in done.stdout
    done = penstock("ingest", source, "--to", out, "--scan-shape", "5,6", "--missing", "zero",
                    "--block-size", block, status=3)
    assert "5 frames, see image_key" in done.stdout
    stored, key = with_holes(frames, kept)
    np.testing.assert_array_equal(read_blocks(out, (5, 6, 4, 6), "<u2"),
                                  stored.reshape(5, 6, 4, 6))
    np.testing.assert_array_equal(image_key(out).ravel(), key)
    sums = zarr.open_array(out / "data.zarr/statistics/frame/sum", mode="r")[...].ravel()
    np.testing.assert_array_equal(sums[kept], frames[kept].sum(axis=(1, 2), dtype=np.uint64))
    done = penstock("verify", out, "--source", source, "--json")
    compared = json.loads(done.stdout.splitlines()[-1])["source"]
    assert compared == {"frames_compared": 25, "frames_without_source": 5, "frames_invalid": 0,
                        "first_difference": None}


def test_lost_frames_are_refused_by_default(penstock, tmp_path, gap_series):
    source, _, _ = gap_series
    for shape in ([], ["--scan-shape", "5,6"]):
        done = penstock("ingest", source, "--to", tmp_path / "out", *shape, status=1)
        for part in ("scan2.mib", "4 frames missing before frame 7", "scan positions 7 to 10",
                     "5 positions are lost", "--missing=zero", "--missing=skip"):
            assert part in done.stderr
    assert not (tmp_path / "out").exists() and not leftovers(tmp_path)
    # A scan that ends before the gap has lost nothing.
    penstock("ingest", source, "--to", tmp_path / "out", "--scan-shape", "1,7", status=3)


def test_lost_frames_skipped(penstock, tmp_path, gap_series):
    source, frames, kept = gap_series
    stored, key = with_holes(frames, kept)
    # A scan keeps its places; only rows at its end are dropped. Its end lies inside the gap.
    penstock("ingest", source, "--to", tmp_path / "a", "--scan-shape", "5,2", "--missing", "skip",
             status=3)
    np.testing.assert_array_equal(read_blocks(tmp_path / "a", (4, 2, 4, 6), "<u2"),
                                  stored[:8].reshape(4, 2, 4, 6))
    np.testing.assert_array_equal(image_key(tmp_path / "a").ravel(), key[:8])
    penstock("ingest", source, "--to", tmp_path / "b", "--scan-shape", "5,6", "--missing", "skip",
             status=3)
    np.testing.assert_array_equal(image_key(tmp_path / "b").ravel(), key)
    # A series closes its gaps.
    penstock("ingest", source, "--to", tmp_path / "c", "--missing", "skip", status=3)
    np.testing.assert_array_equal(read_blocks(tmp_path / "c", (25, 4, 6), "<u2"), frames[kept])
    np.testing.assert_array_equal(image_key(tmp_path / "c"), np.zeros(25))
    for name in "abc":
        penstock("verify", tmp_path / name, "--source", source)


def test_lost_frames_of_a_series_and_in_front(penstock, tmp_path, gap_series):
    source, frames, kept = gap_series
    penstock("ingest", source, "--to", tmp_path / "a", "--missing", "zero", status=3)
    stored, key = with_holes(frames, kept)
    np.testing.assert_array_equal(read_blocks(tmp_path / "a", (30, 4, 6), "<u2"), stored)
    np.testing.assert_array_equal(image_key(tmp_path / "a"), key)
    # Without the first file its frames are lost, too, and the offset can step over them.
    source.unlink()
    rest = kept[kept >= 11]
    stored, key = with_holes(frames, rest)
    second = tmp_path / "scan2.mib"
    done = penstock("ingest", second, "--to", tmp_path / "b", "--scan-shape", "5,6", status=1)
    assert "11 frames missing before frame 0" in done.stderr and "--sync-offset" in done.stderr
    penstock("ingest", second, "--to", tmp_path / "b", "--scan-shape", "5,6", "--missing", "zero",
             status=3)
    np.testing.assert_array_equal(read_blocks(tmp_path / "b", (5, 6, 4, 6), "<u2"),
                                  stored.reshape(5, 6, 4, 6))
    np.testing.assert_array_equal(image_key(tmp_path / "b").ravel(), key)
    penstock("ingest", second, "--to", tmp_path / "c", "--scan-shape", "3,3", "--sync-offset", 11,
             status=3)
    np.testing.assert_array_equal(read_blocks(tmp_path / "c", (3, 3, 4, 6), "<u2"),
                                  frames[11:20].reshape(3, 3, 4, 6))
    for name in "bc":
        penstock("verify", tmp_path / name, "--source", second)


@pytest.mark.parametrize("number", [100, 900_000_000, 2**62])
def test_gaps_larger_than_the_scan_are_contradictions(penstock, tmp_path, number):
    frames = make_frames(8, 4, 6, "<u2")
    write_mib(tmp_path / "s.mib", frames, [number + i for i in range(8)])
    for more in (["--scan-shape", "2,4"], []):
        done = penstock("ingest", tmp_path / "s.mib", "--to", tmp_path / "out", *more, "--missing",
                        "zero", status=1)
        assert "gap" in done.stderr and str(tmp_path / "s.mib") in done.stderr
        assert "--sync-offset" in done.stderr
    penstock("ingest", tmp_path / "s.mib", "--to", tmp_path / "out", "--missing", "skip", status=3)
    np.testing.assert_array_equal(read_blocks(tmp_path / "out", (8, 4, 6), "<u2"), frames)


def test_a_gap_is_part_of_the_plan(penstock, tmp_path, gap_series):
    source, frames, kept = gap_series
    options = ["--scan-shape", "5,6", "--missing", "zero"]
    penstock("ingest", source, "--to", tmp_path / "out", *options, status=3)
    (step,) = [p for p in find_all(nexus(tmp_path / "out"), "parameters")]
    text = step if isinstance(step, str) else json.dumps(step)
    assert json.loads(text)["mapping"]["gaps"] == [[7, 4], [16, 1]]


def test_extra_frames_are_reported_and_flyback_is_dropped(penstock, tmp_path):
    frames = make_frames(18, 4, 6, "<u2")
    source = write_raw(tmp_path / "s.raw", frames)
    done = penstock("ingest", source, "--to", tmp_path / "a", *raw_options(frames),
                    "--scan-shape", "3,5", status=3)
    assert "3 frames behind the last position" in done.stdout
    np.testing.assert_array_equal(read_blocks(tmp_path / "a", (3, 5, 4, 6), "<u2"),
                                  frames[:15].reshape(3, 5, 4, 6))
    penstock("ingest", source, "--to", tmp_path / "b", *raw_options(frames), "--scan-shape",
             "3,5", "--drop-flyback")
    np.testing.assert_array_equal(read_blocks(tmp_path / "b", (3, 5, 4, 6), "<u2"),
                                  frames.reshape(3, 6, 4, 6)[:, :5])


def test_json_lines_and_the_profile(penstock, tmp_path):
    frames = make_frames(4, 4, 6, "<u2")
    source = write_raw(tmp_path / "s.raw", frames)
    (tmp_path / "profile.json").write_text(json.dumps(
        {"sample/name": "gold on carbon", "sample/thickness": {"value": 2e-8, "units": "m"}}))
    done = penstock("ingest", source, "--to", tmp_path / "out", *raw_options(frames), "--json",
                    "--profile", tmp_path / "profile.json", "--orientation", "flip-rows")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["event"] == "result" and lines[-1]["frames"] == 4
    assert {"begin", "end"} <= {line["event"] for line in lines}
    sample = nexus(tmp_path / "out")["entry1"]["sample"]
    assert sample["name"] == "gold on carbon" and sample["thickness@units"] == "m"
    text = (tmp_path / "out/nexus.json").read_text()
    assert "operator profile profile.json" in text
    assert xxhash.xxh3_128_hexdigest(source.read_bytes()) in text
    done = penstock("info", tmp_path / "out", "--json")
    assert json.loads(done.stdout)["frames_received"] == 4
    done = penstock("ingest", source, "--to", tmp_path / "out2", *raw_options(frames), "--json",
                    "--scan-shape", "9,9", status=1)
    assert json.loads(done.stdout.splitlines()[-1])["kind"] == "contradiction"


def test_tree_digest_of_a_large_source(penstock, tmp_path):
    frames = make_frames(90, 256, 256, "<u2")  # 11.25 MiB: three leaves, the last one partial
    source = write_raw(tmp_path / "s.raw", frames, header=b"x" * 100)
    penstock("ingest", source, "--to", tmp_path / "out", *raw_options(frames), "--offset", 100,
             "--block-size", "3M")
    data = source.read_bytes()
    leaves = [data[i:i + (4 << 20)] for i in range(0, len(data), 4 << 20)]
    tree = xxhash.xxh3_128(b"".join(xxhash.xxh3_128(leaf).digest() for leaf in leaves)).hexdigest()
    text = (tmp_path / "out/nexus.json").read_text()
    assert tree in text and "xxh3-128-tree-4MiB" in text


def test_existing_destination(penstock, tmp_path):
    old, new = make_frames(4, 4, 6, "<u2"), make_frames(4, 4, 6, "<u2", seed=2)
    a, b = write_raw(tmp_path / "a.raw", old), write_raw(tmp_path / "b.raw", new)
    out = tmp_path / "out"
    penstock("ingest", a, "--to", out, *raw_options(old))
    before = files_of(out)
    done = penstock("ingest", b, "--to", out, *raw_options(new), status=1)
    assert "exists" in done.stderr and "--replace" in done.stderr
    assert files_of(out) == before and not leftovers(tmp_path)
    # A replacement that fails leaves the old one.
    done = penstock("ingest", b, "--to", out, *raw_options(new), "--replace", "--scan-shape", "9,9",
                    status=1)
    assert files_of(out) == before
    penstock("ingest", b, "--to", out, *raw_options(new), "--replace")
    np.testing.assert_array_equal(read_blocks(out, (4, 4, 6), "<u2"), new)
    assert not leftovers(tmp_path)
    # Only datasets are ever replaced.
    (tmp_path / "file").write_text("precious")
    penstock("ingest", b, "--to", tmp_path / "file", *raw_options(new), "--replace", status=1)
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("contents, message", [
    (b"", "empty"),
    (b"MPX,0000123", "live data stream"),
    (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
    (b"\x93NUMPY\x01\x00\xff\xff{", "NPY"),
    (b"nothing known", "not recognised"),
])
def test_bad_input_leaves_nothing(penstock, tmp_path, contents, message):
    (tmp_path / "x.bin").write_bytes(contents)
    done = penstock("ingest", tmp_path / "x.bin", "--to", tmp_path / "out", status=1)
    assert message in done.stderr and str(tmp_path / "x.bin") in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.bin"]
    penstock("info", tmp_path / "x.bin", status=1)


def test_truncated_source(penstock, tmp_path):
    frames = make_frames(4, 8, 8, "<u2")
    source = tmp_path / "x.npy"
    np.save(source, frames.reshape(2, 2, 8, 8))
    os.truncate(source, source.stat().st_size - 1)
    done = penstock("ingest", source, "--to", tmp_path / "out", status=1)
    for part in (str(source), "fewer frames", "4 positions", "3 frames"):
        assert part in done.stderr
    assert not (tmp_path / "out").exists() and not leftovers(tmp_path)


class Running:
    """An ingest in the background, slow enough to be interfered with: many small blocks, each of
    which is synced."""

    def __init__(self, penstock, source, frames, to, *more):
        self.arguments = [str(penstock.binary), "ingest", str(source), "--to", str(to),
                          *raw_options(frames), "--block-size", "64K", "--jobs", "2",
                          *map(str, more)]
        self.to = pathlib.Path(to)

    def start(self):
        self.process = subprocess.Popen(self.arguments, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, **EPOCH})
        return self

    def wait_for_blocks(self, count=2, timeout=60):
        journal = self.to.parent / f".{self.to.name}.ingest.journal"
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            if journal.exists() and journal.read_bytes().count(b'"block":') >= count:
                return True
            time.sleep(0.002)
        return False


@pytest.fixture
def slow_source(tmp_path):
    frames = make_frames(1600, 32, 32, "<u2")
    return write_raw(tmp_path / "slow.raw", frames), frames


def test_resume_after_kill_at_random_moments(penstock, tmp_path, slow_source):
    source, frames = slow_source
    reference = Running(penstock, source, frames, tmp_path / "ref/scan", "--scan-shape", "40,40")
    began = time.monotonic()
    assert reference.start().process.wait(60) == 0
    duration = time.monotonic() - began
    running = Running(penstock, source, frames, tmp_path / "out/scan", "--scan-shape", "40,40")
    chance = random.Random(4)
    killed = 0
    for _ in range(12):
        process = running.start().process
        time.sleep(chance.uniform(0.02, 1.1) * duration / 3)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        process.communicate()
        if (tmp_path / "out/scan").exists():
            break
    assert killed >= 2
    last = running.start().process
    out, err = last.communicate(timeout=60)
    finished_before = "exists" in err
    assert last.returncode == 0 or finished_before, err
    assert leftovers(tmp_path / "out") == []

    def masked(dataset):
        contents = files_of(dataset)
        contents["nexus.json"] = contents["nexus.json"].replace(b"/out/scan", b"/ref/scan")
        del contents["checksums.xxh128"], contents["data.nxs"]  # follow from nexus.json
        return contents

    expected, found = masked(tmp_path / "ref/scan"), masked(tmp_path / "out/scan")
    assert sorted(expected) == sorted(found)
    assert [name for name in expected if expected[name] != found[name]] == []
    subprocess.run(["xxh128sum", "-c", "--quiet", "checksums.xxh128"], cwd=tmp_path / "out/scan",
                   check=True)


def test_interrupt_keeps_what_is_done(penstock, tmp_path, slow_source):
    source, frames = slow_source
    running = Running(penstock, source, frames, tmp_path / "scan").start()
    assert running.wait_for_blocks()
    running.process.send_signal(signal.SIGINT)
    _, err = running.process.communicate(timeout=20)
    assert running.process.returncode == 1 and "same command again" in err
    assert not (tmp_path / "scan").exists()
    assert leftovers(tmp_path) == [".scan.ingest", ".scan.ingest.journal"]
    again = running.start().process
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0 and "continuing" in err and "blocks from before" in out
    np.testing.assert_array_equal(read_blocks(tmp_path / "scan", frames.shape, "<u2"), frames)


def test_a_damaged_block_is_not_taken_over(penstock, tmp_path, slow_source):
    source, frames = slow_source
    running = Running(penstock, source, frames, tmp_path / "scan").start()
    assert running.wait_for_blocks(3)
    running.process.kill()
    running.process.communicate()
    finished = [p for p in blocks_of(tmp_path / ".scan.ingest") if p.suffix != ".part"]
    os.chmod(finished[0], 0o644)
    with open(finished[0], "r+b") as block:
        block.seek(70000)
        byte = block.read(1)
        block.seek(70000)
        block.write(bytes([byte[0] ^ 1]))
    process = running.start().process
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "written again" in err
    np.testing.assert_array_equal(read_blocks(tmp_path / "scan", frames.shape, "<u2"), frames)


def test_another_plan_discards_what_was_begun(penstock, tmp_path, slow_source):
    source, frames = slow_source
    running = Running(penstock, source, frames, tmp_path / "scan").start()
    assert running.wait_for_blocks()
    running.process.kill()
    running.process.communicate()
    other = Running(penstock, source, frames, tmp_path / "scan", "--scan-shape", "40,40").start()
    _, err = other.process.communicate(timeout=60)
    assert other.process.returncode == 0 and "another plan is discarded" in err
    stored = read_blocks(tmp_path / "scan", (40, 40, 32, 32), "<u2")
    np.testing.assert_array_equal(stored.reshape(frames.shape), frames)


def test_the_second_ingest_is_refused(penstock, tmp_path, slow_source):
    source, frames = slow_source
    running = Running(penstock, source, frames, tmp_path / "scan").start()
    assert running.wait_for_blocks(1)
    running.process.send_signal(signal.SIGSTOP)
    try:
        done = penstock("ingest", source, "--to", tmp_path / "scan", *raw_options(frames), status=1)
        assert "another ingest" in done.stderr
    finally:
        running.process.send_signal(signal.SIGCONT)
    running.process.communicate(timeout=60)
    assert running.process.returncode == 0


def test_a_source_that_changes_is_refused(penstock, tmp_path, slow_source):
    source, frames = slow_source
    running = Running(penstock, source, frames, tmp_path / "scan").start()
    assert running.wait_for_blocks(1)
    running.process.send_signal(signal.SIGSTOP)
    with open(source, "ab") as file:
        file.write(b"more")
    running.process.send_signal(signal.SIGCONT)
    _, err = running.process.communicate(timeout=60)
    assert running.process.returncode == 1
    assert "changed while it was read" in err and str(source) in err
    assert not (tmp_path / "scan").exists() and not leftovers(tmp_path)


def test_full_disk(penstock, tmp_path):
    image, mount = tmp_path / "disk.img", tmp_path / "disk"
    mount.mkdir()
    with open(image, "wb") as file:
        file.truncate(24 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", image], capture_output=True)
    mounted = made.returncode == 0 and subprocess.run(
        ["mount", "-o", "loop", image, mount], capture_output=True).returncode == 0
    if not mounted:
        pytest.skip("SKIPPED: no loop device can be mounted here, a full disk is not tested")
    try:
        frames = make_frames(400, 128, 128, "<u2")  # 12.5 MiB
        source = write_raw(tmp_path / "s.raw", frames)
        (mount / "ballast").write_bytes(bytes(10 << 20))
        options = [*raw_options(frames), "--block-size", "1M"]
        done = penstock("ingest", source, "--to", mount / "scan", *options, status=1)
        assert "No space left" in done.stderr
        assert not (mount / "scan").exists()
        (mount / "ballast").unlink()
        penstock("ingest", source, "--to", mount / "scan", *options)
        np.testing.assert_array_equal(read_blocks(mount / "scan", frames.shape, "<u2"), frames)
    finally:
        subprocess.run(["umount", mount], check=True)


def peak_memory(penstock, *arguments):
    """Peak resident bytes of one run of its own."""
    process = subprocess.Popen([str(penstock.binary), *map(str, arguments)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, process.stderr.read()
    return usage.ru_maxrss * 1024


@pytest.mark.parametrize("side, dtype, size", [(256, "<u2", 1 << 30), (4096, "<u2", 256 << 20)])
def test_memory_does_not_depend_on_the_input(penstock, tmp_path, side, dtype, size):
    source = tmp_path / "sparse.raw"
    with open(source, "wb") as file:
        file.truncate(size)
    try:
        peak = peak_memory(penstock, "ingest", source, "--to", tmp_path / "out", "--format", "raw",
                           "--sig-shape", f"{side},{side}", "--dtype", dtype)
        assert peak < 512 << 20
        assert len(blocks_of(tmp_path / "out")) == max(1, size >> 28)
    finally:
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


def test_frames_beyond_the_memory_are_refused(penstock, tmp_path):
    source = tmp_path / "huge.raw"
    with open(source, "wb") as file:
        file.truncate(2 << 30)
    done = penstock("ingest", source, "--to", tmp_path / "out", "--format", "raw", "--sig-shape",
                    "16384,16384", "--dtype", "f4", status=1)
    assert "more memory" in done.stderr and "--memory" in done.stderr
