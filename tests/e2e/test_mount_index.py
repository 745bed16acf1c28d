"""penstock mount on a cache directory that holds many replicas: what the records say is there at once,
what the directory says afterwards."""

import json
import os
import pathlib
import subprocess

from conftest import ROOT
from mounting import mounted, need_fuse, replicas, wait_for

need_fuse()

MAKE = pathlib.Path(os.environ.get("PENSTOCK_BUILD_DIR", ROOT / "build/release"))
COUNT = 3000
BLOCK_BYTES = 5 << 20


def make(cache, *options, count=COUNT):
    subprocess.run([MAKE / "tests/penstock_make_replicas", cache, "--count", str(count), "--block-bytes",
                    str(BLOCK_BYTES), *options], check=True)


def listed(mount):
    return wait_for(lambda: (status := mount.status())["inventory_done"] and status)


def test_records_are_believed_until_the_directory_is_listed(penstock, tmp_path):
    (tmp_path / "store").mkdir()
    make(tmp_path / "cache")
    with mounted(penstock, tmp_path / "store", tmp_path / "mnt", tmp_path / "cache") as mount:
        status = listed(mount)
        assert status["cached_blocks"] == COUNT
        assert status["cached_bytes"] == COUNT * BLOCK_BYTES
        assert len(status["datasets"]) == -(-COUNT // 64)
        assert status["datasets"][0]["dataset"] == "proposal/visit/scan_000000"
        shown = json.loads(penstock("status", mount.cache, "--json").stdout)
        assert shown["dataset_count"] == len(status["datasets"])
        assert len(shown["datasets"]) == 20 and all(each in status["datasets"] for each in shown["datasets"])
        assert status["datasets"][0]["complete_blocks"] == 64
        assert status["datasets"][0]["bytes"] == 64 * BLOCK_BYTES


def test_records_without_a_file_are_dropped(penstock, tmp_path):
    (tmp_path / "store").mkdir()
    make(tmp_path / "cache")
    lost = replicas(tmp_path / "cache")[:1000]
    for path in lost:
        path.unlink()
    with mounted(penstock, tmp_path / "store", tmp_path / "mnt", tmp_path / "cache") as mount:
        status = listed(mount)
        assert status["cached_blocks"] == COUNT - 1000
        assert status["cached_bytes"] == (COUNT - 1000) * BLOCK_BYTES
        mount.wait_for_log("1000 records lost their file")
    with mounted(penstock, tmp_path / "store", tmp_path / "mnt", tmp_path / "cache") as mount:
        assert mount.status()["cached_blocks"] == COUNT - 1000


def test_files_without_a_record_are_found(penstock, tmp_path):
    (tmp_path / "store").mkdir()
    make(tmp_path / "cache", count=500)
    make(tmp_path / "cache", "--without-records")
    with mounted(penstock, tmp_path / "store", tmp_path / "mnt", tmp_path / "cache") as mount:
        status = listed(mount)
        assert status["cached_blocks"] == COUNT
        # They are holes: they take nothing of the disk. To which dataset they belong nobody tells.
        assert status["cached_bytes"] == 500 * BLOCK_BYTES
        unknown = [each for each in status["datasets"] if each["dataset"] == ""]
        assert [each["partial_blocks"] for each in unknown] == [COUNT - 500]
        assert json.loads(penstock("status", mount.cache, "--json").stdout)["pid"] == status["pid"]


def test_what_is_said_before_the_mount_is_up_is_in_the_log(penstock, tmp_path):
    (tmp_path / "store").mkdir()
    with mounted(penstock, tmp_path / "store", tmp_path / "mnt", tmp_path / "cache"):
        pass
    (tmp_path / "cache/scrub.json").write_text("nonsense")
    with mounted(penstock, tmp_path / "store", tmp_path / "mnt", tmp_path / "cache") as mount:
        said = "the state of the scrub cannot be read"
        mount.wait_for_log(said)
        assert mount.log().count(said) == 1
