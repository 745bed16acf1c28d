"""penstock mount with a damaged cache, a full cache disk, and a store that is damaged, gone, stalled or
changed: right bytes or an error."""

import concurrent.futures
import contextlib
import errno
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from mount_store import BLOCK, EXTENT, answers, master, places, store
from mounting import (Mount, assert_same_tree, flip_byte, is_mounted, mounted, need_fuse, replicas,
                      wait_for, wait_for_end)
from stopping import stop
from synthetic import make_dataset

need_fuse()


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
        mount.wait_for_log(f"{BLOCK.format(1)}: extent 1")
        # Readers are answered before the cache disk is, so the state may follow a moment later.
        assert wait_for(lambda: os.getxattr(point / BLOCK.format(1), "user.penstock.state")
                        .startswith(b"partial"))
        # Repaired in the store: right again, without a restart.
        flip_byte(store / BLOCK.format(1), EXTENT + 5)
        assert (point / BLOCK.format(1)).read_bytes() == expected


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
            for attempt in (lambda: (point / "notes.txt").read_bytes(),
                            lambda: (point / BLOCK.format(1)).read_bytes(),
                            lambda: os.stat(point / "raw")):
                with pytest.raises(OSError) as failure:
                    attempt()
                assert failure.value.errno == errno.EIO
            assert time.monotonic() - begin < 3 * 3 + 60  # three times the limit, on a busy machine
            # What is open and local needs no store.
            if mount.status()["passthrough"]:
                assert held.read() == expected
            away.rename(store)
        wait_for(lambda: mount.status()["store_presence"]["state"] == "there")
        assert_same_tree(store, point)


def test_time_in_which_the_daemon_itself_is_stopped_is_not_the_stores(penstock, store, tmp_path):
    """As on a machine that was suspended in the middle of a read."""
    slow = Mount(penstock, store, tmp_path / "slow", tmp_path / "slow_cache", "--no-faces")
    point, cache, patience = tmp_path / "mnt", tmp_path / "cache", 5
    try:
        slow.start()
        lower = slow.pid()
        with mounted(penstock, slow.point, point, cache, "--upstream-timeout", str(patience)) as mount:
            expected = (store / BLOCK.format(0)).read_bytes()
            upper = mount.pid()
            with open(point / BLOCK.format(0), "rb", buffering=0) as file:
                stop(lower)
                with concurrent.futures.ThreadPoolExecutor(1) as pool:
                    try:
                        read = pool.submit(os.pread, file.fileno(), 100, EXTENT)
                        time.sleep(0.3)  # so that it may ask the store; either way it has to succeed
                        os.kill(upper, signal.SIGSTOP)
                        time.sleep(patience + 2.5)
                        os.kill(upper, signal.SIGCONT)
                        time.sleep(0.5)  # in which it finds that the time has passed
                    finally:
                        for pid in (upper, lower):
                            os.kill(pid, signal.SIGCONT)
                    assert read.result(timeout=60) == expected[EXTENT:EXTENT + 100]
            assert mount.counter("timeouts") == 0
    finally:
        slow.stop()
        slow.clear()


def test_store_that_stalls(penstock, store, tmp_path):
    """The store is itself a mount, whose daemon is stopped: every call into it hangs."""
    slow = Mount(penstock, store, tmp_path / "slow", tmp_path / "slow_cache", "--no-faces")
    point, cache = tmp_path / "mnt", tmp_path / "cache"
    try:
        slow.start()
        stopped = slow.pid()
        with mounted(penstock, slow.point, point, cache, "--upstream-timeout", "2") as mount:
            expected = (store / BLOCK.format(0)).read_bytes()
            with open(point / BLOCK.format(0), "rb", buffering=0) as file:
                os.stat(point / "raw")
                stop(stopped)
                time.sleep(1.1)
                threads_before = len(os.listdir(f"/proc/{mount.pid()}/task"))
                for attempt in (lambda: os.pread(file.fileno(), 100, EXTENT),
                                lambda: os.stat(point / "notes.txt"),  # nobody has seen it
                                lambda: (point / "proposal/scan/data.npy").read_bytes()):
                    begin = time.monotonic()
                    with pytest.raises(OSError) as failure:
                        attempt()
                    assert failure.value.errno == errno.EIO
                    assert time.monotonic() - begin < 2 + 60
                assert len(os.listdir(f"/proc/{mount.pid()}/task")) <= threads_before
                assert mount.counter("timeouts") >= 1
                # What was seen is remembered.
                assert os.stat(point / "raw").st_size == 3_000_001
                assert sorted(os.listdir(point)) == ["proposal", "raw"]
                os.statvfs(point)
                os.kill(stopped, signal.SIGCONT)
                wait_for(lambda: mount.status()["store_presence"]["state"] == "there")
                assert wait_for(lambda: answers(lambda: os.pread(file.fileno(), 100, EXTENT)))
                assert os.pread(file.fileno(), len(expected), 0) == expected[:len(expected)]
            assert wait_for(lambda: answers(lambda: os.listdir(point)))
            assert_same_tree(store, point)

            # A daemon ends although its store hangs.
            # (The kernel gives up a file that was closed a moment later: until then its block stays.)
            assert wait_for(lambda: penstock("evict", point) and mount.status()["cached_blocks"] == 0)
            pid = mount.pid()
            with open(point / BLOCK.format(0), "rb", buffering=0) as file:
                stop(stopped)
                with pytest.raises(OSError):
                    os.pread(file.fileno(), 100, 0)
            os.kill(pid, signal.SIGTERM)
            wait_for_end(pid)
            assert not is_mounted(point)
            os.kill(stopped, signal.SIGCONT)
    finally:
        with contextlib.suppress(Exception):
            os.kill(stopped, signal.SIGCONT)
            slow.stop()
        slow.clear()


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
