"""SEEK_DATA and SEEK_HOLE through a mount: holes as in the store, and never where there is data."""

import errno
import os
import subprocess
import tarfile

import numpy as np
import pytest

from mount_store import EXTENT, places
from mounting import mounted, need_fuse
from synthetic import make_dataset

need_fuse()

NOW = ("--settle-time", "0")
MIB = 1 << 20
SIZE = 24 * MIB + 777
DATA = {0: b"at the start", 5 * MIB + 3: b"in the middle" * 1000, 20 * MIB: bytes(range(256)) * 64}


def holes(path):
    """The data of a file, as (start, end)."""
    found = []
    with open(path, "rb", buffering=0) as file:
        at = 0
        while True:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError as failure:
                assert failure.errno == errno.ENXIO
                return found
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            assert at > start
            found.append((start, at))


@pytest.fixture
def sparse(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    with open(folder / "sparse", "wb") as file:
        file.truncate(SIZE)
        for at, text in DATA.items():
            file.seek(at)
            file.write(text)
    (folder / "full").write_bytes(b"x" * 10_000)
    (folder / "nothing").touch()
    with open(folder / "all hole", "wb") as file:
        file.truncate(MIB)
    if holes(folder / "sparse") == [(0, SIZE)]:
        pytest.skip("SKIPPED FOR WANT OF HOLES: the file system of the tests keeps none")
    return folder


@pytest.mark.parametrize("options", [NOW, (*NOW, "--no-passthrough"), ("--settle-time", "86400")],
                         ids=["default", "served", "read through"])
def test_files_have_the_holes_of_the_store(penstock, sparse, places, tmp_path, options):
    point, cache = places
    with mounted(penstock, sparse, point, cache, *options):
        for warm in (False, True):
            for name in ("sparse", "full", "nothing", "all hole"):
                assert holes(point / name) == holes(sparse / name), (name, warm)
            assert (point / "sparse").read_bytes() == (sparse / "sparse").read_bytes()
        for offset, whence in ((SIZE, os.SEEK_DATA), (SIZE, os.SEEK_HOLE), (SIZE + 5, os.SEEK_HOLE)):
            with open(point / "sparse", "rb") as file, pytest.raises(OSError) as failure:
                os.lseek(file.fileno(), offset, whence)
            assert failure.value.errno == errno.ENXIO
        with open(point / "sparse", "rb") as file:
            assert os.lseek(file.fileno(), -7, os.SEEK_END) == SIZE - 7

        for sparseness in ("auto", "always"):
            copy = tmp_path / sparseness
            subprocess.run(["cp", f"--sparse={sparseness}", point / "sparse", copy], check=True)
            assert copy.read_bytes() == (sparse / "sparse").read_bytes()
            assert os.stat(copy).st_blocks * 512 < MIB
        archive = tmp_path / "archive.tar"
        subprocess.run(["tar", "-S", "-C", point, "-cf", archive, "sparse"], check=True)
        assert archive.stat().st_size < MIB
        with tarfile.open(archive) as tar:
            assert tar.extractfile("sparse").read() == (sparse / "sparse").read_bytes()


def test_a_state_that_is_not_the_stores_any_more_is_all_data(penstock, sparse, places):
    point, cache = places
    with mounted(penstock, sparse, point, cache, *NOW):
        with open(point / "sparse", "rb", buffering=0) as file:
            assert os.lseek(file.fileno(), MIB, os.SEEK_DATA) > MIB
            file.readall()
            with open(sparse / "new", "wb") as other:
                other.truncate(SIZE)
            os.rename(sparse / "new", sparse / "sparse")
            at = os.lseek(file.fileno(), 5 * MIB, os.SEEK_DATA)
            assert os.pread(file.fileno(), 13, 5 * MIB + 3) == b"in the middle"
            assert 5 * MIB <= at <= 5 * MIB + 3
        assert holes(point / "sparse") == []


def test_all_is_data_without_the_store(penstock, sparse, places):
    point, cache = places
    with mounted(penstock, sparse, point, cache, *NOW):
        penstock("warm", point / "sparse")
        # (Nothing of the store is held open for a file that the cache has all of.)
        with open(point / "sparse", "rb", buffering=0) as file:
            expected = file.readall()
            os.rename(sparse, sparse.parent / "away")
            assert os.lseek(file.fileno(), MIB, os.SEEK_DATA) == MIB
            assert os.lseek(file.fileno(), MIB, os.SEEK_HOLE) == SIZE
            assert os.pread(file.fileno(), SIZE, 0) == expected
            os.rename(sparse.parent / "away", sparse)


def test_blocks_and_faces(penstock, tmp_path, places):
    """Of a block only extents that are proved to be zeros are holes."""
    point, cache = places
    folder = tmp_path / "store"
    folder.mkdir()
    make_dataset(folder / "scan", scan=(16, 16), sig=(256, 256), block_bytes=12 << 20, missing=range(96))
    block = "scan/data.zarr/real/c/0/0/0/0"
    raw = np.fromfile(folder / block, "u1")
    zeros = [extent for extent in range(raw.size // EXTENT)
             if not raw[extent * EXTENT:(extent + 1) * EXTENT].any()]
    with mounted(penstock, folder, point, cache):
        shown = holes(point / block)
        for extent in range(-(-raw.size // EXTENT)):
            start, end = extent * EXTENT, min(raw.size, (extent + 1) * EXTENT)
            is_data = any(first <= start and end <= last for first, last in shown)
            assert is_data == (extent not in zeros), extent
        assert zeros and (point / block).read_bytes() == raw.tobytes()
        size = os.stat(point / "scan/data.npy").st_size
        assert holes(point / "scan/data.npy") == [(0, size)]
