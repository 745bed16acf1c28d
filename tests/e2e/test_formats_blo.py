"""BLO against LiberTEM and rosettasciio: files of the instrument and of HyperSpy's writer, both
depths, stopped acquisitions, lost frames."""

import struct

import numpy as np
import pytest
from record_formats import anomalies, entry, image_key, ingest, libertem_array, refused


def write_blo(path, frames, scan, depth=8, numbers=None):
    """A block file from the description of the format; returns the offset of the first frame."""
    rows, columns = scan
    offset = 4096 + -(-rows * columns // 16) * 16
    header = struct.pack("<6sHIIIHHHHHddIHId", b"IMGBLO", 259 if depth == 16 else 258, 4096, offset,
                         131135, frames.shape[1], 0, columns, rows, 9000, 5.0, 7.0, 200000, 1000,
                         3000, 42000.5)
    note = b"Camera gamma : on\r\nBlo Bit Depth: %d bits\r\n" % depth
    with open(path, "wb") as file:
        file.write(header.ljust(240, b"\0") + note.ljust(offset - 240, b"\0"))
        for i, frame in enumerate(frames):
            number = i if numbers is None else numbers[i]
            file.write(b"\xaa\x55" + struct.pack("<I", number) + frame.tobytes())
    return offset


def pixels(count, side, dtype):
    return np.random.default_rng(5).integers(0, np.iinfo(dtype).max, (count, side, side),
                                             endpoint=True).astype(dtype)


@pytest.mark.parametrize("name", ["test1.blo", "test2.blo"])
def test_real_files(penstock, tmp_path, hyperspy_data, name):
    from rsciio.blockfile import file_reader
    path = hyperspy_data / "blockfile_data" / name
    stored, tree = ingest(penstock, path, tmp_path / "out")
    reference = file_reader(str(path))[0]
    np.testing.assert_array_equal(stored, reference["data"])
    np.testing.assert_array_equal(stored, libertem_array("blo", path=str(path)))
    axis = entry(tree, "penstock/axes/axis_k")
    assert axis["step"] == reference["axes"][1]["scale"]
    assert axis["step@units"] == "nm"
    penstock("verify", tmp_path / "out", "--source", path)


@pytest.mark.parametrize("depth, dtype, side, scan", [(8, "u1", 5, (3, 4)), (16, "<u2", 6, (2, 3)),
                                                      (16, "<u2", 31, (1, 7)), (8, "u1", 1, (2, 2))])
def test_generated(penstock, tmp_path, depth, dtype, side, scan):
    frames = pixels(scan[0] * scan[1], side, dtype)
    write_blo(tmp_path / "a.blo", frames, scan, depth)
    stored, tree = ingest(penstock, tmp_path / "a.blo", tmp_path / "out")
    np.testing.assert_array_equal(stored, frames.reshape(*scan, side, side))
    np.testing.assert_array_equal(stored, libertem_array("blo", path=str(tmp_path / "a.blo")))
    assert entry(tree, "measurement/event1/instrument/optics/camera_length") == pytest.approx(0.3)
    assert "Blo Bit Depth" in str(entry(tree, "penstock/vendor_headers"))


def test_written_by_rosettasciio(penstock, tmp_path):
    from rsciio.blockfile import file_writer
    data = pixels(6, 8, "u1").reshape(2, 3, 8, 8)
    axes = [{"name": name, "size": size, "scale": scale, "offset": 0, "units": units,
             "navigate": navigate, "index_in_array": i}
            for i, (name, size, scale, units, navigate) in enumerate(
                [("y", 2, 3.0, "nm", True), ("x", 3, 4.0, "nm", True), ("dy", 8, 0.1, "cm", False),
                 ("dx", 8, 0.1, "cm", False)])]
    file_writer(str(tmp_path / "w.blo"),
                {"data": data, "axes": axes, "metadata": {}, "original_metadata": {},
                 "attributes": {"_lazy": False}}, endianess="<", show_progressbar=False,
                intensity_scaling=None)
    stored, _ = ingest(penstock, tmp_path / "w.blo", tmp_path / "out", status=None)
    np.testing.assert_array_equal(stored, data)


def test_stopped_acquisition(penstock, tmp_path):
    frames = pixels(5, 4, "u1")
    write_blo(tmp_path / "a.blo", frames, (2, 4))
    assert "fewer frames" in refused(penstock, tmp_path / "a.blo", tmp_path / "out")
    stored, tree = ingest(penstock, tmp_path / "a.blo", tmp_path / "out", "--missing", "zero",
                          status=3)
    np.testing.assert_array_equal(stored.reshape(8, 4, 4)[:5], frames)
    assert not stored.reshape(8, 4, 4)[5:].any()
    assert image_key(tmp_path / "out").ravel().tolist() == [0] * 5 + [3] * 3
    assert "missing frame" in [kind for kind, _ in anomalies(tree)]


def test_lost_frames_keep_the_others_at_their_places(penstock, tmp_path):
    frames = pixels(6, 4, "u1")
    write_blo(tmp_path / "a.blo", frames, (2, 4), numbers=[0, 1, 2, 5, 6, 7])
    assert "missing before frame 3" in refused(penstock, tmp_path / "a.blo", tmp_path / "out")
    stored, _ = ingest(penstock, tmp_path / "a.blo", tmp_path / "out", "--missing", "zero", status=3)
    flat = stored.reshape(8, 4, 4)
    np.testing.assert_array_equal(flat[[0, 1, 2, 5, 6, 7]], frames)
    assert not flat[3:5].any()


def test_synthetic_sample(penstock, tmp_path, samples):
    import hashlib
    stored, _ = ingest(penstock, samples / "synthetic/blo/v13_16bit.blo", tmp_path / "out",
                       status=None)
    assert hashlib.sha256(stored.tobytes()).hexdigest() == (
        "824cd376575622c2ae9d5d8a578ccb1d3f4d92db723c35baa058bf9218856b17")
