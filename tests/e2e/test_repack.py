"""penstock repack: a dataset's frames compressed, or plain again, in place: the same pixels and
metadata; killed, out of space or damaged, the dataset is as it was."""

import json
import os
import shutil
import signal
import subprocess

import numpy as np
import pytest
import zarr

from ingesting import blocks_of, files_of, leftovers, nexus, raw_options, write_raw
from stopping import finished_blocks, stop_among_blocks
from synthetic import frames, make_dataset

SHAPE = dict(scan=(12, 10), sig=(64, 48), block_bytes=64 * 48 * 2 * 10,
             missing=(3, 4, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 119))
# What only says how blocks are stored, and that it was changed.
DESCRIBED = {"nexus.json", "checksums.xxh128", "data.nxs", "data.zarr/zarr.json",
             "data.zarr/real/zarr.json", "data.zarr/extent_checksum/zarr.json",
             "data.zarr/extent_checksum/c/0/0"}


def pixels(dataset):
    return zarr.open_group(dataset / "data.zarr", mode="r")["real"][...]


def repack(penstock, dataset, choice, *options, status=0):
    done = penstock("repack", dataset, f"--compress={choice}", "--json", *options, status=status)
    return json.loads(done.stdout.splitlines()[-1])


def test_there_and_back(penstock, tmp_path):
    scan = make_dataset(tmp_path / "scan", calibrated=True, complete=True, **SHAPE)
    (scan / "remark.txt").write_text("mine")
    before = files_of(scan)
    digests = set()
    for choice in ("lz4", "zstd", "none"):
        result = repack(penstock, scan, choice)
        assert result["compression"] == choice and not result["unchanged"]
        assert result["stored_bytes"] == sum(p.stat().st_size for p in blocks_of(scan))
        digests.add(result["pixel_checksum"])
        np.testing.assert_array_equal(pixels(scan), frames(**SHAPE))
        own = nexus(scan)["entry1"]["penstock"]
        assert own["layout_version"] == (1 if choice == "none" else 2)
        assert (scan / "data.nxs").exists() == (choice == "none")
        assert "intact" in penstock("verify", scan).stdout
        assert subprocess.run(["xxh128sum", "-c", "--quiet", "checksums.xxh128"], cwd=scan,
                              check=False).returncode == 0
        last = own["history"][f"entry{own['history']['count']}"]
        assert last["operation"] == "repack" and choice in last["parameters"]
        assert not leftovers(tmp_path)
    assert len(digests) == 1
    # Blocks and everything else are the bytes that they were.
    after = files_of(scan)
    assert before.keys() == after.keys()
    assert [name for name in after if before[name] != after[name]] in (
        ["checksums.xxh128", "data.nxs", "nexus.json"],)
    old, new = json.loads(before["nexus.json"]), json.loads(after["nexus.json"])
    for tree in (old, new):
        del tree["entry1"]["penstock"]["history"]
    assert old == new


def test_what_is_so_already_stays(penstock, tmp_path):
    scan = make_dataset(tmp_path / "scan", compression="zstd", **SHAPE)
    before = files_of(scan)
    assert repack(penstock, scan, "zstd")["unchanged"]
    assert "is zstd already" in penstock("repack", scan, "--compress=zstd").stdout
    assert files_of(scan) == before and not leftovers(tmp_path)


def test_auto_through_a_link(penstock, tmp_path):
    noise = np.random.default_rng(1).integers(0, 65536, (40, 64, 48)).astype("<u2")
    penstock("ingest", write_raw(tmp_path / "noise.raw", noise), "--to", tmp_path / "scan",
             *raw_options(noise))
    (tmp_path / "link").symlink_to("scan")
    done = penstock("repack", tmp_path / "link")
    assert "uncompressed already" in done.stdout and "the store reads" in done.stdout
    penstock("repack", tmp_path / "link/", "--compress=lz4")
    assert (tmp_path / "link").is_symlink() and not leftovers(tmp_path)
    np.testing.assert_array_equal(pixels(tmp_path / "scan"), noise)


def test_owner_and_modes_stay(penstock, tmp_path):
    scan = make_dataset(tmp_path / "scan", **SHAPE)
    scan.chmod(0o2750)
    (scan / "data.zarr").chmod(0o711)
    os.chown(scan, 1234, 4321)
    os.chown(scan / "nexus.json", 1234, 4321)
    repack(penstock, scan, "lz4")
    assert scan.stat().st_mode & 0o7777 == 0o2750
    assert (scan / "data.zarr").stat().st_mode & 0o7777 == 0o711
    for path in (scan, scan / "nexus.json"):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)
    assert all(p.stat().st_mode & 0o7777 == 0o444 for p in blocks_of(scan))


def test_who_has_it_open_goes_on(penstock, tmp_path):
    scan = make_dataset(tmp_path / "scan", **SHAPE)
    with open(blocks_of(scan)[2], "rb") as file:
        before = file.read(100_000)
        repack(penstock, scan, "zstd")
        file.seek(0)
        assert file.read(100_000) == before


def start(penstock, scan, choice):
    return subprocess.Popen([str(penstock.binary), "repack", str(scan), f"--compress={choice}",
                             "--jobs", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)


@pytest.mark.parametrize("before,choice", [(None, "zstd"), ("lz4", "none")])
def test_killed_and_continued(penstock, tmp_path, before, choice):
    shape = SHAPE | dict(scan=(60, 10), missing=())
    whole = make_dataset(tmp_path / "whole", compression=before, **shape)
    scan = tmp_path / "scan"

    def begin():
        shutil.rmtree(scan, ignore_errors=True)
        shutil.copytree(whole, scan)
        return start(penstock, scan, choice)

    process = stop_among_blocks(begin, scan, 3, 50)
    done = len(finished_blocks(scan))
    process.kill()
    process.communicate()
    # As it was, and whole.
    assert files_of(scan) == files_of(whole)
    penstock("verify", scan)
    result = repack(penstock, scan, choice)
    assert result["resumed_blocks"] >= done and result["compression"] == choice
    np.testing.assert_array_equal(pixels(scan), frames(**shape))
    penstock("verify", scan)
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_again_and_again(penstock, tmp_path, seed):
    """Whenever it is killed, publication included: the dataset is whole and has its pixels."""
    scan = make_dataset(tmp_path / "scan", **SHAPE)
    expected = frames(**SHAPE)
    rng = np.random.default_rng(seed)
    for _ in range(6):
        target = "zstd" if nexus(scan)["entry1"]["penstock"]["layout_version"] == 1 else "none"
        process = start(penstock, scan, target)
        try:
            process.wait(timeout=float(rng.uniform(0.005, 0.15)))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        np.testing.assert_array_equal(pixels(scan), expected)
        penstock("verify", scan)
    repack(penstock, scan, "lz4")
    penstock("verify", scan)
    np.testing.assert_array_equal(pixels(scan), expected)
    assert not leftovers(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scan"]


def test_a_full_disk_leaves_the_dataset(penstock, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk], check=True)
    try:
        scan = make_dataset(disk / "scan", compression="zstd", **SHAPE)
        filler = disk / "filler"
        with open(filler, "wb") as file:
            file.truncate(0)
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            file.write(b"x" * (free - 300_000))
        before = files_of(scan)
        done = penstock("repack", scan, "--compress=none", status=1)
        assert "No space left" in done.stderr and "the dataset is as it was" in done.stderr
        assert files_of(scan) == before
        penstock("verify", scan)
        filler.unlink()
        repack(penstock, scan, "none")
        np.testing.assert_array_equal(pixels(scan), frames(**SHAPE))
        penstock("verify", scan)
        assert not leftovers(disk)
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("victim", ["block", "picture", "missing"])
def test_a_damaged_dataset_is_not_repacked(penstock, tmp_path, victim):
    scan = make_dataset(tmp_path / "scan", **SHAPE)
    path = (blocks_of(scan)[1] if victim == "block"
            else scan / "data.zarr/statistics/frame/sum/c/0/0")
    if victim == "missing":
        path.unlink()
    else:
        path.chmod(0o644)
        data = bytearray(path.read_bytes())
        data[70_000 if victim == "block" else 5] ^= 1
        path.write_bytes(data)
    before = files_of(scan)
    done = penstock("repack", scan, "--compress=lz4", status=1)
    assert str(path) in done.stderr and "XXH3-128" in done.stderr
    assert files_of(scan) == before and not leftovers(tmp_path)


def test_refusals(penstock, tmp_path):
    done = penstock("repack", tmp_path / "nothing", status=1)
    assert "nexus.json" in done.stderr
    (tmp_path / "empty").mkdir()
    penstock("repack", tmp_path / "empty", status=1)
    scan = make_dataset(tmp_path / "scan", **SHAPE)
    assert "xz" in penstock("repack", scan, "--compress=xz", status=2).stderr
    # An ingest that was begun in its place is not thrown away.
    (tmp_path / ".scan.ingest").mkdir()
    (tmp_path / ".scan.ingest.journal").write_text('{"journal":1,"format":"mib"}\n')
    done = penstock("repack", scan, "--compress=lz4", status=1)
    assert "begun and not finished" in done.stderr
    assert leftovers(tmp_path) == [".scan.ingest", ".scan.ingest.journal"]
    assert sorted(p.name for p in tmp_path.iterdir() if "ingest" not in p.name) == ["empty", "scan"]


def test_the_catalog_knows(penstock, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    scan = make_dataset(store / "scan", **SHAPE)
    penstock("catalog", "rebuild", store)

    def listed():
        return json.loads(penstock("ls", store, "--json").stdout)["datasets"][0]

    before = listed()
    repack(penstock, scan, "zstd")
    after = listed()
    assert after["presence"] == "present" and after["generation"] != before["generation"]
    assert after["bytes"] == sum(p.stat().st_size for p in blocks_of(scan)) != before["bytes"]
