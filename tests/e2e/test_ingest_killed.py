"""An ingest of a numbered series with lost frames, killed at several points and continued: the
dataset is the one of an ingest that nobody interrupted, byte for byte."""

import os
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from ingesting import EPOCH, files_of, image_key, leftovers, make_frames, read_blocks, write_mib
from stopping import kill, stop_among_blocks

SIDE, COUNT = 32, 895
# Of each file: first frame of the acquisition, frames. 250..299 were lost with a file, 417 and
# 701..764 inside of one, and the acquisition of a 30 x 31 scan ended early.
FILES = [(0, 250), (300, 117), (418, 283), (765, 130)]
FILE_STARTS = [[0], [300], [418, 765]]  # 418 and 765 lie in one file
KEPT = np.concatenate([np.arange(first, first + count) for first, count in FILES])

# Options, navigation shape, frames of the acquisition at its positions.
POLICIES = {
    "zero": (["--scan-shape", "30,31", "--missing", "zero"], (30, 31), np.arange(930)),
    "skip rows": (["--scan-shape", "32,31", "--missing", "skip"], (29, 31), np.arange(899)),
    "skip frames": (["--missing", "skip"], (len(KEPT),), KEPT),
}


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    frames = make_frames(COUNT, SIDE, SIDE, "<u2", seed=11) + 1
    counts = dict(FILES)
    for i, starts in enumerate(FILE_STARTS):
        numbers = np.concatenate([np.arange(s, s + counts[s]) for s in starts])
        write_mib(folder / f"scan{i + 1}.mib", frames[numbers], numbers + 1)
    return folder / "scan1.mib", frames


def start(penstock, source, out, options):
    return subprocess.Popen(
        [str(penstock.binary), "ingest", str(source), "--to", str(out), "--block-size", "64K",
         "--jobs", "2", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **EPOCH})


@pytest.mark.parametrize("policy", POLICIES)
def test_killed_and_continued_with_lost_frames(penstock, tmp_path, series, policy):
    source, frames = series
    options, shape, positions = POLICIES[policy]
    out = tmp_path / "scan"
    began = time.monotonic()
    process = start(penstock, source, out, options)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    duration = time.monotonic() - began

    expected = np.zeros((len(positions), SIDE, SIDE), "<u2")
    kept = np.isin(positions, KEPT)
    expected[kept] = frames[positions[kept]]
    np.testing.assert_array_equal(read_blocks(out, shape + (SIDE, SIDE), "<u2"),
                                  expected.reshape(shape + (SIDE, SIDE)))
    np.testing.assert_array_equal(image_key(out).ravel(), np.where(kept, 0, 3))
    reference = files_of(out)
    shutil.rmtree(out)

    # After so many blocks, then at random moments: in the middle of a block, of the previews and the
    # sidecar, of publication.
    for first in (1, 6, 15):
        kill(stop_among_blocks(lambda: start(penstock, source, out, options), out, first, 25))
    chance = random.Random(policy)
    for _ in range(3):
        process = start(penstock, source, out, options)
        time.sleep(chance.uniform(0.02, 0.9) * duration)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if out.exists():
            break
    process = start(penstock, source, out, options)
    _, err = process.communicate(timeout=120)
    assert process.returncode in (0, 3) or (process.returncode == 1 and "exists" in err), err
    assert not leftovers(tmp_path)
    found = files_of(out)
    assert sorted(found) == sorted(reference)
    assert [name for name in reference if reference[name] != found[name]] == []
    penstock("verify", out, "--source", source)
