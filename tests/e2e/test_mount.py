"""penstock mount against a real kernel: the bytes through the mount are those of the store, whatever way
they are read."""

import errno
import mmap
import os
import random
import re
import shutil
import threading

import pytest

from mount_store import BLOCK, EXTENT, digest, master, places, store
from mounting import (Mount, assert_same_tree, is_mounted, mounted, need_fuse, penstock_attributes,
                      replicas, wait_for)
from synthetic import make_dataset

need_fuse()


@pytest.mark.parametrize("options", [(), ("--no-passthrough",)], ids=["default", "served"])
def test_same_bytes_cold_warm_restarted_and_without_state(penstock, master, places, options):
    point, cache = places
    with mounted(penstock, master, point, cache, *options) as mount:
        assert_same_tree(master, point)  # cold
        # (Readers are answered before the cache disk is.)
        assert wait_for(lambda: mount.status()["datasets"][0]["complete_blocks"] == 3)
        assert mount.counter("fetched_bytes") == sum(
            (master / BLOCK.format(block)).stat().st_size for block in range(3))
        assert_same_tree(master, point)  # warm
        fetched = mount.counter("fetched_bytes")
        status = mount.status()
        assert status["datasets"] == [{
            "dataset": "proposal/scan", "complete_blocks": 3, "partial_blocks": 0, "blocks": 3,
            "bytes": fetched}]
        if options:
            assert not status["passthrough"] and status["counters"]["passthrough_opens"] == 0
        assert status["cached_bytes"] == fetched and status["cached_blocks"] == 3
    assert all(path.stat().st_mode & 0o777 == 0o400 for path in replicas(cache))

    with mounted(penstock, master, point, cache, *options) as mount:  # restarted
        assert_same_tree(master, point)
        assert mount.counter("fetched_bytes") == 0
        assert mount.counter("reverified_bytes") == 0

    shutil.rmtree(cache / "state")
    with mounted(penstock, master, point, cache, *options) as mount:  # the database is lost
        assert_same_tree(master, point)
        assert mount.counter("fetched_bytes") == 0
        assert mount.counter("reverified_bytes") == fetched


def test_metadata_is_that_of_the_store(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache):
        for name in ("notes.txt", "raw", "empty", "proposal", BLOCK.format(0), "link"):
            a, b = os.lstat(master / name), os.lstat(point / name)
            assert (a.st_mode, a.st_uid, a.st_gid, a.st_size, a.st_mtime_ns, a.st_ino) == (
                b.st_mode, b.st_uid, b.st_gid, b.st_size, b.st_mtime_ns, b.st_ino), name
        assert os.readlink(point / "link") == "notes.txt"
        assert sorted(os.listdir(point)) == sorted(os.listdir(master))
        assert os.statvfs(point).f_blocks > 0
        with pytest.raises(FileNotFoundError):
            os.stat(point / "nothing")


def test_complete_blocks_pass_through(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache) as mount:
        status = mount.status()
        if not status["passthrough"]:
            pytest.skip(f"SKIPPED: NO PASSTHROUGH HERE: {status['passthrough_reason']}")
        penstock("warm", point / "proposal")
        hits = mount.counter("hit_reads")
        expected = (master / BLOCK.format(1)).read_bytes()
        with open(point / BLOCK.format(1), "rb") as file:
            assert file.read() == expected
        assert mount.counter("passthrough_opens") == 1
        assert mount.counter("hit_reads") == hits, "the daemon was in the data path"
        assert mount.counter("missed_reads") == 0


def test_old_descriptors_go_on_when_the_block_begins_to_pass_through(penstock, master, places):
    point, cache = places
    expected = (master / BLOCK.format(0)).read_bytes()
    with mounted(penstock, master, point, cache) as mount:
        path = point / BLOCK.format(0)
        with open(path, "rb", buffering=0) as old:
            inode = os.fstat(old.fileno()).st_ino
            mapped = mmap.mmap(old.fileno(), 0, prot=mmap.PROT_READ)
            assert mapped[:1000] == expected[:1000]
            assert wait_for(lambda: os.getxattr(path, "user.penstock.state") == b"complete 4/4")
            if mount.status()["passthrough"]:
                # The kernel is told of the complete block a moment after it has become complete.
                def open_passes_through():
                    path.open("rb").close()
                    return mount.counter("passthrough_opens") > 0
                assert wait_for(open_passes_through)
            passed = mount.counter("passthrough_opens")
            with open(path, "rb", buffering=0) as new:
                assert os.fstat(new.fileno()).st_ino == inode
                assert os.pread(new.fileno(), 5000, 5_000_000) == expected[5_000_000:5_005_000]
                assert os.pread(old.fileno(), 5000, 9_000_000) == expected[9_000_000:9_005_000]
                assert mapped[:] == expected
            if mount.status()["passthrough"]:
                assert mount.counter("passthrough_opens") == passed + 1
            assert os.pread(old.fileno(), 5000, 7_000_000) == expected[7_000_000:7_005_000]
            mapped.close()


@pytest.mark.parametrize("options", [(), ("--no-passthrough",)], ids=["default", "served"])
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_every_way_of_reading(penstock, master, places, options, warm):
    point, cache = places
    random_numbers = random.Random(7)
    with mounted(penstock, master, point, cache, *options):
        if warm:
            penstock("warm", point / "proposal/scan")
        for block in range(3):
            expected = (master / BLOCK.format(block)).read_bytes()
            with open(point / BLOCK.format(block), "rb", buffering=0) as file:
                for _ in range(200):
                    offset = random_numbers.randrange(len(expected) + 10)
                    size = random_numbers.choice([1, 100, 4096, 70_000, 1_500_000])
                    assert os.pread(file.fileno(), size, offset) == expected[offset:offset + size]
                with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                    assert mapped[:] == expected
            direct = os.open(point / BLOCK.format(block), os.O_RDONLY | os.O_DIRECT)
            try:
                buffer = mmap.mmap(-1, 1 << 20)
                for offset in (0, EXTENT - (1 << 19), len(expected) // 4096 * 4096):
                    count = os.preadv(direct, [buffer], offset)
                    assert buffer[:count] == expected[offset:offset + (1 << 20)]
            finally:
                os.close(direct)


def test_threads_reading_cold_fetch_every_extent_once(penstock, master, places):
    point, cache = places
    expected = (master / BLOCK.format(0)).read_bytes()
    wrong = []

    def read(seed):
        numbers = random.Random(seed)
        with open(point / BLOCK.format(0), "rb", buffering=0) as file:
            for _ in range(40):
                offset = numbers.randrange(len(expected))
                if os.pread(file.fileno(), 65536, offset) != expected[offset:offset + 65536]:
                    wrong.append(offset)

    with mounted(penstock, master, point, cache) as mount:
        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert wait_for(lambda: mount.status()["cached_bytes"] == len(expected))
        assert mount.counter("fetched_bytes") == len(expected)


def test_eviction_under_a_small_limit_stays_correct(penstock, master, places):
    point, cache = places
    limit = 14 << 20  # one block and a bit
    with mounted(penstock, master, point, cache, "--cache-size", str(limit)) as mount:
        for _ in range(3):
            assert_same_tree(master, point)
            assert mount.status()["cached_bytes"] <= limit
        assert mount.counter("evicted_blocks") > 0
        assert sum(path.stat().st_blocks * 512 for path in replicas(cache)) <= limit + (1 << 20)


def test_limit_below_a_block_reads_through(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache, "--cache-size", "6M") as mount:
        assert_same_tree(master, point)
        assert mount.counter("uncached_extents") > 0
        assert mount.status()["cached_bytes"] <= 6 << 20


def test_nothing_can_be_written(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache):
        penstock("warm", point)
        before = digest(master / BLOCK.format(0))
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_CREAT):
            for name in (BLOCK.format(0), "notes.txt"):
                with pytest.raises(OSError) as failure:
                    os.close(os.open(point / name, flags))
                assert failure.value.errno == errno.EROFS
        # Through the file descriptor of a reader, too: that is the replica itself.
        with open(point / BLOCK.format(0), "rb") as file:
            with pytest.raises(OSError) as failure:
                os.close(os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDWR))
            assert failure.value.errno == errno.EROFS
        for change in (lambda: os.unlink(point / "notes.txt"), lambda: os.mkdir(point / "new"),
                       lambda: os.rename(point / "notes.txt", point / "other"),
                       lambda: os.chmod(point / "notes.txt", 0o777),
                       lambda: os.setxattr(point / "notes.txt", "user.x", b"1")):
            with pytest.raises(OSError) as failure:
                change()
            assert failure.value.errno == errno.EROFS
        assert digest(point / BLOCK.format(0)) == before == digest(master / BLOCK.format(0))


def test_status_text_and_attributes(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache, "--cache-size", "200G"):
        block = point / BLOCK.format(2)
        assert os.getxattr(block, "user.penstock.state") == b"absent 0/3"
        assert set(penstock_attributes(block)) == {"block", "dataset", "generation", "state"}
        assert set(penstock_attributes(point / "proposal/scan")) == {
            "control", "dataset", "generation", "socket", "state"}
        assert penstock_attributes(point / "proposal") == {}
        # Those that one asks for by name are nothing that a copy should take along.
        for path in (block, point / "proposal/scan", point / "proposal"):
            assert os.listxattr(path) == []
        penstock("warm", block.parent)
        assert os.getxattr(block, "user.penstock.state") == b"complete 3/3"
        text = penstock("status", block).stdout
        assert str(master) in text and re.search(r"200(\.0+)? GiB", text)
        assert "proposal/scan: 3 of 3 blocks complete" in text
        assert "read-only view        yes" in text
        with pytest.raises(OSError) as failure:
            os.getxattr(block, "user.other")
        assert failure.value.errno == errno.ENODATA


@pytest.mark.parametrize("case, words", [
    ("no store", "cannot be reached"), ("no mountpoint", "create the directory first"),
    ("mountpoint not empty", "not empty"), ("cache in store", "inside one another"),
    ("cache in mountpoint", "inside the mountpoint"), ("foreign cache", "not a penstock cache"),
    ("cache in use", "another penstock mount"), ("mountpoint in store", "inside the store"),
    ("bad size", "cache"), ("bad reserve", "disk"), ("mountpoint is a file", "not a directory"),
])
def test_what_cannot_work_is_refused(penstock, master, tmp_path, case, words):
    store, point, cache = tmp_path / "store", tmp_path / "mnt", tmp_path / "cache"
    (store / "sub").mkdir(parents=True)
    point.mkdir()
    options = []
    if case == "no store":
        store = tmp_path / "nothing"
    elif case == "no mountpoint":
        point.rmdir()
    elif case == "mountpoint not empty":
        (point / "file").touch()
    elif case == "cache in store":
        cache = store / "cache"
    elif case == "cache in mountpoint":
        cache = point / "cache"
    elif case == "foreign cache":
        cache.mkdir()
        (cache / "thesis.tex").write_text("precious")
    elif case == "mountpoint in store":
        point = store / "sub"
    elif case == "bad size":
        options = ["--cache-size", "many"]
        words = "many"
    elif case == "bad reserve":
        options = ["--reserve", "150%"]
    elif case == "mountpoint is a file":
        point.rmdir()
        point.touch()
    other = Mount(penstock, store, tmp_path / "other", cache)
    try:
        if case == "cache in use":
            other.start()
        done = penstock("mount", store, point, "--cache", cache, *options, status=None)
        assert done.returncode in (1, 2), done.stdout
        assert words in done.stderr
        assert not is_mounted(point)
        if case == "foreign cache":
            assert sorted(os.listdir(cache)) == ["thesis.tex"]
    finally:
        other.clear()


@pytest.fixture
def six_blocks(tmp_path):
    (tmp_path / "six").mkdir()
    make_dataset(tmp_path / "six/scan", scan=(24, 8), sig=(64, 64), block_bytes=256 << 10)
    return tmp_path / "six"


def block_state(point, block):
    return os.getxattr(point / f"scan/data.zarr/real/c/{block}/0/0/0", "user.penstock.state").split()[0]


@pytest.mark.parametrize("options", [(), ("--no-passthrough",)], ids=["default", "served"])
def test_who_opens_blocks_in_order_has_the_next_ones_fetched(penstock, six_blocks, places, options):
    point, cache = places
    assert len(list((six_blocks / "scan/data.zarr/real/c").iterdir())) == 6
    with mounted(penstock, six_blocks, point, cache, *options) as mount:
        def read(block):
            (point / f"scan/data.zarr/real/c/{block}/0/0/0").read_bytes()
        read(0)
        wait_for(lambda: block_state(point, 0) == b"complete")
        assert block_state(point, 1) == b"absent"  # one block is no order
        read(1)
        wait_for(lambda: block_state(point, 2) == b"complete")
        assert block_state(point, 3) == b"absent"
        read(2)
        wait_for(lambda: block_state(point, 4) == b"complete")
        wait_for(lambda: block_state(point, 3) == b"complete")  # they are fetched side by side
        assert block_state(point, 5) == b"absent"
        fetched = mount.counter("fetched_bytes")
        read(3), read(4)
        wait_for(lambda: block_state(point, 5) == b"complete")
        assert mount.counter("missed_reads") <= 3 * 3  # of the three that nobody had foreseen
        penstock("evict", point / "scan")
        read(0), read(5), read(2)  # no order
        assert block_state(point, 1) == block_state(point, 3) == b"absent"
        assert mount.counter("fetched_bytes") > fetched


def test_without_read_ahead_nothing_else_is_fetched(penstock, six_blocks, places):
    point, cache = places
    with mounted(penstock, six_blocks, point, cache, "--read-ahead", "0"):
        for block in range(4):
            (point / f"scan/data.zarr/real/c/{block}/0/0/0").read_bytes()
        assert block_state(point, 4) == block_state(point, 5) == b"absent"
