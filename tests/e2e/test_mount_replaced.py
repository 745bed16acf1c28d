"""What is replaced again and again while it is opened: every open by name gives one state of it, and none
fails for having met a replacement, as on the store itself."""

import ctypes
import errno
import hashlib
import io
import json
import os
import random
import shutil
import threading
import time

import h5py
import numpy as np
import pytest

from mount_store import BLOCK, EXTENT, SHAPE, master, places, store
from mounting import flip_byte, mounted, need_fuse
from synthetic import make_dataset

need_fuse()

SERVING = pytest.mark.parametrize("options", [(), ("--no-passthrough",)], ids=["default", "served"])
SECONDS = float(os.environ.get("PENSTOCK_REPLACING_SECONDS", "3"))
RENAME_EXCHANGE = 2


def exchange(one, other):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), "cannot exchange")


def while_replaced(replace, read, seconds=SECONDS, readers=3):
    """How often `read` was done, in several threads, while `replace` was called again and again."""
    over = threading.Event()
    counts, failures = [0] * readers, []

    def work(number):
        while not over.is_set() and not failures:
            try:
                read()
                counts[number] += 1
            except Exception as failure:  # told below, with the thread's trace
                failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(readers)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    replaced = 0
    while time.monotonic() < end and not failures:
        replace()
        replaced += 1
    over.set()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    assert replaced > 10 and min(counts) > 0
    return sum(counts)


def read_file(path):
    """All bytes, by its size and then to its end."""
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        data = b""
        while more := file.read(1 << 20):
            data += more
    assert len(data) == size
    return data


@SERVING
@pytest.mark.parametrize("pause", [0, 0.002, 0.02])
def test_a_file(penstock, tmp_path, options, pause):
    store = tmp_path / "store"
    store.mkdir()
    bodies = [random.Random(length).randbytes(length) for length in (10, 5_000, 70_000, 1_100_000)]
    contents = [hashlib.sha256(body).digest() + body for body in bodies]

    def replace():
        (tmp_path / "next").write_bytes(random.choice(contents))
        os.rename(tmp_path / "next", store / "file")
        time.sleep(pause)

    replace()
    with mounted(penstock, store, tmp_path / "point", tmp_path / "cache", *options) as mount:
        def read():
            data = read_file(mount.point / "file")
            assert hashlib.sha256(data[32:]).digest() == data[:32]

        while_replaced(replace, read)
        assert mount.counter("upstream_errors") == 0


@SERVING
@pytest.mark.parametrize("settle", ["0", "86400"], ids=["cached", "read through"])
def test_a_dataset(penstock, tmp_path, options, settle):
    """Two of them, which exchange their names."""
    store = tmp_path / "store"
    store.mkdir()
    shape = dict(scan=(4, 8), sig=(32, 32))
    make_dataset(store / "scan", **shape)
    make_dataset(tmp_path / "other", **shape, dtype="uint8")

    def replace():
        exchange(store / "scan", tmp_path / "other")
        time.sleep(0.1)

    with mounted(penstock, store, tmp_path / "point", tmp_path / "cache", "--settle-time", settle,
                 *options) as mount:
        scan = mount.point / "scan"

        def read():
            json.loads(read_file(scan / "nexus.json"))
            # (What its blocks hold is gone with the dataset.)
            with open(scan / "data.npy", "rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                header = io.BytesIO(file.read(4096))
                np.lib.format.read_magic(header)
                shape, _, dtype = np.lib.format.read_array_header_1_0(header)
                assert size == header.tell() + np.prod(shape) * dtype.itemsize
            with h5py.File(scan / "data.nxs") as file:
                assert file["entry1"].attrs["NX_class"] in (b"NXentry", "NXentry")
            assert (scan / "checksums.xxh128").read_text().count("\n") > 5

        while_replaced(replace, read)


@SERVING
@pytest.mark.parametrize("looked_at", [False, True], ids=["unnoticed", "noticed"])
def test_a_block_that_is_open_stays_what_it_was(penstock, store, places, options, looked_at):
    """Also what had not been read of it: the store's file is open, too."""
    point, cache = places
    expected = (store / BLOCK.format(1)).read_bytes()
    make_dataset(store / "proposal/next", **{**SHAPE, "sig": (256, 128)})
    with mounted(penstock, store, point, cache, "--read-ahead", "0", "--fetch-threads", "1", *options) as mount:
        with open(point / BLOCK.format(1), "rb", buffering=0) as block:
            exchange(store / "proposal/scan", store / "proposal/next")
            shutil.rmtree(store / "proposal/next")
            if looked_at:
                time.sleep(1.1)  # what is believed
                json.loads(read_file(point / "proposal/scan/nexus.json"))
                os.stat(point / BLOCK.format(0))
            for offset in (5 * EXTENT // 2, 0, EXTENT - 100, len(expected) - 1000, 3):
                assert os.pread(block.fileno(), 200_000, offset) == expected[offset:offset + 200_000]
            assert os.pread(block.fileno(), 1, len(expected)) == b""
            if looked_at:
                assert mount.counter("verification_failures") == 0
        time.sleep(1.1)
        assert (point / BLOCK.format(1)).read_bytes() == (store / BLOCK.format(1)).read_bytes() != expected


def test_a_block_that_was_damaged_in_place_stays_refused(penstock, store, places):
    point, cache = places
    with mounted(penstock, store, point, cache, "--read-ahead", "0", "--fetch-threads", "1") as mount:
        with open(point / BLOCK.format(1), "rb", buffering=0) as block:
            flip_byte(store / BLOCK.format(1), 2 * EXTENT + 5)
            with pytest.raises(OSError) as refused:
                os.pread(block.fileno(), 100, 2 * EXTENT)
            assert refused.value.errno == errno.EIO
        mount.wait_for_log("changed in the store")
