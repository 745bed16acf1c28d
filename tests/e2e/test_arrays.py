"""The .npy and PNG files that penstock writes, read by NumPy and Pillow; and NumPy's, read back."""

import subprocess

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def write_arrays(penstock):
    program = penstock.binary.parents[2] / "tests/penstock_write_arrays"
    assert program.exists(), f"{program} does not exist: build first"

    def run(folder):
        done = subprocess.run([str(program), str(folder)], capture_output=True, text=True,
                              check=False)
        assert done.returncode == 0, done.stderr
        return folder

    return run


@pytest.fixture(scope="module")
def written(write_arrays, tmp_path_factory):
    return write_arrays(tmp_path_factory.mktemp("arrays"))


@pytest.mark.parametrize("dtype", [
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64",
    "complex64", "complex128"])
def test_numpy_reads_every_type(written, dtype):
    array = np.load(written / f"{dtype}.npy")
    expected = np.arange(24).reshape(2, 3, 4)
    if dtype.startswith("complex"):
        expected = expected - 1j * expected
    assert array.dtype == np.dtype(dtype)
    assert array.flags.c_contiguous
    np.testing.assert_array_equal(array, expected)
    with open(written / f"{dtype}.npy", "rb") as file:
        assert np.lib.format.read_magic(file) == (1, 0)
        np.lib.format.read_array_header_1_0(file)
        assert file.tell() % 64 == 0


@pytest.mark.parametrize("array", [
    np.arange(24, dtype="<u2").reshape(2, 3, 4),
    np.asfortranarray(np.arange(24, dtype="<f4").reshape(4, 6)),
    np.asfortranarray(np.arange(120, dtype="<i2").reshape(2, 3, 4, 5)),
    np.arange(6, dtype=">i4"),
    np.arange(6, dtype=">c8").reshape(2, 3),
    np.array(3.5),
    np.zeros((0, 4), dtype="u1"),
], ids=str)
def test_numpy_arrays_come_back(write_arrays, tmp_path, array):
    np.save(tmp_path / "in.npy", array)
    back = np.load(write_arrays(tmp_path) / "out.npy")
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


def test_booleans_come_back_as_bytes(write_arrays, tmp_path):
    mask = np.random.default_rng(1).random((4, 5)) > 0.5
    np.save(tmp_path / "in.npy", mask)
    back = np.load(write_arrays(tmp_path) / "out.npy")
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, mask)


def test_grey_images(written):
    image = Image.open(written / "grey8.png")
    assert image.mode == "L"
    assert image.text == {"Title": "grey", "Description": "0.5 Å per pixel"}
    np.testing.assert_array_equal(np.asarray(image), (np.arange(35) * 7).reshape(5, 7))
    deep = np.asarray(Image.open(written / "grey16.png")).astype(np.int64)
    np.testing.assert_array_equal(deep, (np.arange(35) * 1800).reshape(5, 7))


def test_colour_image(written):
    image = Image.open(written / "rgb.png")
    assert image.mode == "RGB"
    expected = np.arange(35).reshape(5, 7, 1) * np.array([1, 2, 3])
    np.testing.assert_array_equal(np.asarray(image), expected)
