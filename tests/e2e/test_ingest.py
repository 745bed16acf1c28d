"""`penstock ingest` and `penstock info` on raw and NPY files: pixels against NumPy, the three faces of a
dataset, JSON lines, digests, refusals."""

import json
import os
import subprocess

import h5py
import numpy as np
import pytest
import xxhash
import zarr

from ingesting import (blocks_of, files_of, leftovers, make_frames, nexus, raw_options, read_blocks,
                       write_raw)

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
