"""What a mount's cache keeps: warm, pins, quotas, scrub."""

import json
import os
import random
import re
import shutil

import pytest

from mount_store import BLOCK, EXTENT, digest, master, places, store
from mounting import assert_same_tree, flip_byte, mounted, need_fuse, replicas, wait_for
from synthetic import make_dataset

need_fuse()

NOW = ("--settle-time", "0")
BLOCKS = ("--blocks", "0")  # and no other files


def block_bytes(store):
    return sum((store / BLOCK.format(block)).stat().st_size for block in range(3))


def other_bytes(store):
    return sum(path.stat().st_size for path in store.rglob("*")
               if path.is_file() and not path.is_symlink()) - block_bytes(store)


def complete(mount):
    """Complete blocks of each dataset."""
    return {dataset["dataset"]: dataset["complete_blocks"] for dataset in mount.status()["datasets"]}


@pytest.fixture
def two_folders(tmp_path):
    """Four datasets of one block of 4 MiB of frames in two folders."""
    folder = tmp_path / "two"
    for name in ("red/one", "red/two", "blue/one", "blue/two"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        make_dataset(folder / name, scan=(8, 8), sig=(128, 128), block_bytes=4 << 20)
    return folder


def test_warm_fetches_datasets_and_other_files(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache, *NOW) as mount:
        lines = [json.loads(line) for line in
                 penstock("warm", point, "--json").stdout.splitlines()]
        result = lines[-1]
        assert result["event"] == "result" and result["blocks"] == 3
        assert result["bytes"] == result["total_bytes"] == block_bytes(master) + other_bytes(master)
        assert result["resident_bytes"] == 0 and result["failed"] == 0
        assert complete(mount) == {"proposal/scan": 3}
        fetched = mount.counter("fetched_bytes"), mount.counter("fetched_file_bytes")
        assert fetched == (block_bytes(master), other_bytes(master))
        assert_same_tree(master, point)
        assert fetched == (mount.counter("fetched_bytes"), mount.counter("fetched_file_bytes"))
        again = json.loads(penstock("warm", point, "--json").stdout.splitlines()[-1])
        assert again["resident_bytes"] == again["bytes"] == result["bytes"]
        assert "3 blocks" in penstock("warm", point / "proposal").stdout


def test_warm_by_a_list_of_paths_and_by_blocks(penstock, master, places, tmp_path):
    point, cache = places
    manifest = tmp_path / "list"
    manifest.write_text(f"# for tonight\n{point}/raw\n\n{point}/proposal/scan\n")
    with mounted(penstock, master, point, cache, *NOW) as mount:
        penstock("warm", point / "proposal/scan", "--blocks", "1")
        assert complete(mount) == {"proposal/scan": 1}
        assert mount.status()["other_files"]["files"] == 0
        lines = penstock("warm", "--manifest", manifest).stdout.splitlines()
        assert lines[0].startswith(f"{point}/raw: 0 blocks and 1 other files")
        assert lines[1].startswith(f"{point}/proposal/scan: 3 blocks")
        assert complete(mount) == {"proposal/scan": 3}
        assert penstock("warm", "--manifest", tmp_path / "none", status=1).stderr
        manifest.write_text(f"{point}/nothing\n{point}/raw\n")
        failed = penstock("warm", "--manifest", manifest, status=1)
        assert "nothing" in failed.stderr and "raw: 0 blocks and 1 other" in failed.stdout


def test_warm_with_verify_reads_the_disk_again_and_mends(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache, *NOW) as mount:
        assert "0 extents damaged" in penstock("warm", point, "--verify").stdout
        block = max(replicas(cache), key=lambda path: path.stat().st_size)
        flip_byte(block, EXTENT + 5)
        result = penstock("warm", point, "--verify", status=3)
        assert "1 extents damaged, 1 mended" in result.stdout
        assert_same_tree(master, point)
        assert mount.counter("damaged_cache_extents") == mount.counter("healed_cache_extents") == 1
        assert "0 extents damaged" in penstock("warm", point, "--verify").stdout


def test_pinned_datasets_survive_a_scan_of_everything_else(penstock, two_folders, places):
    point, cache = places
    size = (two_folders / "red/one/data.zarr/real/c/0/0/0/0").stat().st_size
    with mounted(penstock, two_folders, point, cache, "--cache-size", 2 * size + 65536) as mount:
        penstock("pin", point / "red/one", "--reason", "calibration", "--owner", "ada", "--for", "7d")
        for name in ("red/one", "red/two", "blue/one", "blue/two", "red/two"):
            penstock("warm", point / name, *BLOCKS)
        assert complete(mount)["red/one"] == 1
        pin, = json.loads(penstock("pins", point, "--json").stdout)
        assert (pin["pattern"], pin["owner"], pin["reason"]) == ("red/one", "ada", "calibration")
        assert pin["expires"] - pin["created"] == 7 * 86400
        assert mount.status()["pins"] == 1
    with mounted(penstock, two_folders, point, cache, "--cache-size", 2 * size + 65536) as mount:
        for name in ("blue/one", "blue/two", "red/two"):
            penstock("warm", point / name, *BLOCKS)
        assert complete(mount)["red/one"] == 1
        table = penstock("pins", cache).stdout
        assert "red/one" in table and "calibration" in table and "ada" in table
        assert "1 pins removed" in penstock("unpin", point / "red/one").stdout
        assert "no such pin" in penstock("unpin", point / "red/one", status=1).stderr
        for name in ("blue/one", "blue/two", "red/two"):
            penstock("warm", point / name, *BLOCKS)
        assert "red/one" not in complete(mount)


def test_with_everything_pinned_reads_go_through(penstock, two_folders, places):
    point, cache = places
    size = (two_folders / "red/one/data.zarr/real/c/0/0/0/0").stat().st_size
    with mounted(penstock, two_folders, point, cache, "--cache-size", size + 1) as mount:
        penstock("pin", point, "--match", "red/*")
        penstock("warm", point / "red/one", *BLOCKS)
        assert_same_tree(two_folders, point)
        assert complete(mount) == {"red/one": 1}
        assert mount.counter("uncached_extents") > 0
        # A pin holds against the need for room, not against whoever asks for the eviction.
        penstock("evict", point / "red/one")
        assert complete(mount) == {}


def test_quotas_of_the_top_level_folders(penstock, two_folders, places):
    point, cache = places
    size = (two_folders / "red/one/data.zarr/real/c/0/0/0/0").stat().st_size
    with mounted(penstock, two_folders, point, cache) as mount:
        penstock("quota", point, "--folder", "red", "--hard", size + 1)
        penstock("warm", point / "blue", *BLOCKS)
        penstock("warm", point / "red", *BLOCKS, status=None)  # one of the two fits
        held = complete(mount)
        assert (held["blue/one"], held["blue/two"]) == (1, 1)
        assert held.get("red/one", 0) + held.get("red/two", 0) <= 1
        folders = json.loads(penstock("quota", point, "--json").stdout)
        by_name = {folder["folder"]: folder for folder in folders}
        assert by_name["red"]["hard_bytes"] == size + 1 and by_name["red"]["soft_bytes"] is None
        assert by_name["red"]["bytes"] <= size + 4096
        assert by_name["blue"]["hard_bytes"] is None and by_name["blue"]["bytes"] >= 2 * size
        assert re.search(r"^red .* none ", penstock("quota", cache).stdout, re.MULTILINE)
        assert "top-level" in penstock("quota", point, "--folder", "a/b", "--hard", "1",
                                       status=2).stderr
        penstock("quota", point, "--folder", "red", "--hard", "none")
        penstock("warm", point / "red", *BLOCKS)
        assert complete(mount) == {"blue/one": 1, "blue/two": 1, "red/one": 1, "red/two": 1}


def test_scrub_finds_mends_and_reports(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache, *NOW, "--scrub-every", "0") as mount:
        assert "idle" in penstock("scrub", point, "--status").stdout
        assert "nothing has been scrubbed" in penstock("scrub", point, "--report", status=1).stderr
        penstock("warm", point)
        penstock("scrub", point, "--rate", "0")
        blocks = sorted(replicas(cache), key=lambda path: path.stat().st_size)[-2:]
        flip_byte(blocks[0], 70_000)
        flip_byte(blocks[1], EXTENT + 7)
        result = penstock("scrub", point, "--rate", "0", status=3)
        assert "2 extents damaged, 2 mended" in result.stdout
        assert_same_tree(master, point)
        report = penstock("scrub", cache, "--report").stdout
        assert report.count(" damage ") == 2 and report.count(" finished ") == 2
        assert "extent 1 (byte 4194304): expected" in report and "; mended" in report
        lines = [json.loads(line) for line in
                 penstock("scrub", cache, "--report", "--json").stdout.splitlines()]
        assert [line["event"] for line in lines] == [
            "begun", "finished", "begun", "damage", "damage", "finished"]
        assert lines[-1]["bytes"] == block_bytes(master) + other_bytes(master)
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["time"])
                   for line in lines)
        assert mount.status()["scrub"]["pass"]["number"] == 2
        assert len(list((cache / "quarantine").iterdir())) == 2


def test_a_scrub_goes_on_in_the_next_daemon(penstock, master, places):
    point, cache = places
    options = (*NOW, "--scrub-every", "0")
    with mounted(penstock, master, point, cache, *options) as mount:
        penstock("warm", point)
        # Slow enough to be in the middle: 4 MiB in four seconds.
        penstock("scrub", point, "--rate", "1M", "--detach")
        wait_for(lambda: mount.status()["scrub"]["pass"]["replicas"] > 0)
        assert "under way" in penstock("scrub", point, status=1).stderr
    before = json.loads((cache / "scrub.json").read_text())
    assert before["ended"] is None and before["position"]
    with mounted(penstock, master, point, cache, *options, "--scrub-rate", "0") as mount:
        wait_for(lambda: mount.status()["scrub"]["state"] == "idle")
        after = mount.status()["scrub"]["pass"]
        assert after["number"] == before["number"] == 1
        assert after["replicas"] == len(replicas(cache))  # none twice
        assert after["bytes"] == block_bytes(master) + other_bytes(master)


def test_a_scrub_evicts_what_the_store_has_no_more(penstock, store, places):
    point, cache = places
    with mounted(penstock, store, point, cache, *NOW, "--scrub-every", "0") as mount:
        penstock("warm", point)
        held = len(replicas(cache))
        (store / "raw").unlink()
        shutil.rmtree(store / "proposal")
        # What is known of a dataset is believed for a second.
        def evicted():
            penstock("scrub", point, "--rate", "0")
            return mount.status()["scrub"]["pass"]["evicted_replicas"]
        gone = [evicted()]
        wait_for(lambda: gone.append(evicted()) or sum(gone) == held - 1)
        assert len(replicas(cache)) == 1 and mount.status()["cached_blocks"] == 0


def test_a_scrub_leaves_what_is_pinned_and_believes_no_empty_store(penstock, store, places):
    """A store that is not mounted is an empty folder."""
    point, cache = places
    with mounted(penstock, store, point, cache, *NOW, "--scrub-every", "0") as mount:
        penstock("warm", point)
        held = len(replicas(cache))
        store.rename(store.parent / "away")
        store.mkdir()
        penstock("scrub", cache, "--rate", "0", "--detach")
        wait_for(lambda: mount.status()["scrub"]["state"] == "waiting")
        assert "is empty" in mount.status()["scrub"]["waiting_for"]
        penstock("scrub", cache, "--pause")
        assert len(replicas(cache)) == held
        store.rmdir()
        (store.parent / "away").rename(store)
        penstock("pin", point / "proposal")
        shutil.rmtree(store / "proposal")
        (store / "raw").unlink()
        penstock("scrub", cache)  # goes on where it was
        wait_for(lambda: penstock("scrub", cache) and len(replicas(cache)) < held)
        assert mount.status()["cached_blocks"] == 3


def test_a_scrub_waits_for_a_store_that_is_away(penstock, store, places):
    point, cache = places
    with mounted(penstock, store, point, cache, *NOW, "--scrub-every", "0") as mount:
        penstock("warm", point)
        held = len(replicas(cache))
        store.rename(store.parent / "away")
        penstock("scrub", cache, "--rate", "0", "--detach")
        wait_for(lambda: mount.status()["scrub"]["state"] == "waiting")
        (store.parent / "away").rename(store)
        penstock("scrub", cache, "--pause")
        penstock("scrub", cache)
        assert mount.status()["scrub"]["pass"]["replicas"] == held == len(replicas(cache))


def test_a_store_that_is_scrubbed_on_schedule(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache, *NOW, "--scrub-every", "1s", "--scrub-rate", "0"):
        wait_for(lambda: (cache / "scrub-report.jsonl").exists()
                 and '"finished"' in (cache / "scrub-report.jsonl").read_text())
