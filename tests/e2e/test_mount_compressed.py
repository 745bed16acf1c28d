"""Compressed datasets through a mount: blocks are cached and verified as they are stored; the faces
show plain frames."""

import errno
import json
import os
import random
import threading

import h5py
import numpy as np
import pytest

from face_files import NAMES, NPY_HEADER, assert_faces_are_right, opened, payload, read_direct
from ingesting import blocks_of
from mounting import flip_byte, mounted, need_fuse
from synthetic import frames, make_dataset

need_fuse()

ROWS = dict(scan=(5, 6), sig=(16, 12), missing=(3, 4, 29, 12, 13, 14, 15, 16, 17), block_bytes=5000)
COLUMNS = dict(scan=(3, 7), sig=(16, 12), block_bytes=1200, missing=(6, 7))
SERIES = dict(scan=(11,), sig=(8, 9), block_bytes=500)
# Several Blosc blocks in a frame; chunks that no read has in one piece.
LARGE = dict(scan=(4, 6), sig=(512, 500), block_bytes=6 << 20)


@pytest.fixture
def places(tmp_path):
    (tmp_path / "store").mkdir()
    return tmp_path / "store", tmp_path / "mnt", tmp_path / "cache"


@pytest.mark.parametrize("options", [(), ("--no-passthrough",)], ids=["default", "served"])
def test_faces_cold_warm_and_restarted(penstock, places, options):
    store, point, cache = places
    shapes = dict(rows=ROWS, columns=COLUMNS, series=SERIES, large=LARGE)
    for name, shape in shapes.items():
        codec = "lz4" if name in ("rows", "large") else "zstd"
        make_dataset(store / name, compression=codec, **shape)
    for _ in ("first", "restarted"):
        with mounted(penstock, store, point, cache, *options) as mount:
            for _ in range(2):
                for name, shape in shapes.items():
                    assert_faces_are_right(point / name, shape)
            for name in shapes:
                # The blocks are those of the store, and so is what the reader makes of them.
                for block in blocks_of(store / name):
                    shown = point / block.relative_to(store)
                    assert shown.read_bytes() == block.read_bytes()
                assert "intact" in penstock("verify", point / name).stdout
            assert mount.counter("verification_failures") == 0


@pytest.mark.parametrize("dtype", ["uint8", "float32", "complex128"])
def test_other_types(penstock, places, dtype):
    store, point, cache = places
    shape = ROWS | dict(dtype=dtype)
    make_dataset(store / "scan", compression="zstd", **shape)
    with mounted(penstock, store, point, cache):
        assert_faces_are_right(point / "scan", shape)


def test_reads_at_any_place(penstock, places):
    store, point, cache = places
    make_dataset(store / "scan", compression="lz4", **LARGE)
    expected = payload(LARGE)
    rng = random.Random(4)
    with mounted(penstock, store, point, cache):
        with opened(point / "scan/data.raw") as fd:
            for _ in range(60):
                offset = rng.randrange(len(expected))
                size = rng.choice([1, 100, 4096, 300_000, 2_000_000])
                assert os.pread(fd, size, offset) == expected[offset:offset + size]
            assert os.pread(fd, 10, len(expected)) == b""
        assert read_direct(point / "scan/data.raw", 1 << 20, 1 << 20) == \
            expected[1 << 20:2 << 20]
        # Eight readers at once.
        wrong = []

        def read(seed):
            own = random.Random(seed)
            with opened(point / "scan/data.raw", os.O_RDONLY) as mine:
                for _ in range(15):
                    offset = own.randrange(len(expected))
                    if os.pread(mine, 500_000, offset) != expected[offset:offset + 500_000]:
                        wrong.append((seed, offset))

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def test_the_reader_through_a_mount(penstock, places, tmp_path):
    store, point, cache = places
    make_dataset(store / "plain", **ROWS)
    make_dataset(store / "packed", compression="lz4", **ROWS)
    with mounted(penstock, store, point, cache):
        for _ in range(2):  # from the store, then through descriptors of the cache
            penstock("apply", point / "packed", "--mask", "disk:8,6,4", "--out", tmp_path / "packed")
        penstock("apply", store / "plain", "--mask", "disk:8,6,4", "--out", tmp_path / "plain")
    np.testing.assert_array_equal(np.load(tmp_path / "packed_masks.npy"),
                                  np.load(tmp_path / "plain_masks.npy"))


def test_damage_in_the_store_is_an_error(penstock, places):
    store, point, cache = places
    scan = make_dataset(store / "scan", compression="lz4", **ROWS)
    block = blocks_of(scan)[1]
    block.chmod(0o644)
    flip_byte(block, 100)
    with mounted(penstock, store, point, cache) as mount:
        size = 12 * 16 * 12 * 2  # of the frames of a block
        with opened(point / "scan/data.raw") as fd:
            with pytest.raises(OSError) as failure:
                os.pread(fd, 1000, size + 5000)
            assert failure.value.errno == errno.EIO
            # The block before it is whole, as far as no page of the kernel is shared with this one.
            assert os.pread(fd, size, 0) == payload(ROWS)[:4096]
        mount.wait_for_log(str(block.relative_to(store)))


def test_repacked_under_a_mount(penstock, places):
    store, point, cache = places
    make_dataset(store / "scan", **ROWS)
    expected = payload(ROWS)
    with mounted(penstock, store, point, cache) as mount:
        assert (point / "scan/data.raw").read_bytes() == expected
        with opened(point / "scan/data.raw") as before:
            for choice in ("zstd", "none", "lz4"):
                penstock("repack", store / "scan", f"--compress={choice}")
                assert_faces_are_right_soon(point / "scan", ROWS)
            # What was opened before is the generation that it was, of which the cache has all.
            assert os.pread(before, len(expected), 0) == expected
        assert mount.counter("verification_failures") == 0


def assert_faces_are_right_soon(scan, shape):
    """A dataset that was written anew is seen at the latest a second later."""
    for attempt in range(40):
        try:
            assert_faces_are_right(scan, shape)
            return
        except OSError:
            if attempt == 39:
                raise
            threading.Event().wait(0.1)


def test_restart_with_a_face_open(penstock, places):
    store, point, cache = places
    make_dataset(store / "scan", compression="zstd", **LARGE)
    expected = payload(LARGE)
    with mounted(penstock, store, point, cache) as mount:
        with opened(point / "scan/data.npy") as fd:
            assert os.pread(fd, 1000, NPY_HEADER) == expected[:1000]
            pid = mount.pid()
            penstock("restart", point)
            assert mount.pid() != pid
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            middle = len(expected) // 2
            assert os.pread(fd, 3_000_000, NPY_HEADER + middle) == \
                expected[middle:middle + 3_000_000]


def test_hdf5_slices(penstock, places):
    store, point, cache = places
    make_dataset(store / "scan", compression="lz4", **LARGE)
    with mounted(penstock, store, point, cache):
        with h5py.File(point / "scan/data.nxs", "r") as file:
            real = file["entry1/measurement/event1/image1/image_4d/real"]
            expected = frames(**LARGE)
            np.testing.assert_array_equal(real[2, 3], expected[2, 3])
            np.testing.assert_array_equal(real[:, 1, 100:130, ::7], expected[:, 1, 100:130, ::7])
    assert json.loads((store / "scan/nexus.json").read_text())["entry1"]["penstock"][
        "compression"] == "lz4"
    assert set(NAMES) == {"data.nxs", "data.npy", "data.raw"}
