"""The store that the tests of the mount work on, and how they look at it."""

import hashlib
import os
import random
import shutil

import pytest

from synthetic import make_dataset

EXTENT = 4 << 20
# Three blocks of 12 MiB, 12 MiB and 8 MiB of frames: extents 4, 4, 3.
SHAPE = dict(scan=(16, 16), sig=(256, 256), block_bytes=12 << 20)
BLOCK = "proposal/scan/data.zarr/real/c/{}/0/0/0"


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    """A store that is copied by tests that damage it."""
    store = tmp_path_factory.mktemp("master") / "store"
    (store / "proposal").mkdir(parents=True)
    make_dataset(store / "proposal/scan", **SHAPE)
    (store / "notes.txt").write_text("a file beside the datasets\n")
    (store / "empty").touch()
    os.symlink("notes.txt", store / "link")
    (store / "raw").write_bytes(random.Random(1).randbytes(3_000_001))
    os.chmod(store / "notes.txt", 0o640)
    os.utime(store / "raw", (1_700_000_000, 1_700_000_000))
    return store


@pytest.fixture
def store(master, tmp_path):
    shutil.copytree(master, tmp_path / "store", symlinks=True)
    return tmp_path / "store"


@pytest.fixture
def places(tmp_path):
    return tmp_path / "mnt", tmp_path / "cache"


def digest(path):
    return hashlib.sha1(path.read_bytes()).hexdigest()


def read_all(store):
    for block in range(3):
        (store / BLOCK.format(block)).read_bytes()


def answers(attempt):
    try:
        attempt()
        return True
    except OSError:
        return False


def alive(point):
    try:
        os.listdir(point)
        return True
    except OSError:
        return False
