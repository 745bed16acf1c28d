"""TVIPS against LiberTEM and rosettasciio: both versions of the image headers, streams of several
files, scan positions; files of rosettasciio's writer and HyperSpy's test files."""

import struct

import numpy as np
import pytest
from record_formats import anomalies, entry, ingest, libertem_array, refused


def write_stream(folder, frames, version=2, header_bytes=108, per_file=1000, positions=None,
                 first=0):
    """A stream from the description of the format."""
    count, rows, columns = frames.shape
    header = struct.pack("<13i", 256, version, columns, rows, frames.dtype.itemsize * 8, 0, 0, 1, 1,
                         15500, 200, 800, header_bytes).ljust(256, b"T")
    folder.mkdir(exist_ok=True)
    for number, begin in enumerate(range(0, count, per_file)):
        with open(folder / f"s_{number:03d}.tvips", "wb") as file:
            if begin == 0:
                file.write(header)
            for i in range(begin, min(count, begin + per_file)):
                image = bytearray(struct.pack("<3I", first + i, 1_700_000_000 + i, i % 1000))
                if version == 2:
                    image += bytes(header_bytes - 12)
                    if positions is not None:
                        struct.pack_into("<2f", image, 68, *positions[i])
                file.write(bytes(image) + frames[i].tobytes())
    return folder / "s_000.tvips"


def pixels(shape, dtype):
    return np.random.default_rng(8).integers(0, np.iinfo(dtype).max, shape,
                                             endpoint=True).astype(dtype)


@pytest.mark.parametrize("version, dtype, header_bytes, per_file", [
    (2, "<u2", 108, 4), (1, "<u2", 12, 1000), (1, "u1", 12, 3), (2, "u1", 128, 1000)])
def test_generated(penstock, tmp_path, version, dtype, header_bytes, per_file):
    frames = pixels((10, 7, 9), dtype)
    path = write_stream(tmp_path / "in", frames, version, header_bytes, per_file)
    stored, tree = ingest(penstock, path, tmp_path / "out")
    np.testing.assert_array_equal(stored, frames)
    if version == 1 or per_file > 10:  # LiberTEM looks for the scan beyond the end of a first file
        np.testing.assert_array_equal(stored, libertem_array("tvips", path=str(path)))
    if version == 2:
        from rsciio.tvips import file_reader
        np.testing.assert_array_equal(stored, file_reader(str(path))[0]["data"])
    assert entry(tree, "start_time") == "2023-11-14T22:13:20Z"
    assert entry(tree, "measurement/event1/instrument/ebeam_column/electron_source/voltage"
                 ) == 200000
    penstock("verify", tmp_path / "out", "--source", path)


def test_scan_positions(penstock, tmp_path):
    positions = [(0, 0)] * 4 + [(x, y) for y in range(3) for x in range(5)]
    frames = pixels((len(positions), 6, 4), "<u2")
    path = write_stream(tmp_path / "in", frames, per_file=7, positions=positions)
    stored, tree = ingest(penstock, path, tmp_path / "out")
    np.testing.assert_array_equal(stored, frames[4:].reshape(3, 5, 6, 4))
    whole = write_stream(tmp_path / "whole", frames, positions=positions)
    np.testing.assert_array_equal(stored, libertem_array("tvips", path=str(whole)))
    assert "scan positions" in entry(tree, "penstock/scan_shape_evidence")


def test_hyperspys_files(penstock, tmp_path, hyperspy_data):
    from rsciio.tvips import file_reader
    for name in ("test_tvips_2233_000", "test_tvips_2345_000", "test_tvips_2345_split_000"):
        path = hyperspy_data / "tvips_files" / f"{name}.tvips"
        stored, _ = ingest(penstock, path, tmp_path / name)
        np.testing.assert_array_equal(stored, file_reader(str(path))[0]["data"])


@pytest.mark.parametrize("extra", [0, 20])
def test_written_by_rosettasciio(penstock, tmp_path, extra):
    from rsciio.tvips import file_writer
    data = pixels((2, 5, 8, 6), "<u2")
    axes = [{"name": name, "size": size, "scale": 1.0, "offset": 0, "units": units,
             "navigate": navigate, "index_in_array": i}
            for i, (name, size, units, navigate) in enumerate(
                [("y", 2, "nm", True), ("x", 5, "nm", True), ("dy", 8, "1/nm", False),
                 ("dx", 6, "1/nm", False)])]
    file_writer(str(tmp_path / "w_000.tvips"),
                {"data": data, "axes": axes, "metadata": {}, "original_metadata": {},
                 "attributes": {"_lazy": False}}, max_file_size=700, frame_header_extra_bytes=extra,
                show_progressbar=False)
    assert (tmp_path / "w_001.tvips").exists()
    stored, _ = ingest(penstock, tmp_path / "w_000.tvips", tmp_path / "out", "--scan-shape", "2,5")
    np.testing.assert_array_equal(stored, data)


def test_lost_and_cut(penstock, tmp_path):
    frames = pixels((9, 4, 5), "<u2")
    path = write_stream(tmp_path / "in", frames, per_file=3)
    (tmp_path / "in/s_001.tvips").unlink()
    assert "missing" in refused(penstock, path, tmp_path / "out", "--scan-shape", "3,3")
    stored, _ = ingest(penstock, path, tmp_path / "out", "--scan-shape", "3,3", "--missing", "zero",
                       status=3)
    np.testing.assert_array_equal(stored[[0, 2]].reshape(6, 4, 5), frames[[0, 1, 2, 6, 7, 8]])
    assert not stored[1].any()
    path = write_stream(tmp_path / "cut", frames)
    path.write_bytes(path.read_bytes()[:-1])
    stored, tree = ingest(penstock, path, tmp_path / "short", status=3)
    np.testing.assert_array_equal(stored, frames[:8])
    assert [kind for kind, _ in anomalies(tree)] == ["truncated"]
    path.rename(tmp_path / "cut/s_001.tvips")
    assert "s_000.tvips" in refused(penstock, tmp_path / "cut/s_001.tvips", tmp_path / "no")
