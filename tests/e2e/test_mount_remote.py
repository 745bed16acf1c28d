"""penstock mount over HTTP and over S3, from the ingest to the masks: right bytes or an error, as over
a directory."""

import os
import shutil
import signal
import threading

import numpy as np
import pytest

from mount_store import BLOCK, EXTENT, SHAPE
from mounting import assert_same_tree, flip_byte, mounted, need_fuse, wait_for
from faulty_server import FaultyServer
from remote_stores import NginxStore, S3Store
from synthetic import frames, make_dataset

need_fuse()

KINDS = {"json": NginxStore, "s3": S3Store}  # every kind of listing: test_upstreams.py


@pytest.fixture(params=list(KINDS))
def remote(request, tmp_path, monkeypatch):
    store = KINDS[request.param](tmp_path / "remote")
    (store.root / "proposal").mkdir()
    make_dataset(store.root / "proposal/scan", **SHAPE)
    (store.root / "notes.txt").write_text("a file beside the datasets\n")
    (store.root / "empty").touch()
    store.start()
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    yield store
    store.close()


@pytest.fixture
def places(tmp_path):
    return tmp_path / "mnt", tmp_path / "cache"


def test_reads_warm_restart_and_apply(penstock, remote, places, tmp_path):
    point, cache = places
    with mounted(penstock, remote.address, point, cache, *remote.options) as mount:
        assert mount.status()["store"] == remote.address
        assert_same_tree(remote.root, point)
        penstock("warm", point / "proposal/scan")
        fetched = mount.counter("fetched_bytes")
        size = sum((remote.root / BLOCK.format(block)).stat().st_size for block in range(3))
        assert fetched == size
        penstock("verify", point / "proposal/scan")
        assert mount.counter("verification_failures") == 0
    with mounted(penstock, remote.address, point, cache, *remote.options) as mount:
        penstock("apply", point / "proposal/scan", "--mask", "disk:128,128,20", "--out",
                 tmp_path / "disk")
        assert_same_tree(remote.root, point)
        assert mount.counter("fetched_bytes") == 0
    y, x = np.mgrid[:256, :256]
    mask = (y - 128) ** 2 + (x - 128) ** 2 <= 400
    found = np.load(next(tmp_path.glob("disk*.npy"))).squeeze()
    np.testing.assert_allclose(found, frames(**SHAPE)[:, :, mask].sum(axis=-1), rtol=1e-6)


def test_a_changed_dataset(penstock, remote, places):
    point, cache = places
    with mounted(penstock, remote.address, point, cache, *remote.options) as mount:
        penstock("warm", point / "proposal/scan")
        new = remote.folder / "new"
        make_dataset(new, scan=(16, 16), sig=(256, 256), missing=(3,), block_bytes=12 << 20)
        shutil.rmtree(remote.root / "proposal/scan")
        new.rename(remote.root / "proposal/scan")
        if remote.kind == "s3":  # which holds what the directory held when it was started
            remote.vanish()
            remote.come_back()
        expected = (remote.root / BLOCK.format(0)).read_bytes()

        def is_new():
            try:
                return (point / BLOCK.format(0)).read_bytes() == expected
            except OSError:
                return False
        wait_for(is_new)
        assert_same_tree(remote.root, point)
        mount.wait_for_log("written anew")


def test_a_server_that_dies_and_returns_during_reads(penstock, remote, places):
    point, cache = places
    expected = [(remote.root / BLOCK.format(block)).read_bytes() for block in range(3)]
    # Room for one block, so that the store is needed all the time.
    with mounted(penstock, remote.address, point, cache, *remote.options, "--cache-size", "16M",
                 "--upstream-timeout", "5") as mount:
        wrong, failed, done, over = [], [], [], threading.Event()

        def read():
            while not over.is_set():
                for block in range(3):
                    try:
                        found = (point / BLOCK.format(block)).read_bytes()
                    except OSError as failure:
                        failed.append(failure.errno)
                        continue
                    (done if found == expected[block] else wrong).append(block)
        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        try:
            wait_for(lambda: len(done) > 3)
            remote.vanish()
            wait_for(lambda: len(failed) > 2)
            remote.come_back()
            before = len(done)
            wait_for(lambda: len(done) > before + 3)
        finally:
            over.set()
            for reader in readers:
                reader.join()
        assert not wrong
        assert set(failed) <= {5}, "EIO, and no file is said not to exist"
        wait_for(lambda: mount.status()["store_presence"]["state"] == "there")
        assert_same_tree(remote.root, point)
        assert mount.counter("upstream_errors") > 0


def test_wrong_bytes_of_the_server_reach_nobody(penstock, remote, places):
    point, cache = places
    expected = (remote.root / BLOCK.format(1)).read_bytes()
    flip_byte(remote.root / BLOCK.format(1), EXTENT + 5)
    if remote.kind == "s3":
        remote.vanish()
        remote.come_back()
    with mounted(penstock, remote.address, point, cache, *remote.options) as mount:
        with open(point / BLOCK.format(1), "rb", buffering=0) as file:
            with pytest.raises(OSError):
                os.pread(file.fileno(), 4096, EXTENT)
            assert os.pread(file.fileno(), 4096, 0) == expected[:4096]
        mount.wait_for_log(f"{BLOCK.format(1)}: extent 1")


def test_a_server_that_gives_wrong_bytes_now_and_then(penstock, tmp_path, places):
    """Through every answer that names the right range and holds other bytes, each block comes right."""
    point, cache = places
    dataset = make_dataset(tmp_path / "scan", **SHAPE)
    files = {str(path.relative_to(tmp_path)): path.read_bytes()
             for path in dataset.rglob("*") if path.is_file()}
    server = FaultyServer(files)
    answers = []

    def fault(method, path, number):
        if method != "GET" or "real/c/" not in path:
            return None
        answers.append(path)
        return {0: "flipped", 2: "shifted", 5: "truncated", 7: "reset in the middle",
                10: 503}.get(len(answers) % 12)
    server.fault = fault
    try:
        with mounted(penstock, server.address, point, cache) as mount:
            for block in range(3):
                path = f"scan/data.zarr/real/c/{block}/0/0/0"
                assert (point / path).read_bytes() == files[path]
            assert mount.counter("verification_failures") >= 2
            # The server lists nothing, and the dataset was found by its path.
            with pytest.raises(OSError):
                os.listdir(point / "scan")
            wait_for(lambda: "does not list" in mount.log() or "autoindex" in mount.log())
    finally:
        server.close()


@pytest.mark.parametrize("remote", ["json"], indirect=True)
def test_a_server_that_stalls_is_an_error_in_time(penstock, remote, places):
    point, cache = places
    with mounted(penstock, remote.address, point, cache, "--upstream-timeout", "2") as mount:
        expected = (remote.root / BLOCK.format(0)).read_bytes()
        children = [int(pid) for pid in open(
            f"/proc/{remote.process.pid}/task/{remote.process.pid}/children").read().split()]
        with open(point / BLOCK.format(0), "rb", buffering=0) as file:
            for child in children:
                os.kill(child, signal.SIGSTOP)
            try:
                for attempt in (lambda: os.pread(file.fileno(), 100, EXTENT),
                                lambda: os.stat(point / "nothing")):
                    with pytest.raises(OSError) as failure:
                        attempt()
                    assert failure.value.errno == 5
                assert os.listdir(point) == ["proposal"]  # all that was looked up
            finally:
                for child in children:
                    os.kill(child, signal.SIGCONT)
            wait_for(lambda: mount.status()["store_presence"]["state"] == "there")
            assert wait_for(lambda: os.pread(file.fileno(), 100, EXTENT)
                            == expected[EXTENT:EXTENT + 100])
        assert mount.counter("timeouts") > 0 or mount.counter("upstream_errors") > 0


def test_addresses_that_cannot_be(penstock, tmp_path):
    for address, words in (("ftp://host/store", "no such kind of store"),
                           ("http://127.0.0.1:9/store", "the request failed"),
                           ("s3://", "not the address of a bucket"),
                           ("http://", "not the address of a store")):
        (tmp_path / "mnt").mkdir(exist_ok=True)
        refused = penstock("mount", address, tmp_path / "mnt", "--cache", tmp_path / "cache",
                           "--upstream-timeout", "3", status=None)
        assert refused.returncode in (1, 2) and words in refused.stderr, refused.stderr
