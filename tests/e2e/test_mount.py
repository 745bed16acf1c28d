"""penstock mount against a real kernel: the bytes through the mount are those of the store, or there
is an error, whatever happens to the cache, the daemon and the store."""

import contextlib
import errno
import hashlib
import mmap
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import pytest

from mounting import (Mount, assert_same_tree, flip_byte, is_mounted, mounted, need_fuse, replicas,
                      wait_for)
from synthetic import make_dataset

need_fuse()

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


@pytest.mark.parametrize("options", [(), ("--no-passthrough",)], ids=["default", "served"])
def test_same_bytes_cold_warm_restarted_and_without_state(penstock, master, places, options):
    point, cache = places
    with mounted(penstock, master, point, cache, *options) as mount:
        assert_same_tree(master, point)  # cold
        assert mount.counter("fetched_bytes") == sum(
            (master / BLOCK.format(block)).stat().st_size for block in range(3))
        assert wait_for(lambda: mount.status()["datasets"][0]["complete_blocks"] == 3)
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
            with open(path, "rb", buffering=0) as new:
                assert os.fstat(new.fileno()).st_ino == inode
                assert os.pread(new.fileno(), 5000, 5_000_000) == expected[5_000_000:5_005_000]
                assert os.pread(old.fileno(), 5000, 9_000_000) == expected[9_000_000:9_005_000]
                assert mapped[:] == expected
            if mount.status()["passthrough"]:
                assert mount.counter("passthrough_opens") == 1
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


@pytest.mark.parametrize("options", [(), ("--no-passthrough",)], ids=["default", "served"])
@pytest.mark.parametrize("state", ["kept", "lost"])
def test_flipped_byte_in_the_cache_never_reaches_a_reader(penstock, master, places, options, state):
    point, cache = places
    with mounted(penstock, master, point, cache, *options):
        penstock("warm", point)
    for number, replica in enumerate(replicas(cache)):
        flip_byte(replica, [70_000, EXTENT, 2 * EXTENT + 17][number])
    if state == "lost":
        shutil.rmtree(cache / "state")
    with mounted(penstock, master, point, cache, *options) as mount:
        assert_same_tree(master, point)
        assert mount.counter("damaged_cache_extents") == 3
        assert wait_for(lambda: mount.status()["datasets"][0]["complete_blocks"] == 3)
        assert mount.counter("fetched_bytes") <= 3 * EXTENT  # the rest was proved where it lay
        assert_same_tree(master, point)


def test_truncated_and_replaced_cache_files(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache):
        penstock("warm", point)
    files = replicas(cache)
    os.truncate(files[0], 5_000_000)
    files[1].unlink()
    shutil.copyfile(files[2], files[1])  # another block's bytes under this name
    with mounted(penstock, master, point, cache):
        assert_same_tree(master, point)


@pytest.mark.parametrize("options", [(), ("--no-passthrough",)], ids=["default", "served"])
def test_flipped_byte_in_the_store_is_an_error_that_names_the_extent(penstock, store, places,
                                                                     options):
    point, cache = places
    expected = (store / BLOCK.format(1)).read_bytes()
    flip_byte(store / BLOCK.format(1), EXTENT + 5)
    with mounted(penstock, store, point, cache, *options) as mount:
        with open(point / BLOCK.format(1), "rb", buffering=0) as file:
            with pytest.raises(OSError) as failure:
                os.pread(file.fileno(), 4096, EXTENT)
            assert failure.value.errno == errno.EIO
            # The other extents are good.
            assert os.pread(file.fileno(), 4096, 0) == expected[:4096]
            assert os.pread(file.fileno(), 4096, 2 * EXTENT) == expected[2 * EXTENT:2 * EXTENT + 4096]
        assert mount.counter("verification_failures") >= 2  # it was fetched twice
        assert f"{BLOCK.format(1)}: extent 1" in mount.log()
        # Readers are answered before the cache disk is, so the state may follow a moment later.
        assert wait_for(lambda: os.getxattr(point / BLOCK.format(1), "user.penstock.state")
                        .startswith(b"partial"))
        # Repaired in the store: right again, without a restart.
        flip_byte(store / BLOCK.format(1), EXTENT + 5)
        assert (point / BLOCK.format(1)).read_bytes() == expected


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


def test_full_cache_disk_reads_through(penstock, master, tmp_path):
    """A small file system under the cache, no limit set: ENOSPC while filling."""
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    with open(image, "wb") as file:
        file.truncate(24 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(image)],
                          capture_output=True, check=False)
    if made.returncode or subprocess.run(["mount", "-o", "loop", str(image), str(disk)],
                                         capture_output=True, check=False).returncode:
        pytest.skip("SKIPPED: no loop devices here")
    try:
        with mounted(penstock, master, tmp_path / "mnt", disk / "cache") as mount:
            assert_same_tree(master, tmp_path / "mnt")
            assert mount.counter("uncached_extents") + mount.counter("evicted_blocks") > 0
            assert_same_tree(master, tmp_path / "mnt")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


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


def test_store_that_vanishes_and_returns(penstock, store, places):
    point, cache = places
    with mounted(penstock, store, point, cache, "--upstream-timeout", "3") as mount:
        expected = (store / BLOCK.format(0)).read_bytes()
        penstock("warm", point / "proposal/scan")
        with open(point / BLOCK.format(0), "rb", buffering=0) as held:
            penstock("evict", point / "proposal/scan")  # but for the one that is held
            away = store.with_name("away")
            store.rename(away)
            time.sleep(1.1)  # what the kernel believes has run out
            begin = time.monotonic()
            for attempt in (lambda: os.listdir(point), lambda: (point / "notes.txt").read_bytes(),
                            lambda: (point / BLOCK.format(1)).read_bytes(),
                            lambda: os.stat(point / "raw")):
                with pytest.raises(OSError) as failure:
                    attempt()
                assert failure.value.errno == errno.EIO
            assert time.monotonic() - begin < 14
            # What is open and local needs no store.
            if mount.status()["passthrough"]:
                assert held.read() == expected
            away.rename(store)
        assert_same_tree(store, point)


def test_store_that_stalls(penstock, store, tmp_path):
    """The store is itself a mount, whose daemon is stopped: every call into it hangs."""
    slow = Mount(penstock, store, tmp_path / "slow", tmp_path / "slow_cache")
    point, cache = tmp_path / "mnt", tmp_path / "cache"
    try:
        slow.start()
        stopped = slow.pid()
        with mounted(penstock, slow.point, point, cache, "--upstream-timeout", "2") as mount:
            expected = (store / BLOCK.format(0)).read_bytes()
            with open(point / BLOCK.format(0), "rb", buffering=0) as file:
                os.stat(point / "raw")
                os.kill(stopped, signal.SIGSTOP)
                time.sleep(1.1)
                threads_before = len(os.listdir(f"/proc/{mount.pid()}/task"))
                for attempt in (lambda: os.pread(file.fileno(), 100, EXTENT),
                                lambda: os.listdir(point), lambda: os.stat(point / "raw"),
                                lambda: os.statvfs(point)):
                    begin = time.monotonic()
                    with pytest.raises(OSError) as failure:
                        attempt()
                    assert failure.value.errno == errno.EIO
                    assert time.monotonic() - begin < 15
                assert len(os.listdir(f"/proc/{mount.pid()}/task")) <= threads_before
                assert mount.counter("timeouts") >= 4
                os.kill(stopped, signal.SIGCONT)
                assert wait_for(lambda: answers(lambda: os.pread(file.fileno(), 100, EXTENT)))
                assert os.pread(file.fileno(), len(expected), 0) == expected[:len(expected)]
            assert wait_for(lambda: answers(lambda: os.listdir(point)))
            assert_same_tree(store, point)

            # A daemon ends although its store hangs.
            penstock("evict", point)
            pid = mount.pid()
            with open(point / BLOCK.format(0), "rb", buffering=0) as file:
                os.kill(stopped, signal.SIGSTOP)
                with pytest.raises(OSError):
                    os.pread(file.fileno(), 100, 0)
            os.kill(pid, signal.SIGTERM)
            assert wait_for(lambda: not os.path.exists(f"/proc/{pid}"), 30)
            assert not is_mounted(point)
            os.kill(stopped, signal.SIGCONT)
    finally:
        with contextlib.suppress(Exception):
            os.kill(stopped, signal.SIGCONT)
            slow.stop()
        slow.clear()


def answers(attempt):
    try:
        attempt()
        return True
    except OSError:
        return False


def test_dataset_written_anew_under_the_same_name(penstock, store, places):
    point, cache = places
    with mounted(penstock, store, point, cache):
        assert_same_tree(store, point)
        make_dataset(store / "proposal/other", scan=(16, 16), sig=(256, 256), missing=(3,),
                     block_bytes=12 << 20)
        old = (point / BLOCK.format(0)).read_bytes()
        (store / "proposal/scan").rename(store / "old")
        (store / "proposal/other").rename(store / "proposal/scan")
        new = (store / BLOCK.format(0)).read_bytes()
        assert new != old
        time.sleep(2.1)  # what the kernel and the daemon believe has run out
        assert (point / BLOCK.format(0)).read_bytes() == new
        assert_same_tree(store, point)


@pytest.mark.parametrize("options", [(), ("--no-passthrough",)], ids=["default", "served"])
def test_killed_daemon(penstock, master, places, options):
    point, cache = places
    with mounted(penstock, master, point, cache, *options) as mount:
        with open(point / BLOCK.format(0), "rb") as file:
            file.read(100_000)
        (point / BLOCK.format(2)).read_bytes()
        os.kill(mount.pid(), signal.SIGKILL)
        assert wait_for(lambda: not alive(point))
        mount.start()  # clears what the dead one left
        assert_same_tree(master, point)


def alive(point):
    try:
        os.listdir(point)
        return True
    except OSError:
        return False


def test_sigterm_unmounts_and_keeps_what_was_fetched(penstock, master, places):
    point, cache = places
    mount = Mount(penstock, master, point, cache)
    try:
        mount.start()
        penstock("warm", point)
        pid = mount.pid()
        os.kill(pid, signal.SIGTERM)
        assert wait_for(lambda: not os.path.exists(f"/proc/{pid}"))
        assert not is_mounted(point)
        assert os.listdir(point) == []
        assert not (cache / "control.sock").exists()
        mount.start()
        assert_same_tree(master, point)
        assert mount.counter("fetched_bytes") == 0
        mount.stop()
    finally:
        mount.clear()


def test_partial_blocks_are_kept_across_a_clean_restart(penstock, store, places):
    """Block 1 cannot become complete, because one of its extents is damaged in the store."""
    point, cache = places
    flip_byte(store / BLOCK.format(1), EXTENT + 5)
    with mounted(penstock, store, point, cache) as mount:
        with open(point / BLOCK.format(1), "rb", buffering=0) as file:
            os.pread(file.fileno(), 10, 0)
            assert wait_for(lambda: os.getxattr(point / BLOCK.format(1), "user.penstock.state")
                            == b"partial 3/4")
    flip_byte(store / BLOCK.format(1), EXTENT + 5)
    with mounted(penstock, store, point, cache) as mount:
        assert os.getxattr(point / BLOCK.format(1), "user.penstock.state") == b"partial 3/4"
        assert digest(point / BLOCK.format(1)) == digest(store / BLOCK.format(1))
        assert mount.counter("fetched_bytes") == EXTENT
        assert mount.counter("reverified_bytes") == 0


def test_unmounted_with_files_open(penstock, master, places):
    point, cache = places
    mount = Mount(penstock, master, point, cache).start()
    try:
        penstock("warm", point)
        expected = (master / BLOCK.format(0)).read_bytes()
        with open(point / BLOCK.format(0), "rb", buffering=0) as file:
            passthrough = mount.status()["passthrough"]
            pid = mount.pid()
            os.kill(pid, signal.SIGTERM)
            assert wait_for(lambda: not os.path.exists(f"/proc/{pid}"))
            assert not is_mounted(point)
            if passthrough:
                assert file.read() == expected
    finally:
        mount.clear()


# The short-circuit protocol, by hand (penstock/dataset/lease_protocol.h).

MAGIC = 0x6B6C5350
ACQUIRE, RELEASE, RESIDENCY = 1, 2, 3
GRANTED, NOT_RESIDENT, DENIED, NO_SUCH_BLOCK, BAD_REQUEST = range(5)
WAIT = 1


def connect(point):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(20)
    connection.connect(os.getxattr(point, "user.penstock.socket").decode())
    return connection


def ask(connection, operation, dataset=b"", block=0, flags=0, packet=None):
    if packet is None:
        packet = struct.pack("=IHHqII", MAGIC, 1, operation, block, flags, len(dataset)) + dataset
    connection.send(packet)
    data, descriptors, _, _ = socket.recv_fds(connection, 65536, 1)
    magic, outcome, _, lease, size = struct.unpack("=IHHQQ", data[:24])
    assert magic == MAGIC
    return outcome, lease, size, data[24:], descriptors


def test_short_circuit_descriptors(penstock, master, places):
    point, cache = places
    dataset = b"proposal/scan"
    assert len(struct.pack("=IHHqII", 0, 0, 0, 0, 0, 0)) == 24
    with mounted(penstock, master, point, cache, "--cache-size", "20M") as mount:
        assert os.getxattr(point / "proposal/scan", "user.penstock.dataset") == dataset
        with connect(point / "proposal/scan") as connection:
            assert ask(connection, ACQUIRE, dataset, 1)[0] == NOT_RESIDENT
            assert ask(connection, RESIDENCY, dataset)[3] == b"\0\0\0"
            outcome, lease, size, _, descriptors = ask(connection, ACQUIRE, dataset, 1, WAIT)
            assert outcome == GRANTED and len(descriptors) == 1
            expected = (master / BLOCK.format(1)).read_bytes()
            assert size == len(expected)
            assert os.pread(descriptors[0], size, 0) == expected
            assert ask(connection, RESIDENCY, dataset)[3] == b"\0\2\0"
            # It leads back to nothing writable.
            for change in (lambda: os.open(f"/proc/self/fd/{descriptors[0]}", os.O_RDWR),
                           lambda: os.fchmod(descriptors[0], 0o666)):
                with pytest.raises(OSError) as failure:
                    change()
                assert failure.value.errno == errno.EROFS
            # A leased block stays, whatever else is read.
            assert mount.status()["leases"] == 1
            read_all(point)
            assert ask(connection, RESIDENCY, dataset)[3][1] == 2
            assert "0 blocks evicted" not in penstock("evict", point).stdout
            assert ask(connection, RESIDENCY, dataset)[3] == b"\0\2\0"
            assert ask(connection, RELEASE, block=lease)[0] == GRANTED
            assert ask(connection, RELEASE, block=lease)[0] == BAD_REQUEST
            penstock("evict", point)
            assert ask(connection, RESIDENCY, dataset)[3] == b"\0\0\0"
            assert os.pread(descriptors[0], size, 0) == expected  # until it is closed
            os.close(descriptors[0])

            assert ask(connection, ACQUIRE, dataset, 3)[0] == NO_SUCH_BLOCK
            assert ask(connection, ACQUIRE, dataset, -1)[0] == NO_SUCH_BLOCK
            assert ask(connection, ACQUIRE, b"proposal/nothing", 0)[0] == NO_SUCH_BLOCK
            for packet in (b"", b"x", bytes(24), os.urandom(500),
                           struct.pack("=IHHqII", MAGIC, 1, ACQUIRE, 0, 0, 99) + dataset,
                           struct.pack("=IHHqII", MAGIC, 2, ACQUIRE, 0, 0, 13) + dataset,
                           struct.pack("=IHHqII", MAGIC, 1, 77, 0, 0, 13) + dataset,
                           struct.pack("=IHHqII", MAGIC, 1, ACQUIRE, 0, 0, 11) + b"../../../..",
                           struct.pack("=IHHqII", MAGIC, 1, ACQUIRE, 0, 0, 9) + b"/etc\0/abc"):
                if packet:
                    assert ask(connection, 0, packet=packet)[0] == BAD_REQUEST
        assert_same_tree(master, point)


@pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED: needs root to become another user")
def test_a_foreign_user_gets_no_descriptor(penstock, store):
    # Reachable by everybody, unlike the directories of pytest.
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        os.chmod(folder, 0o755)
        cache, point = pathlib.Path(folder) / "cache", pathlib.Path(folder) / "mnt"
        with mounted(penstock, store, point, cache):
            penstock("warm", point)

            def outcome_as(uid, gid, groups):
                reader, writer = os.pipe()
                child = os.fork()
                if child == 0:
                    try:
                        os.setgroups(groups)
                        os.setgid(gid)
                        os.setuid(uid)
                        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                            connection.settimeout(10)
                            connection.connect(str(cache / "short-circuit.sock"))
                            answer = ask(connection, ACQUIRE, b"proposal/scan", 0)
                            os.write(writer, bytes([answer[0], len(answer[4])]))
                    finally:
                        os._exit(0)
                os.close(writer)
                os.waitpid(child, 0)
                with os.fdopen(reader, "rb") as pipe:
                    return tuple(pipe.read())

            nobody = 65534
            assert outcome_as(nobody, nobody, []) == (GRANTED, 1)
            os.chmod(store / BLOCK.format(0), 0o400)  # the block itself
            assert outcome_as(nobody, nobody, []) == (DENIED, 0)
            os.chmod(store / BLOCK.format(0), 0o444)
            os.chmod(store / "proposal", 0o750)  # a directory above it
            assert outcome_as(nobody, nobody, []) == (DENIED, 0)
            os.chown(store / "proposal", 0, 4242)
            assert outcome_as(nobody, nobody, [4242]) == (GRANTED, 1)
            assert outcome_as(nobody, nobody, [4243]) == (DENIED, 0)


def test_status_text_and_attributes(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache, "--cache-size", "200G"):
        block = point / BLOCK.format(2)
        assert os.getxattr(block, "user.penstock.state") == b"absent 0/3"
        assert os.listxattr(block) == ["user.penstock.state"]
        assert sorted(os.listxattr(point / "proposal/scan")) == [
            "user.penstock.control", "user.penstock.dataset", "user.penstock.socket"]
        assert os.listxattr(point / "proposal") == []
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
