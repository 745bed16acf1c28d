"""Bytes that turn on the cache's disk without anybody having written there, and places of it that do not
take bytes any more: found by the scrub, mended where that can be, else put into quarantine."""

import errno
import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from mount_store import BLOCK, EXTENT, master, store
from mounting import Mount, assert_same_tree, flip_byte, mounted, need_fuse, replicas, wait_for
from power_cut import disk_in, run

need_fuse()

OPTIONS = ("--settle-time", "0", "--scrub-every", "0")


@pytest.fixture
def disk(tmp_path):
    with disk_in(tmp_path / "rot", 96) as disk:
        yield disk


def rot(disk, file, offset):
    """Turns a bit on the disk, below the file system."""
    assert run("sync", "-f", file).returncode == 0
    found = run("debugfs", "-R", f"bmap <{file.stat().st_ino}> {offset // 4096}", disk.image).stdout
    with open(disk.image, "r+b") as image:
        at = int(found) * 4096 + offset % 4096
        image.seek(at)
        byte = image.read(1)[0]
        image.seek(at)
        image.write(bytes([byte ^ 8]))
    with open(file, "rb") as cached:
        os.posix_fadvise(cached.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def replica_of(penstock, mount, name):
    """Reads the file and finds its replica."""
    before = set(replicas(mount.cache))
    (mount.point / name).read_bytes()
    wait_for(lambda: os.getxattr(mount.point / name, "user.penstock.state").startswith(b"complete"))
    file, = set(replicas(mount.cache)) - before
    return file


def test_a_bit_that_turns_is_mended_by_the_scrub(penstock, master, tmp_path, disk):
    point, expected = tmp_path / "mnt", (master / BLOCK.format(0)).read_bytes()
    with mounted(penstock, master, point, disk.point / "cache", "--read-ahead", "0", *OPTIONS) as mount:
        file = replica_of(penstock, mount, BLOCK.format(0))
        with open(point / BLOCK.format(0), "rb", buffering=0) as reader:
            before = file.stat()
            rot(disk, file, EXTENT + 5000)
            assert file.read_bytes() != expected and file.stat().st_ctime_ns == before.st_ctime_ns
            result = penstock("scrub", mount.cache, "--rate", "0", status=3)
            assert "1 extents damaged, 1 mended" in result.stdout
            # Mended where it lay, so that who has it open gets right bytes, too.
            assert reader.read() == expected
        assert_same_tree(master, point)


def test_damage_that_was_found_is_never_given_again(penstock, store, tmp_path, disk):
    """The store cannot mend it: its bytes are damaged, too."""
    point, name = tmp_path / "mnt", BLOCK.format(0)
    expected = (store / name).read_bytes()
    mount = Mount(penstock, store, point, disk.point / "cache", "--read-ahead", "0", *OPTIONS)
    try:
        mount.start()
        rot(disk, replica_of(penstock, mount, name), EXTENT + 5000)
        flip_byte(store / name, EXTENT + 5000)
        result = penstock("scrub", mount.cache, "--rate", "0", status=3)
        assert "1 extents damaged, 0 mended" in result.stdout
        report = penstock("scrub", mount.cache, "--report").stdout
        assert name in report and "not mended" in report
        os.kill(mount.pid(), signal.SIGKILL)
        for _ in range(2):  # what the scrub found, and what the daemon after it knows of that
            mount.start()
            with open(point / name, "rb", buffering=0) as reader:
                with pytest.raises(OSError) as failure:
                    os.pread(reader.fileno(), 4096, EXTENT + 4096)
                assert failure.value.errno == errno.EIO
                assert os.pread(reader.fileno(), EXTENT, 0) == expected[:EXTENT]
            mount.stop()
        flip_byte(store / name, EXTENT + 5000)
        mount.start()
        assert (point / name).read_bytes() == expected
        assert mount.counter("fetched_bytes") == EXTENT
        mount.stop()
    finally:
        mount.clear()


@pytest.fixture(scope="module")
def bad_sector(tmp_path_factory):
    if shutil.which("cc") is None:
        pytest.skip("SKIPPED FOR WANT OF A C COMPILER")
    library = tmp_path_factory.mktemp("preload") / "bad_sector.so"
    source = pathlib.Path(__file__).with_name("bad_sector.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.mark.parametrize("sector", ["e", "f"], ids=["fails", "forgets"])
def test_a_place_that_keeps_nothing_goes_into_quarantine(penstock, master, tmp_path, bad_sector, sector,
                                                         monkeypatch):
    point, cache, name = tmp_path / "mnt", tmp_path / "cache", BLOCK.format(0)
    expected = (master / name).read_bytes()
    control = tmp_path / "sector"
    mount = Mount(penstock, master, point, cache, "--read-ahead", "0", *OPTIONS)
    try:
        with monkeypatch.context() as environment:
            environment.setenv("LD_PRELOAD", str(bad_sector))
            environment.setenv("BAD_SECTOR", str(control))
            mount.start()
        file = replica_of(penstock, mount, name)
        control.write_text(f"{file.stat().st_ino} {EXTENT + 5000} {sector}")
        damaged = file.stat().st_ino
        flip_byte(file, EXTENT + 5000)
        result = penstock("scrub", cache, "--rate", "0", status=3)
        assert "1 extents damaged, 1 mended; 1 replicas put into quarantine" in result.stdout
        damage, = [line for line in map(json.loads, penstock(
            "scrub", cache, "--report", "--json").stdout.splitlines()) if line["event"] == "damage"]
        assert (damage["path"], damage["replica"], damage["extent"], damage["quarantined"]) == (
            name, file.name, 1, True)
        assert damage["healed"]
        assert "quarantine" in penstock("scrub", cache, "--report").stdout
        # The bad place is occupied by what lay there; the new replica lies elsewhere.
        kept = cache / "quarantine" / f"{file.name}.replica"
        assert kept.stat().st_ino == damaged != file.stat().st_ino
        assert mount.counter("quarantined_replicas") == 1
        assert (point / name).read_bytes() == expected == file.read_bytes()
        assert "0 extents damaged" in penstock("scrub", cache, "--rate", "0").stdout
        mount.stop()
        with mounted(penstock, master, point, cache, *OPTIONS) as after:
            assert (point / name).read_bytes() == expected
            assert after.counter("fetched_bytes") == 0
    finally:
        mount.clear()


def test_a_replica_that_cannot_be_replaced_is_named_and_not_given(penstock, master, tmp_path, disk):
    """Immutable: neither mended in its place nor taken out of use."""
    point, name = tmp_path / "mnt", BLOCK.format(0)
    expected = (master / name).read_bytes()
    with mounted(penstock, master, point, disk.point / "cache", "--read-ahead", "0", *OPTIONS) as mount:
        file = replica_of(penstock, mount, name)
        flip_byte(file, EXTENT + 5000)
        assert run("chattr", "+i", file).returncode == 0
        try:
            result = penstock("scrub", mount.cache, "--rate", "0", status=3)
            assert "1 extents damaged, 0 mended; 0 replicas put into quarantine" in result.stdout
            assert f"{name}" in penstock("scrub", mount.cache, "--report").stdout
            assert (point / name).read_bytes() == expected
            assert "cannot take out of use" in mount.log()
        finally:
            run("chattr", "-i", file)


@pytest.mark.parametrize("options", [(), ("--no-passthrough",)], ids=["default", "served"])
def test_a_replica_that_is_written_to_while_it_is_open(penstock, master, tmp_path, options):
    point, name = tmp_path / "mnt", BLOCK.format(0)
    expected = (master / name).read_bytes()
    with mounted(penstock, master, point, tmp_path / "cache", "--read-ahead", "0", *OPTIONS,
                 *options) as mount:
        file = replica_of(penstock, mount, name)
        with open(point / name, "rb", buffering=0) as reader:
            assert reader.read(100) == expected[:100]
            flip_byte(file, EXTENT + 5000)
            for _ in range(3):
                assert (point / name).read_bytes() == expected
            # It was mended where it lay: who has it open gets right bytes from then on.
            wait_for(lambda: os.pread(reader.fileno(), len(expected), 0) == expected)
        assert mount.counter("damaged_cache_extents") == 1
        assert "was changed from outside" in mount.log()
