"""MRC against ncempy, rosettasciio and LiberTEM: every mode, both byte orders, extended headers."""

import struct

import numpy as np
import pytest
from record_formats import anomalies, entry, ingest, libertem_array, refused

DTYPES = {0: "i1", 1: "<i2", 2: "<f4", 4: "<c8", 6: "<u2", 12: "<f2"}


def header(columns, rows, sections, mode, order="<", extended=0, cell=(2.0, 2.0)):
    words = struct.pack(order + "10i", columns, rows, sections, mode, 0, 0, 0, columns, rows,
                        sections)
    words += struct.pack(order + "6f", columns * cell[1], rows * cell[0], sections, 90, 90, 90)
    words += struct.pack(order + "3i3f", 1, 2, 3, 0, 0, 0)
    words += struct.pack(order + "ii", 0, extended)
    words = words.ljust(208, b"\0") + b"MAP " + (b"DA\0\0" if order == "<" else b"\x11\x11\0\0")
    return words.ljust(1024, b"\0")


def pixels(shape, mode):
    random = np.random.default_rng(11)
    if mode == 4:
        return (random.normal(size=shape) + 1j * random.normal(size=shape)).astype("<c8")
    if mode in (2, 12):
        return random.normal(0, 100, shape).astype(DTYPES[mode])
    limits = np.iinfo(DTYPES[mode])
    return random.integers(limits.min, limits.max, shape, endpoint=True).astype(DTYPES[mode])


def references(path, mode):
    """The arrays of the readers that know the mode."""
    from ncempy.io.mrc import mrcReader
    from rsciio.mrc import file_reader
    arrays = [file_reader(str(path))[0]["data"]]
    if mode in (0, 1, 2, 6):  # complex numbers and halves are not in ncempy
        arrays.append(mrcReader(str(path))["data"])
    return arrays


@pytest.mark.parametrize("mode", sorted(DTYPES))
@pytest.mark.parametrize("shape", [(6, 7, 5), (3, 64, 48)])
def test_every_mode(penstock, tmp_path, mode, shape):
    data = pixels(shape, mode)
    path = tmp_path / "a.mrc"
    path.write_bytes(header(shape[2], shape[1], shape[0], mode) + data.tobytes())
    stored, tree = ingest(penstock, path, tmp_path / "out")
    np.testing.assert_array_equal(stored, data)
    assert stored.dtype == (np.float32 if mode == 12 else np.dtype(DTYPES[mode]))
    for reference in references(path, mode):
        np.testing.assert_array_equal(stored, reference)
    axis = entry(tree, "penstock/axes/axis_i")
    assert axis["step"] == 2 and axis["step@units"] == "angstrom"
    big = tmp_path / "big.mrc"
    swapped = (data.view("<f4").astype(">f4").tobytes() if mode == 4 else
               data.astype(data.dtype.newbyteorder(">")).tobytes())
    big.write_bytes(header(shape[2], shape[1], shape[0], mode, ">") + swapped)
    stored, _ = ingest(penstock, big, tmp_path / "big")
    np.testing.assert_array_equal(stored, data)


def test_libertem(penstock, tmp_path):
    data = pixels((6, 8, 10), 6)
    path = tmp_path / "a.mrc"
    # LiberTEM takes the signal from the grid, so that a third interval must be 1.
    words = bytearray(header(10, 8, 6, 6))
    words[36:40] = struct.pack("<i", 1)
    path.write_bytes(words + data.tobytes())
    stored, _ = ingest(penstock, path, tmp_path / "out", "--scan-shape", "2,3")
    np.testing.assert_array_equal(stored.reshape(6, 8, 10), libertem_array("mrc", path=str(path)))


@pytest.mark.parametrize("columns", [6, 7])
def test_four_bit_pixels(penstock, tmp_path, columns):
    data = np.random.default_rng(2).integers(0, 16, (4, 5, columns)).astype("u1")
    padded = np.zeros((4, 5, columns + columns % 2), "u1")
    padded[..., :columns] = data
    packed = padded[..., ::2] | padded[..., 1::2] << 4
    (tmp_path / "a.mrc").write_bytes(header(columns, 5, 4, 101) + packed.tobytes())
    stored, _ = ingest(penstock, tmp_path / "a.mrc", tmp_path / "out")
    np.testing.assert_array_equal(stored, data)


def test_old_extended_header_of_fei(penstock, tmp_path):
    from ncempy.io.mrc import mrcReader
    data = pixels((2, 6, 4), 1)
    sections = np.zeros((1024, 32), "<f4")
    sections[:, 8], sections[:, 11], sections[:, 12] = 0.5, 1.25e-9, 40000
    path = tmp_path / "a.mrc"
    path.write_bytes(header(4, 6, 2, 1, extended=131072) + sections.tobytes() + data.tobytes())
    stored, tree = ingest(penstock, path, tmp_path / "out")
    np.testing.assert_array_equal(stored, data)
    reference = mrcReader(str(path))
    np.testing.assert_array_equal(stored, reference["data"])
    event = "measurement/event1/instrument/"
    assert entry(tree, event + "detector1/count_time") == 0.5
    assert entry(tree, event + "optics/magnification") == 40000
    assert entry(tree, "penstock/axes/axis_i")["step"] == pytest.approx(
        reference["FEIinfo"]["pixel_size"])


def test_cut_and_refused(penstock, tmp_path):
    data = pixels((3, 4, 5), 1)
    path = tmp_path / "a.mrc"
    path.write_bytes(header(5, 4, 3, 1) + data.tobytes()[:-1])
    stored, tree = ingest(penstock, path, tmp_path / "out", status=3)
    np.testing.assert_array_equal(stored, data[:2])
    assert [kind for kind, _ in anomalies(tree)] == ["truncated"]
    path.write_bytes(header(5, 4, 3, 3) + bytes(240))
    assert "complex 16-bit" in refused(penstock, path, tmp_path / "no")
    path.write_bytes(header(5, -4, 3, 1) + bytes(240))
    assert "a.mrc" in refused(penstock, path, tmp_path / "no", "--format", "mrc")
