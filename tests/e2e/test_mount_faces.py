"""The contiguous files that a mount shows of each dataset: their bytes, whatever way they are read."""

import errno
import hashlib
import io
import json
import mmap
import os
import random
import shutil
import signal as signal_module
import stat
import subprocess
import sys
import threading

import h5py
import numpy as np
import pytest

from face_files import (FACE, NAMES, NPY_HEADER, assert_faces_are_right, assert_same_hdf5, opened,
                        payload, read_direct, signal)
from mounting import files_below, flip_byte, mounted, need_fuse, penstock_attributes, wait_for
from remote_stores import NginxStore, S3Store
from synthetic import frames, make_dataset

need_fuse()

SERVING = pytest.mark.parametrize("options", [(), ("--no-passthrough",)], ids=["default", "served"])
# Rows in a block, with a shorter last one, and lost frames; a part of a row, the same; a series; one
# frame in a block.
ROWS = dict(scan=(5, 6), sig=(16, 12), missing=(3, 4, 29), block_bytes=5000)
COLUMNS = dict(scan=(3, 7), sig=(16, 12), block_bytes=1200, missing=(6, 7))
SERIES = dict(scan=(11,), sig=(8, 9), block_bytes=500)
SINGLE = dict(scan=(2, 3), sig=(10, 10), block_bytes=1)
# Three blocks of 12, 12 and 8 MiB.
LARGE = dict(scan=(16, 16), sig=(256, 256), block_bytes=12 << 20)


@pytest.fixture
def places(tmp_path):
    (tmp_path / "store").mkdir()
    return tmp_path / "store", tmp_path / "mnt", tmp_path / "cache"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A store that no test changes."""
    store = tmp_path_factory.mktemp("faces") / "store"
    store.mkdir()
    make_dataset(store / "scan", **LARGE)
    return store


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int64", "float32",
                                   "float64", "complex64", "complex128"])
def test_every_type(penstock, places, dtype):
    store, point, cache = places
    shape = ROWS | dict(dtype=dtype)
    make_dataset(store / "scan", **shape)
    with mounted(penstock, store, point, cache):
        assert_faces_are_right(point / "scan", shape)


@SERVING
def test_every_partition_cold_warm_and_restarted(penstock, places, options):
    store, point, cache = places
    shapes = dict(rows=ROWS | dict(calibrated=True), columns=COLUMNS, series=SERIES, single=SINGLE)
    for name, shape in shapes.items():
        make_dataset(store / "proposal" / name, **shape)
    inodes = {}
    for attempt in ("first", "restarted"):
        with mounted(penstock, store, point, cache, *options) as mount:
            for _ in range(2):
                for name, shape in shapes.items():
                    assert_faces_are_right(point / "proposal" / name, shape)
            now = {(name, face): os.stat(point / "proposal" / name / face).st_ino
                   for name in shapes for face in NAMES}
            assert len(set(now.values())) == 12 and inodes in ({}, now)
            inodes = now
            if attempt == "restarted":
                assert mount.counter("fetched_bytes") == 0


def test_the_nexus_tree_is_that_of_the_store(penstock, places):
    store, point, cache = places
    for name, shape in dict(rows=ROWS | dict(calibrated=True, complete=True), series=SERIES).items():
        make_dataset(store / name, **shape)
        with mounted(penstock, store, point, cache):
            with h5py.File(point / name / "data.nxs") as face, \
                    h5py.File(store / name / "data.nxs") as file:
                assert_same_hdf5(face, file)


def test_more_than_512_blocks(penstock, places):
    store, point, cache = places
    shape = dict(scan=(27, 19), sig=(4, 4), block_bytes=1)
    make_dataset(store / "scan", **shape)
    assert not (store / "scan/data.nxs").exists()
    with mounted(penstock, store, point, cache):
        assert_faces_are_right(point / "scan", shape)
        penstock("verify", point / "scan")


def test_what_a_listing_shows(penstock, places):
    store, point, cache = places
    make_dataset(store / "scan", **ROWS)
    os.chmod(store / "scan/data.zarr/real/c/0/0/0/0", 0o440)
    with mounted(penstock, store, point, cache):
        listed = {entry.name: entry.inode() for entry in os.scandir(point / "scan")}
        assert sorted(listed) == sorted([*NAMES, "nexus.json", "checksums.xxh128", "data.zarr"])
        times = os.stat(store / "scan/nexus.json")
        for name in NAMES:
            status = os.stat(point / "scan" / name)
            assert status.st_mode == stat.S_IFREG | 0o440 and status.st_nlink == 1
            assert status.st_ino == listed[name]
            assert (status.st_mtime_ns, status.st_ctime_ns) == (times.st_mtime_ns,
                                                                times.st_ctime_ns)
            assert set(penstock_attributes(point / "scan" / name)) == {"face"}
            with pytest.raises(OSError) as failure:
                os.open(point / "scan" / name, os.O_RDWR)
            assert failure.value.errno == errno.EROFS
        assert os.getxattr(point / "scan/data.nxs", FACE).startswith(
            b"contiguous HDF5; frames from byte 1048576 on, out of 3 blocks; dataset ")
        assert os.getxattr(point / "scan/data.npy", FACE).startswith(
            b"NumPy; frames from byte 4096 on, ")
        assert os.getxattr(point / "scan/data.raw", FACE).startswith(b"frames alone; ")
        assert (point / "scan/nexus.json").read_bytes() == (store / "scan/nexus.json").read_bytes()
        # Beside a dataset there are none.
        assert not (point / "data.npy").exists() and os.listdir(point) == ["scan"]


def test_a_mount_without_faces(penstock, places):
    store, point, cache = places
    make_dataset(store / "scan", **ROWS)
    with mounted(penstock, store, point, cache, "--no-faces"):
        assert files_below(point) == files_below(store)
        for name in ("data.nxs", "checksums.xxh128"):
            assert (point / "scan" / name).read_bytes() == (store / "scan" / name).read_bytes()
        penstock("verify", point / "scan")


def test_files_of_the_store_are_not_hidden(penstock, places):
    store, point, cache = places
    make_dataset(store / "scan", **ROWS)
    (store / "scan/data.npy").write_bytes(b"somebody's own")
    (store / "folder").mkdir()
    (store / "folder/data.raw").write_bytes(b"raw")
    (store / "damaged").mkdir()
    (store / "damaged/nexus.json").write_text('{"half": ')
    (store / "damaged/data.nxs").write_bytes(b"nxs")
    with mounted(penstock, store, point, cache):
        assert (point / "scan/data.npy").read_bytes() == b"somebody's own"
        assert (point / "scan/data.raw").read_bytes() == payload(ROWS)
        assert (point / "folder/data.raw").read_bytes() == b"raw"
        assert (point / "damaged/data.nxs").read_bytes() == b"nxs"
        assert sorted(os.listdir(point / "damaged")) == ["data.nxs", "nexus.json"]


@SERVING
def test_any_offset_and_size(penstock, large, tmp_path, options):
    point = tmp_path / "mnt"
    frames_as_bytes = payload(LARGE)
    numbers = random.Random(5)
    with mounted(penstock, large, point, tmp_path / "cache", *options):
        for name, header in (("data.raw", 0), ("data.npy", NPY_HEADER), ("data.nxs", 1 << 20)):
            path = point / "scan" / name
            with opened(path) as fd:
                head = os.pread(fd, header, 0)
                expected = head + frames_as_bytes
                assert len(head) == header and os.fstat(fd).st_size == len(expected)
                edges = [header, header + (12 << 20), header + (24 << 20), len(expected)]
                for _ in range(150):
                    offset = numbers.choice([numbers.randrange(len(expected) + 10),
                                             numbers.choice(edges) - numbers.randrange(2000)])
                    offset = max(offset, 0)
                    size = numbers.choice([1, 100, 4096, 70_000, 1_500_000])
                    assert os.pread(fd, size, offset) == expected[offset:offset + size]
                # Backwards, then all at once, mapped.
                for offset in range(len(expected) - 1, 0, -3_000_017):
                    assert os.pread(fd, 1, offset) == expected[offset:offset + 1]
                with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as mapped:
                    assert hashlib.sha1(mapped).digest() == hashlib.sha1(expected).digest()
            for offset in (0, header, (12 << 20) + (header & 4096) - 4096, len(expected) // 4096 * 4096):
                offset = offset // 4096 * 4096
                assert read_direct(path, offset, 1 << 20) == expected[offset:offset + (1 << 20)]
        copy = tmp_path / "copy.nxs"
        subprocess.run(["cp", point / "scan/data.nxs", copy], check=True)
        with h5py.File(copy) as file:
            np.testing.assert_array_equal(file[signal(LARGE)][...], frames(**LARGE))


def test_threads_reading_while_the_cache_evicts(penstock, large, tmp_path):
    point = tmp_path / "mnt"
    expected = payload(LARGE)
    wrong = []
    with mounted(penstock, large, point, tmp_path / "cache", "--cache-size", str(14 << 20)) as mount:
        def read(seed):
            numbers = random.Random(seed)
            with opened(point / "scan/data.raw", os.O_RDONLY | os.O_DIRECT) as fd:
                buffer = mmap.mmap(-1, 1 << 20)
                for _ in range(25):
                    offset = numbers.randrange(len(expected)) // 4096 * 4096
                    count = os.preadv(fd, [buffer], offset)
                    if buffer[:count] != expected[offset:offset + (1 << 20)]:
                        wrong.append(offset)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert mount.counter("evicted_blocks") > 0
        assert mount.status()["cached_bytes"] <= 14 << 20


def test_reading_on_fetches_the_next_block(penstock, large, tmp_path):
    point = tmp_path / "mnt"
    with mounted(penstock, large, point, tmp_path / "cache") as mount:
        with opened(point / "scan/data.raw") as fd:
            for offset in range(0, 8 << 20, 1 << 20):
                os.pread(fd, 1 << 20, offset)
            blocks = [f"data.zarr/real/c/{block}/0/0/0" for block in range(3)]
            state = lambda block: os.getxattr(point / "scan" / blocks[block], "user.penstock.state")
            assert wait_for(lambda: state(0) == b"complete 4/4" and state(1) == b"complete 4/4")
            assert state(2) == b"absent 0/3"


def test_a_face_beyond_4_gib(penstock, places):
    """5 GiB of lost frames, and a few that are there at the ends."""
    store, point, cache = places
    shape = dict(scan=(40, 64), sig=(1024, 1024), block_bytes=256 << 20)
    last = 40 * 64 - 1
    present = (0, 2047, 2048, last)
    make_dataset(store / "scan", missing=[n for n in range(last + 1) if n not in present], **shape)
    one = dict(scan=(40, 64), sig=(1024, 1024))

    def frame(n):
        y, x = np.mgrid[:1024, :1024].astype(np.int64)
        return ((7 * n + 3 * y + 5 * x + ((n * y) ^ x)) % 4093).astype("<u2")

    with mounted(penstock, store, point, cache, "--cache-size", "64M"):
        assert os.stat(point / "scan/data.raw").st_size == 5 << 30
        array = np.load(point / "scan/data.npy", mmap_mode="r").reshape(-1, 1024, 1024)
        with h5py.File(point / "scan/data.nxs") as file:
            real = file[signal(one)]
            assert real.shape == (40, 64, 1024, 1024)
            for n in present:
                np.testing.assert_array_equal(real[n // 64, n % 64], frame(n))
                np.testing.assert_array_equal(array[n], frame(n))
            assert not real[39, 62].any() and not array[2046].any()
        with opened(point / "scan/data.raw") as fd:
            assert os.pread(fd, 1 << 20, (5 << 30) - 7) == frame(last).tobytes()[-7:]


def test_checksums_and_verify(penstock, places):
    store, point, cache = places
    make_dataset(store / "scan", **ROWS)
    with mounted(penstock, store, point, cache):
        listed = (point / "scan/checksums.xxh128").read_text().splitlines()
        original = (store / "scan/checksums.xxh128").read_text().splitlines()
        assert [line for line in original if not line.endswith("  ./data.nxs")] == listed
        assert len(listed) == len(original) - 1
        done = subprocess.run(["xxh128sum", "--quiet", "-c", "checksums.xxh128"], cwd=point / "scan",
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "intact" in penstock("verify", point / "scan").stdout
        # A copy of all that the mount shows is not taken for a mount.
        subprocess.run(["cp", "-a", point / "scan", store / "copy"], check=True)
        assert "data.npy" in penstock("verify", store / "copy", status=1).stdout
        # What is damaged is found as before.
        flip_byte(store / "scan/data.zarr/image_key/c/0/0", 5)
        assert "image_key" in penstock("verify", point / "scan", status=1).stdout


def test_damage_in_the_store_is_an_error(penstock, places):
    store, point, cache = places
    shutil.copytree(make_dataset(store / "scan", **LARGE), store / "key")
    # In the second extent of the second block.
    flip_byte(store / "scan/data.zarr/real/c/1/0/0/0", 65536 + (5 << 20))
    flip_byte(store / "key/data.zarr/image_key/c/0/0", 12)
    expected = payload(LARGE)
    with mounted(penstock, store, point, cache) as mount:
        with opened(point / "scan/data.raw", os.O_RDONLY | os.O_DIRECT) as fd:
            buffer = mmap.mmap(-1, 4096)
            for offset in ((17 << 20), (17 << 20) - 4096, (17 << 20) + 4096):
                with pytest.raises(OSError) as failure:
                    os.preadv(fd, [buffer], offset)
                assert failure.value.errno == errno.EIO
            for offset in (0, 12 << 20, 24 << 20, len(expected) - 4096):
                assert os.preadv(fd, [buffer], offset) == 4096
                assert buffer[:] == expected[offset:offset + 4096]
        with h5py.File(point / "scan/data.nxs") as file:
            real = file[signal(LARGE)]
            np.testing.assert_array_equal(real[0], frames(**LARGE)[0])
            with pytest.raises(OSError):
                real[...]
        # In a mapping there is only a signal for it; the test must not die of it.
        mapped = subprocess.run(
            [sys.executable, "-c", "import numpy, sys; "
             "array = numpy.load(sys.argv[1], mmap_mode='r'); "
             "print(array[0].sum(), flush=True); print(array[8].sum())",
             point / "scan/data.npy"], capture_output=True, text=True, check=False)
        assert mapped.returncode == -signal_module.SIGBUS
        assert mapped.stdout == f"{frames(**LARGE)[0].sum(dtype=np.uint64)}\n"
        # A frame of the header's arrays: the file is not opened at all, the others are right.
        with pytest.raises(OSError) as failure:
            os.open(point / "key/data.nxs", os.O_RDONLY)
        assert failure.value.errno == errno.EIO
        mount.wait_for_log("image_key")
        assert (point / "key/data.raw").read_bytes() == expected


def test_a_dataset_that_is_written_anew(penstock, places):
    store, point, cache = places
    make_dataset(store / "scan", **LARGE)
    make_dataset(store / "next", **ROWS)
    block = point / "scan/data.zarr/real/c/0/0/0/0"
    with mounted(penstock, store, point, cache) as mount:
        expected = payload(LARGE)
        with opened(point / "scan/data.raw", os.O_RDONLY | os.O_DIRECT) as raw, \
                h5py.File(point / "scan/data.nxs") as nexus:
            buffer = mmap.mmap(-1, 1 << 20)
            os.preadv(raw, [buffer], 0)
            # The first block is here, the last one is not.
            assert wait_for(lambda: os.getxattr(block, "user.penstock.state") == b"complete 4/4")
            shutil.rmtree(store / "scan")
            (store / "next").rename(store / "scan")
            assert wait_for(lambda: os.stat(point / "scan/data.raw").st_size != len(expected))
            assert_faces_are_right(point / "scan", ROWS)
            assert os.fstat(raw).st_size == len(expected)
            assert os.preadv(raw, [buffer], 9 << 20) == 1 << 20
            assert buffer[:] == expected[9 << 20:10 << 20]
            np.testing.assert_array_equal(nexus[signal(LARGE)][1, 2], frames(**LARGE)[1, 2])
            assert nexus["entry1/penstock/frames_expected"][()] == 256
            # What nobody has any more is an error, and not the new bytes.
            with pytest.raises(OSError) as failure:
                os.preadv(raw, [buffer], 28 << 20)
            assert failure.value.errno == errno.EIO
        assert_faces_are_right(point / "scan", ROWS)
        # What was kept for the readers is let go.
        bytes_of_new = sum(path.stat().st_size
                           for path in (store / "scan/data.zarr/real/c").rglob("*") if path.is_file())
        assert wait_for(lambda: mount.status()["cached_bytes"] == bytes_of_new)


def test_no_read_mixes_two_generations(penstock, places):
    """While a dataset is replaced over and over, whoever opens a face reads one generation of it, or an
    error."""
    store, point, cache = places
    one = dict(scan=(8, 8), sig=(64, 128), block_bytes=300_000)  # 1 MiB, 4 blocks
    other = one | dict(missing=tuple(range(0, 64, 3)))
    make_dataset(store / "scan", **one)
    make_dataset(store / "next", **other)
    versions = {payload(one): "one", payload(other): "other"}
    lost = np.arange(64).reshape(8, 8) % 3 == 0
    seen, wrong, errors = [], [], []
    stop = threading.Event()

    def read(kind):
        while not stop.is_set():
            try:
                if kind == "raw":
                    seen.append(versions[(point / "scan/data.raw").read_bytes()])
                elif kind == "npy":
                    # (NumPy's own reading of files takes an I/O error for the end of the file.)
                    array = np.load(io.BytesIO((point / "scan/data.npy").read_bytes()))
                    seen.append(versions[array.tobytes()])
                else:
                    with h5py.File(point / "scan/data.nxs") as file:
                        key = file["entry1/measurement/event1/instrument/detector1/image_key"][...]
                        version = versions[file[signal(one)][...].tobytes()]
                    assert np.array_equal(key, 3 * lost * (version == "other"))
                    seen.append(version)
            except OSError as error:
                errors.append(error.errno)
            except Exception as error:
                wrong.append(repr(error)[:200])
                return

    with mounted(penstock, store, point, cache):
        threads = [threading.Thread(target=read, args=(kind,)) for kind in ("raw", "npy", "nxs")]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                before = len(seen)
                (store / "scan").rename(store / "away")
                (store / "next").rename(store / "scan")
                (store / "away").rename(store / "next")
                wait_for(lambda: len(seen) >= before + 6 or wrong)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not wrong, wrong
        assert {"one", "other"} == set(seen)


@pytest.mark.parametrize("kind", ["json", "off", "s3"])
def test_stores_over_http_and_in_s3(penstock, places, monkeypatch, kind):
    _, point, cache = places
    remote = S3Store(cache.parent / "remote") if kind == "s3" else NginxStore(
        cache.parent / "remote", kind)
    make_dataset(remote.root / "scan", **ROWS)
    remote.start()
    try:
        for name, value in remote.environment.items():
            monkeypatch.setenv(name, value)
        with mounted(penstock, remote.address, point, cache, *remote.options):
            assert_faces_are_right(point / "scan", ROWS)
            with h5py.File(point / "scan/data.nxs") as face, \
                    h5py.File(remote.root / "scan/data.nxs") as file:
                assert_same_hdf5(face, file)
            if kind != "off":  # which lists nothing
                assert set(NAMES) < set(os.listdir(point / "scan"))
                penstock("verify", point / "scan")
    finally:
        remote.close()


def test_commands_on_a_mount(penstock, places):
    store, point, cache = places
    make_dataset(store / "scan", **LARGE)
    with mounted(penstock, store, point, cache):
        for command in (("ls", point), ("show", point / "scan"), ("info", point / "scan"),
                        ("warm", point / "scan/data.nxs"), ("status", point / "scan/data.npy")):
            penstock(*command)
        assert os.getxattr(point / "scan/data.zarr/real/c/2/0/0/0",
                           "user.penstock.state") == b"complete 3/3"
        located = json.loads(penstock("locate", point / "scan/data.nxs", "--json").stdout)
        assert [block["block"] for block in located["blocks"]] == [0, 1, 2]
        info = penstock("info", point / "scan/data.npy").stdout
        assert "16" in info and "256" in info
