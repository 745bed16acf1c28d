"""FRMS6 against LiberTEM: every binning, raw and corrected, and the synthetic samples."""

import hashlib
import struct

import numpy as np
import pytest
from record_formats import anomalies, entry, image_key, ingest, libertem_array, refused


def write_file(path, frames, counted=True):
    count, rows, columns = frames.shape
    header = struct.pack("<HHBBBB80sHH", 1024, 64, 1, 0, 0, 6, b"test", columns, rows)
    header = header.ljust(1020, b"\0") + struct.pack("<I", count if counted else 0)
    path.write_bytes(header + b"".join(b"h" * 64 + frame.tobytes() for frame in frames))


def write_set(folder, scan, binning, split, columns=24, rows=8, darks=300):
    """LiberTEM sums the dark frames in parts of 128 in float32, and no more of them than there are
    signal frames."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(9)
    count = scan[0] * scan[1]
    signal = random.integers(0, 65536, (count, rows, columns)).astype("<u2")
    dark = random.integers(60000, 65536, (darks, rows, columns)).astype("<u2")
    write_file(folder / "s_000.frms6", dark)
    write_file(folder / "s_001.frms6", signal[:split])
    write_file(folder / "s_002.frms6", signal[split:], counted=False)
    (folder / "s.hdr").write_text(
        f'[measurementInfo]\ndataset = s\ndarkFrames = {darks}\nsignalFrames = {count}\n'
        f'dwellTimeMicroseconds = 500\ngain = 1\n'
        f'readoutMode = "bin: {binning}, windowing: {rows} x {columns}"\n'
        f"stemImageSize = {scan[0]}x{scan[1]}\n")
    gain = random.uniform(0.5, 2, (2 * rows * binning, columns // 2))
    np.savetxt(folder / "gain.csv", gain.T, delimiter=";", fmt="%.9f")
    return folder / "s.hdr"


@pytest.mark.parametrize("binning, scan", [(1, (18, 18)), (2, (17, 18)), (4, (18, 18))])
def test_raw_and_corrected(penstock, tmp_path, binning, scan):
    header = write_set(tmp_path / "in", scan, binning, 100)
    status = 0 if scan[0] == scan[1] else 3  # of other scans the order of the axes is uncertain
    raw, tree = ingest(penstock, header, tmp_path / "raw", status=status)
    assert raw.dtype == np.uint16 and raw.shape == (*scan, 16 * binning, 12)
    np.testing.assert_array_equal(
        raw, libertem_array("frms6", path=str(header), enable_offset_correction=False))
    assert entry(tree, "measurement/event1/instrument/ebeam_column/scan_controller/dwell_time"
                 ) == 0.0005
    assert [s for s in entry(tree, "penstock/sources")["role"]] == ["frames", "frames", "header",
                                                                   "dark"]
    dark, tree = ingest(penstock, tmp_path / "in/s_001.frms6", tmp_path / "dark", "--subtract-dark",
                        status=status)
    assert dark.dtype == np.float32
    np.testing.assert_array_equal(dark, libertem_array("frms6", path=str(header)))
    assert "300 dark frames" in str(entry(tree, "penstock/history"))
    gain_file = tmp_path / "in/gain.csv"
    both, tree = ingest(penstock, header, tmp_path / "both", "--subtract-dark", "--gain", gain_file,
                        status=status)
    np.testing.assert_array_equal(
        both, libertem_array("frms6", path=str(header), gain_map_path=str(gain_file)))
    assert "gain.csv" in str(entry(tree, "penstock/history"))
    penstock("verify", tmp_path / "raw", "--source", header)
    np.save(tmp_path / "gain.npy", np.loadtxt(gain_file, delimiter=";").T)
    same, _ = ingest(penstock, header, tmp_path / "npy", "--subtract-dark", "--gain",
                     tmp_path / "gain.npy", status=status)
    np.testing.assert_array_equal(same, both)


def test_missing_files(penstock, tmp_path):
    header = write_set(tmp_path / "in", (3, 3), 1, 5)
    whole, _ = ingest(penstock, header, tmp_path / "whole")
    (tmp_path / "in/s_001.frms6").unlink()
    assert "frames" in refused(penstock, header, tmp_path / "out")
    stored, tree = ingest(penstock, header, tmp_path / "out", "--missing", "zero", status=3)
    np.testing.assert_array_equal(stored.reshape(9, 16, 12)[5:], whole.reshape(9, 16, 12)[5:])
    assert image_key(tmp_path / "out").ravel().tolist() == [3] * 5 + [0] * 4
    assert "missing frame" in [kind for kind, _ in anomalies(tree)]
    (tmp_path / "in/s_000.frms6").unlink()
    assert "no dark frames" in refused(penstock, header, tmp_path / "no", "--subtract-dark")


def test_corrections_of_a_format_that_has_none(penstock, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 5, 6), "u2"))
    done, _ = ingest(penstock, tmp_path / "a.npy", tmp_path / "out", "--subtract-dark", status=2)
    assert "nothing to correct" in done.stderr


@pytest.mark.parametrize("binning, hashes", [
    (1, ("c520ad2b", "2ede7d5d", "a7d34094")), (2, ("debf9cca", "f3524716", "43105747")),
    (4, ("2c8e2f16", "c75f12c4", "316d7393"))])
def test_synthetic_samples(penstock, tmp_path, samples, binning, hashes):
    folder = samples / f"synthetic/frms6/bin{binning}"
    for i, (more, expected) in enumerate(zip(
            ([], ["--subtract-dark"], ["--subtract-dark", "--gain", folder / "gain.csv"]), hashes)):
        stored, _ = ingest(penstock, folder / "synth.hdr", tmp_path / f"out{i}", *more, status=3)
        assert hashlib.sha256(stored.tobytes()).hexdigest().startswith(expected)
