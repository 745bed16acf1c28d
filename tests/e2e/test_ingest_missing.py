"""Scan positions without a frame and frames without a scan position: offsets, lost frames, fly-back."""

import json

import h5py
import numpy as np
import pytest
import zarr

from ingesting import (find_all, image_key, leftovers, make_frames, nexus, raw_options, read_blocks,
                       write_mib, write_raw)


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


@pytest.fixture
def short_scan(tmp_path):
    """A scan of 5 x 4 of which frame 0 to 12 were recorded."""
    frames = make_frames(13, 4, 6, "<f4") + 1
    source = write_raw(tmp_path / "s.raw", frames)
    return source, frames, [*raw_options(frames), "--scan-shape", "5,4"]


@pytest.mark.parametrize("block", ["256M", "600"])  # 600: blocks of missing frames alone
@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<c8", "<c16"])
def test_missing_frames_as_nan(penstock, tmp_path, block, dtype):
    frames = (make_frames(13, 4, 6, "<f4") + 1).astype(dtype)
    np.save(tmp_path / "s.npy", frames)
    out = tmp_path / "out"
    penstock("ingest", tmp_path / "s.npy", "--to", out, "--scan-shape", "5,4", "--missing", "nan",
             "--sync-offset", "-2", "--block-size", block, status=3)
    expected = np.full((20, 4, 6), complex(np.nan, np.nan) if "c" in dtype else np.nan, dtype)
    expected[2:15] = frames
    key = np.full(20, 3)
    key[2:15] = 0
    np.testing.assert_array_equal(image_key(out).ravel(), key)
    stored = read_blocks(out, (5, 4, 4, 6), dtype).reshape(20, 4, 6)
    np.testing.assert_array_equal(stored, expected)
    assert np.isnan(stored[:2].real).all() and np.isnan(stored[15:].imag if "c" in dtype else
                                                        stored[15:]).all()
    with h5py.File(out / "data.nxs") as file:
        np.testing.assert_array_equal(
            file["entry1/measurement/event1/image1/image_4d/real"][...].reshape(20, 4, 6), expected)
    penstock("verify", out)
    penstock("verify", out, "--source", tmp_path / "s.npy")


def test_readers_leave_nan_frames_out(penstock, tmp_path, short_scan):
    source, frames, options = short_scan
    results = {}
    for policy in ("zero", "nan"):
        out = tmp_path / policy
        penstock("ingest", source, "--to", out, *options, "--missing", policy, status=3)
        penstock("apply", out, "--mask", "disk:2,3,9", "--out", tmp_path / f"{policy}.npy",
                 status=None)
        penstock("stat", out, "--out", tmp_path / f"{policy}_stat", status=None)
        results[policy] = {p.name.removeprefix(policy): np.load(p)
                           for p in sorted(tmp_path.glob(f"{policy}*.npy"))}
        pick = penstock("pick", out, "--frame", "4,3", "--out", tmp_path / "pick", status=None)
        assert pick.returncode != 0
    assert results["nan"].keys() == results["zero"].keys() and len(results["nan"]) > 1
    for name, values in results["nan"].items():
        np.testing.assert_array_equal(values, results["zero"][name], err_msg=name)
    total = results["nan"][".npy"].reshape(-1)
    np.testing.assert_allclose(total[:13], frames.sum(axis=(1, 2)))
    for name in ("minimum_value", "maximum_value", "sum", "sum_sq", "nan_count"):
        path = f"data.zarr/statistics/frame/{name}/c/0/0"
        assert (tmp_path / "nan" / path).read_bytes() == (tmp_path / "zero" / path).read_bytes()
    for preview in (tmp_path / "zero/preview").iterdir():
        assert preview.read_bytes() == (tmp_path / "nan/preview" / preview.name).read_bytes()


@pytest.mark.parametrize("recorded", [13, 20])
def test_integers_cannot_be_nan(penstock, tmp_path, recorded):
    frames = make_frames(recorded, 4, 6, "<u2")
    source = write_raw(tmp_path / "s.raw", frames)
    done = penstock("ingest", source, "--to", tmp_path / "a", *raw_options(frames), "--scan-shape",
                    "5,4", "--missing", "nan", status=2)
    for said in ("uint16", "float32", "--missing=zero", "--missing=skip", "image_key"):
        assert said in done.stderr
    assert not (tmp_path / "a").exists() and leftovers(tmp_path) == []


def test_another_filling_is_another_dataset(penstock, tmp_path, short_scan):
    source, _, options = short_scan
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in/s.npy", short_scan[1])
    command = ["ingest", tmp_path / "in", "--to", f"{tmp_path}/store/", "--scan-shape", "5,4"]
    penstock(*command, "--missing", "nan", status=3)
    again = penstock(*command, "--missing", "nan", "--json")
    assert '"already_done":1' in again.stdout
    other = penstock(*command, "--missing", "zero", status=1)
    assert "are NaN and not 0" in other.stderr
