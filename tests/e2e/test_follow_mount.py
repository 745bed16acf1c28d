"""A growing dataset seen through a mount: the part that is there, later the rest, never a mixture."""

import json
import os
import time

import h5py
import numpy as np
import pytest
import zarr

from mounting import assert_same_tree, mounted, need_fuse
from test_follow import (COLUMNS, ROWS, STACK, Instrument, finished, follow, image_key, state,
                         stored)
from waiting import wait_for

need_fuse()

BLOCK_FILE = "data.zarr/real/c/0/0/0/0"
SERVING = pytest.mark.parametrize("options", [(), ("--no-passthrough",)], ids=["default", "served"])


@pytest.fixture
def growing(penstock, follow, tmp_path):
    """An instrument, and the dataset in a store that follows it."""
    instrument = Instrument(tmp_path / "in")
    instrument.write_up_to(1)
    store = tmp_path / "store"
    store.mkdir()
    process = follow(instrument.path, store / "scan")
    wait_for(lambda: (store / "scan/nexus.json").exists())
    return instrument, store, process


@SERVING
def test_what_is_there_and_later_the_rest(penstock, tmp_path, growing, options):
    instrument, store, process = growing
    with mounted(penstock, store, tmp_path / "point", tmp_path / "cache", *options) as mount:
        scan = mount.point / "scan"
        assert state(scan) == "growing" and (image_key(scan) == 3).all()
        assert not stored(scan).any() and not (scan / BLOCK_FILE).exists()
        # Opened now, read later: what the name stood for then.
        names = ["nexus.json", "data.nxs", "data.zarr/image_key/c/0/0"]
        before = {name: (store / "scan" / name).read_bytes() for name in names}
        opened = {name: open(scan / name, "rb", buffering=0) for name in names}

        instrument.write_up_to(2 * COLUMNS + 5)
        wait_for(lambda: (image_key(scan)[:2] == 0).all())
        assert (image_key(scan)[2:] == 3).all()
        np.testing.assert_array_equal(stored(scan)[:2 * COLUMNS], STACK[:2 * COLUMNS])
        assert not stored(scan)[2 * COLUMNS:].any()
        key = "entry1/measurement/event1/instrument/detector1/image_key"
        wait_for(lambda: (h5py.File(scan / "data.nxs")[key][:2] == 0).all())
        for name, file in opened.items():
            assert (store / "scan" / name).read_bytes() != before[name]
            assert file.read() == before[name], name
            assert os.fstat(file.fileno()).st_size == len(before[name])
            file.close()

        # The program's own readers, and the commands of the mount.
        penstock("verify", scan)
        penstock("apply", scan, "--mask", "disk:16,16,40", "--out", tmp_path / "sum.npy")
        total = np.load(tmp_path / "sum.npy").reshape(-1)
        np.testing.assert_allclose(total[:2 * COLUMNS], STACK[:2 * COLUMNS].sum(axis=(1, 2)))
        assert "growing" in penstock("show", scan).stdout
        penstock("status", mount.point)
        penstock("warm", scan, status=None)

        with open(scan / BLOCK_FILE, "rb", buffering=0) as block:
            expected = (store / "scan" / BLOCK_FILE).read_bytes()
            instrument.write_up_to(ROWS * COLUMNS)
            finished(process)
            wait_for(lambda: state(scan) == "sealed")
            assert block.read() == expected
        np.testing.assert_array_equal(stored(scan), STACK)
        assert (image_key(scan) == 0).all()
        assert_same_tree(store, mount.point)
        penstock("verify", scan)
        # Sealed blocks are cached and verified.
        penstock("warm", scan)
        assert [d["complete_blocks"] for d in mount.status()["datasets"]] == [ROWS // 2]
        np.testing.assert_array_equal(stored(scan), STACK)
        assert mount.counter("upstream_errors") == 0


@SERVING
def test_no_reader_sees_a_mixture(penstock, tmp_path, growing, options):
    """While the sidecars are replaced, each read gives one of their states, and every frame that is
    valid is there."""
    instrument, store, process = growing
    with mounted(penstock, store, tmp_path / "point", tmp_path / "cache", *options) as mount:
        scan = mount.point / "scan"
        seen = set()
        frame = 1
        while process.poll() is None:
            frame = min(frame + 2, ROWS * COLUMNS)
            instrument.write_up_to(frame)
            for _ in range(2):
                tree = json.loads((scan / "nexus.json").read_text())["entry1"]["penstock"]
                key = np.fromfile(scan / "data.zarr/image_key/c/0/0", "<i4")
                assert key.shape == (ROWS * COLUMNS,)
                pixels = stored(scan)
                for position in np.flatnonzero(key == 0):
                    np.testing.assert_array_equal(pixels[position], STACK[position])
                with h5py.File(scan / "data.nxs") as file:
                    assert file["entry1/penstock/state"][()] in (b"growing", b"sealed")
                seen.add((tree["state"], int((key == 0).sum())))
        finished(process)
        wait_for(lambda: state(scan) == "sealed")
        assert_same_tree(store, mount.point)
        assert len({count for _, count in seen}) > ROWS // 4
        assert mount.counter("upstream_errors") == 0


def test_mounted_before_the_dataset_is_there(penstock, follow, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    with mounted(penstock, store, tmp_path / "point", tmp_path / "cache") as mount:
        scan = mount.point / "scan"
        assert not scan.exists()
        instrument = Instrument(tmp_path / "in")
        instrument.write_up_to(2 * COLUMNS)
        process = follow(instrument.path, store / "scan", quiet=1)
        wait_for(lambda: (scan / BLOCK_FILE).exists() and (image_key(scan)[:2] == 0).all())
        # The acquisition is given up.
        finished(process, status=3)
        wait_for(lambda: state(scan) == "sealed")
        assert (image_key(scan)[:2] == 0).all() and (image_key(scan)[2:] == 3).all()
        np.testing.assert_array_equal(stored(scan)[:2 * COLUMNS], STACK[:2 * COLUMNS])
        time.sleep(1.1)  # names are believed for a second
        assert_same_tree(store, mount.point)
