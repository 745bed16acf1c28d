"""What the faces of a synthetic dataset must be, by NumPy alone."""

import contextlib
import mmap
import os

import h5py
import numpy as np

from synthetic import frames

NPY_HEADER = 4096
NAMES = ("data.nxs", "data.npy", "data.raw")
FACE = "user.penstock.face"


def signal(shape):
    image = "image_3d" if len(shape["scan"]) == 1 else "image_4d"
    return f"entry1/measurement/event1/image1/{image}/real"


def payload(shape):
    return frames(**shape).tobytes()


def assert_faces_are_right(scan, shape):
    """h5py, numpy and plain reading give the frames, at the places that the faces promise."""
    expected = frames(**shape)
    with h5py.File(scan / "data.nxs", "r") as file:
        real = file[signal(shape)]
        offset = real.id.get_offset()
        assert real.chunks is None and not real.is_virtual and offset % (1 << 20) == 0
        assert real.dtype == expected.dtype and offset + real.nbytes == os.stat(
            scan / "data.nxs").st_size
        np.testing.assert_array_equal(real[...], expected)
    array = np.load(scan / "data.npy", mmap_mode="r")
    assert array.dtype == expected.dtype and array.offset == NPY_HEADER
    np.testing.assert_array_equal(array, expected)
    assert os.stat(scan / "data.npy").st_size == NPY_HEADER + expected.nbytes
    assert (scan / "data.raw").read_bytes() == expected.tobytes()


def assert_same_hdf5(face, store):
    """Every group, field and attribute of two open files, but for how the frames are laid out."""
    names = []
    store.visit(names.append)
    other = []
    face.visit(other.append)
    assert names and names == other
    for name in ["/"] + names:
        a, b = face[name], store[name]
        assert isinstance(a, h5py.Group) == isinstance(b, h5py.Group), name
        assert list(a.attrs) == list(b.attrs), name
        for key in a.attrs:
            assert np.array_equal(a.attrs[key], b.attrs[key]), (name, key)
            assert getattr(a.attrs[key], "dtype", None) == getattr(b.attrs[key], "dtype", None)
        if isinstance(a, h5py.Dataset):
            assert a.dtype == b.dtype and a.shape == b.shape, name
            np.testing.assert_array_equal(a[()], b[()], err_msg=name)


@contextlib.contextmanager
def opened(path, flags=os.O_RDONLY):
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def read_direct(path, offset, size):
    """An aligned read past the page cache."""
    with opened(path, os.O_RDONLY | os.O_DIRECT) as fd:
        buffer = mmap.mmap(-1, size)
        count = os.preadv(fd, [buffer], offset)
        return buffer[:count]
