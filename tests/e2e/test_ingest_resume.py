"""An ingest that is stopped, killed, interfered with or out of space, and the one that follows."""

import os
import random
import signal
import subprocess
import time

import numpy as np
import pytest

from ingesting import (Running, blocks_of, files_of, leftovers, make_frames, raw_options,
                       read_blocks, slow_source, write_raw)
from stopping import finished_blocks, go_on, kill


def test_resume_after_kill_at_random_moments(penstock, tmp_path, slow_source):
    source, frames = slow_source
    reference = Running(penstock, source, frames, tmp_path / "ref/scan", "--scan-shape", "40,40")
    began = time.monotonic()
    assert reference.start().process.wait(120) == 0
    duration = time.monotonic() - began
    running = Running(penstock, source, frames, tmp_path / "out/scan", "--scan-shape", "40,40")
    chance = random.Random(4)
    for first in (3, 12):
        kill(running.stop_among_blocks(first))
    for _ in range(10):
        process = running.start().process
        time.sleep(chance.uniform(0.02, 1.1) * duration / 3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (tmp_path / "out/scan").exists():
            break
    last = running.start().process
    out, err = last.communicate(timeout=120)
    finished_before = "exists" in err
    assert last.returncode == 0 or finished_before, err
    assert leftovers(tmp_path / "out") == []

    def masked(dataset):
        contents = files_of(dataset)
        contents["nexus.json"] = contents["nexus.json"].replace(b"/out/scan", b"/ref/scan")
        del contents["checksums.xxh128"], contents["data.nxs"]  # follow from nexus.json
        return contents

    expected, found = masked(tmp_path / "ref/scan"), masked(tmp_path / "out/scan")
    assert sorted(expected) == sorted(found)
    assert [name for name in expected if expected[name] != found[name]] == []
    subprocess.run(["xxh128sum", "-c", "--quiet", "checksums.xxh128"], cwd=tmp_path / "out/scan",
                   check=True)


def test_interrupt_keeps_what_is_done(penstock, tmp_path, slow_source):
    source, frames = slow_source
    running = Running(penstock, source, frames, tmp_path / "scan")
    running.stop_among_blocks().send_signal(signal.SIGINT)
    _, err = go_on(running.process)
    assert running.process.returncode == 1 and "same command again" in err
    assert not (tmp_path / "scan").exists()
    assert leftovers(tmp_path) == [".scan.ingest", ".scan.ingest.journal"]
    again = running.start().process
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0 and "continuing" in err and "blocks from before" in out
    np.testing.assert_array_equal(read_blocks(tmp_path / "scan", frames.shape, "<u2"), frames)


def test_a_damaged_block_is_not_taken_over(penstock, tmp_path, slow_source):
    source, frames = slow_source
    running = Running(penstock, source, frames, tmp_path / "scan")
    kill(running.stop_among_blocks(3))
    # (Further blocks may lie there that are not in the journal.)
    finished = finished_blocks(tmp_path / "scan")[0]
    path = tmp_path / f".scan.ingest/data.zarr/real/c/{finished}/0/0"
    os.chmod(path, 0o644)
    with open(path, "r+b") as block:
        block.seek(70000)
        byte = block.read(1)
        block.seek(70000)
        block.write(bytes([byte[0] ^ 1]))
    process = running.start().process
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0 and err.count("written again: ") == 1 and str(path) in err, err
    np.testing.assert_array_equal(read_blocks(tmp_path / "scan", frames.shape, "<u2"), frames)


def test_another_plan_discards_what_was_begun(penstock, tmp_path, slow_source):
    source, frames = slow_source
    kill(Running(penstock, source, frames, tmp_path / "scan").stop_among_blocks())
    other = Running(penstock, source, frames, tmp_path / "scan", "--scan-shape", "40,40").start()
    _, err = other.process.communicate(timeout=120)
    assert other.process.returncode == 0 and "another plan is discarded" in err
    stored = read_blocks(tmp_path / "scan", (40, 40, 32, 32), "<u2")
    np.testing.assert_array_equal(stored.reshape(frames.shape), frames)


def test_the_second_ingest_is_refused(penstock, tmp_path, slow_source):
    source, frames = slow_source
    process = Running(penstock, source, frames, tmp_path / "scan").stop_among_blocks(1)
    try:
        done = penstock("ingest", source, "--to", tmp_path / "scan", *raw_options(frames), status=1)
        assert "another ingest" in done.stderr
    finally:
        go_on(process)
    assert process.returncode == 0


def test_a_source_that_changes_is_refused(penstock, tmp_path, slow_source):
    source, frames = slow_source
    process = Running(penstock, source, frames, tmp_path / "scan").stop_among_blocks(1)
    with open(source, "ab") as file:
        file.write(b"more")
    _, err = go_on(process)
    assert process.returncode == 1
    assert "changed while it was read" in err and str(source) in err
    assert not (tmp_path / "scan").exists() and not leftovers(tmp_path)


def test_full_disk(penstock, tmp_path):
    image, mount = tmp_path / "disk.img", tmp_path / "disk"
    mount.mkdir()
    with open(image, "wb") as file:
        file.truncate(24 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", image], capture_output=True)
    mounted = made.returncode == 0 and subprocess.run(
        ["mount", "-o", "loop", image, mount], capture_output=True).returncode == 0
    if not mounted:
        pytest.skip("SKIPPED: no loop device can be mounted here, a full disk is not tested")
    try:
        frames = make_frames(400, 128, 128, "<u2")  # 12.5 MiB
        source = write_raw(tmp_path / "s.raw", frames)
        (mount / "ballast").write_bytes(bytes(10 << 20))
        options = [*raw_options(frames), "--block-size", "1M"]
        done = penstock("ingest", source, "--to", mount / "scan", *options, status=1)
        assert "No space left" in done.stderr
        assert not (mount / "scan").exists()
        (mount / "ballast").unlink()
        penstock("ingest", source, "--to", mount / "scan", *options)
        np.testing.assert_array_equal(read_blocks(mount / "scan", frames.shape, "<u2"), frames)
    finally:
        subprocess.run(["umount", mount], check=True)
