"""penstock mount whose daemon is killed, stopped, restarted or unmounted under its readers."""

import os
import signal

import pytest

from mount_store import BLOCK, EXTENT, alive, digest, master, places, store
from mounting import Mount, assert_same_tree, flip_byte, is_mounted, mounted, need_fuse, wait_for, wait_for_end

need_fuse()


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


def test_sigterm_unmounts_and_keeps_what_was_fetched(penstock, master, places):
    point, cache = places
    mount = Mount(penstock, master, point, cache)
    try:
        mount.start()
        penstock("warm", point)
        pid = mount.pid()
        os.kill(pid, signal.SIGTERM)
        wait_for_end(pid)
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
            wait_for_end(pid)
            assert not is_mounted(point)
            if passthrough:
                assert file.read() == expected
    finally:
        mount.clear()
