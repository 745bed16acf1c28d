"""`penstock ingest --follow --compress`: a dataset of compressed blocks that grows with its acquisition."""

import json
import time

import numpy as np
import pytest

from acquisitions import events
from test_follow import (BLOCK, COLUMNS, ROWS, SIDE, STACK, Instrument, assert_same_data, blocks, finished, follow,
                         image_key, state, stored)
from waiting import wait_for


def result(text):
    return events(type("Done", (), {"stdout": text}), "result")[0]


def penstock_part(out):
    return json.loads((out / "nexus.json").read_text())["entry1"]["penstock"]


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_blocks_appear_as_they_fill_and_the_end_is_that_of_an_ingest(penstock, penstock_package, follow, tmp_path, codec):
    instrument = Instrument(tmp_path / "in")
    instrument.write_up_to(3)
    out = tmp_path / "scan"
    process = follow(instrument.path, out, f"--compress={codec}")
    wait_for(lambda: (out / "nexus.json").exists())
    assert state(out) == "growing" and (image_key(out) == 3).all()
    assert penstock_part(out)["compression"] == codec and not (out / "data.nxs").exists()
    empty = penstock_package.open(out)

    instrument.write_up_to(2 * COLUMNS + 5, 100)
    wait_for(lambda: (image_key(out)[:2] == 0).all())
    assert (image_key(out)[2:] == 3).all() and len(blocks(out)) == 1
    np.testing.assert_array_equal(stored(out)[:2 * COLUMNS], STACK[:2 * COLUMNS])
    assert not stored(out)[2 * COLUMNS:].any()

    # The program's own readers see the part that is there, and only that.
    penstock("verify", out)
    for name, data in ("old", empty), ("new", penstock_package.open(out)):
        seen = np.asarray(data).reshape(-1, SIDE, SIDE)
        np.testing.assert_array_equal(seen[:2 * COLUMNS], STACK[:2 * COLUMNS] if name == "new" else 0 * STACK[:2 * COLUMNS])
        assert not seen[2 * COLUMNS:].any() and data.state == "growing"
    penstock("verify", out, "--source", instrument.path)

    for row in (3, 5, ROWS):
        instrument.write_up_to(row * COLUMNS)
        time.sleep(0.2)
    done = result(finished(process))
    assert done["missing_frames"] == 0 and done["anomalies"] == [] and done["compression"] == codec
    assert state(out) == "sealed"
    np.testing.assert_array_equal(stored(out), STACK)
    penstock("verify", out)
    penstock("verify", out, "--source", instrument.path)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []
    penstock("ingest", instrument.path, "--to", tmp_path / "plain", "--block-size", BLOCK, f"--compress={codec}")
    assert_same_data(out, tmp_path / "plain")


def test_a_reader_never_sees_a_valid_frame_without_its_block(penstock_package, follow, tmp_path):
    """Whoever opens it at any moment, also when it is sealed, reads frames or that they are not there yet."""
    instrument = Instrument(tmp_path / "in")
    instrument.write_up_to(1)
    out = tmp_path / "scan"
    process = follow(instrument.path, out, "--compress=lz4")
    wait_for(lambda: (out / "nexus.json").exists())

    def look():
        data = penstock_package.open(out)
        seen = np.asarray(data).reshape(-1, SIDE, SIDE)
        good = data.valid.ravel()
        np.testing.assert_array_equal(seen[good], STACK[good])
        assert not seen[~good].any()
        return data.state, int(good.sum())

    for frame in range(1, ROWS * COLUMNS, 5):
        instrument.write_up_to(frame)
        look()
    wait_for(lambda: look()[1] > 0)
    instrument.write_up_to(ROWS * COLUMNS)
    wait_for(lambda: look()[0] == "sealed")
    assert look() == ("sealed", ROWS * COLUMNS)
    finished(process)


def test_what_was_begun_goes_on_with_the_same_codec_alone(penstock, follow, tmp_path):
    instrument = Instrument(tmp_path / "in")
    instrument.write_up_to(70)
    out = tmp_path / "scan"
    process = follow(instrument.path, out, "--compress=zstd")
    wait_for(lambda: (out / "nexus.json").exists() and (image_key(out)[:2] == 0).all())
    process.kill()
    process.communicate()
    other = follow(instrument.path, out, "--compress=lz4")
    assert "exists" in other.communicate(timeout=240)[1] and other.returncode == 1
    process = follow(instrument.path, out, "--compress=zstd")
    instrument.write_up_to(ROWS * COLUMNS)
    assert result(finished(process))["resumed_blocks"] >= 1
    penstock("verify", out)


def test_an_aborted_acquisition_is_valid_and_marked(penstock, follow, tmp_path):
    instrument = Instrument(tmp_path / "in")
    taken = 3 * COLUMNS + 7
    instrument.write_up_to(taken, 50)
    out = tmp_path / "scan"
    done = result(finished(follow(instrument.path, out, "--compress=lz4", quiet=1), status=3))
    assert done["missing_frames"] == ROWS * COLUMNS - taken
    np.testing.assert_array_equal(image_key(out).ravel() == 0, np.arange(ROWS * COLUMNS) < taken)
    np.testing.assert_array_equal(stored(out)[:taken], STACK[:taken])
    penstock("verify", out)
    penstock("ingest", instrument.path, "--to", tmp_path / "plain", "--block-size", BLOCK, "--missing", "zero",
             "--compress=lz4", status=3)
    assert_same_data(out, tmp_path / "plain")


@pytest.mark.parametrize("counts", [0.02, 2000])
def test_what_is_best_is_measured_on_the_first_block(penstock, follow, tmp_path, counts):
    """Few counts are compressed, noise is not; a run that is continued keeps what was chosen."""
    stack = np.random.default_rng(2).poisson(counts, STACK.shape).astype(np.uint16)
    if counts > 1:
        stack = np.random.default_rng(2).integers(0, 65536, STACK.shape).astype(np.uint16)
    source, out = tmp_path / "scan.raw", tmp_path / "scan"
    options = ["--format", "raw", "--sig-shape", f"{SIDE},{SIDE}", "--dtype", "uint16", "--scan-shape",
               f"{ROWS},{COLUMNS}", "--compress"]
    source.write_bytes(stack[:COLUMNS].tobytes())
    process = follow(source, out, *options)
    journal = tmp_path / ".scan.ingest.journal"
    time.sleep(0.3)
    assert not out.exists()
    with open(source, "ab") as file:
        file.write(stack[COLUMNS:2 * COLUMNS + 3].tobytes())
    wait_for(lambda: (out / "nexus.json").exists())
    wait_for(lambda: (image_key(out)[:2] == 0).all())
    chosen = penstock_part(out).get("compression", "none")
    assert chosen == "none" if counts > 1 else chosen in ("lz4", "zstd"), journal
    process.kill()
    process.communicate()
    process = follow(source, out, *options)
    with open(source, "ab") as file:
        file.write(stack[2 * COLUMNS + 3:].tobytes())
    done = result(finished(process))
    assert done["compression"] == chosen and done["compression_reason"] and done["resumed_blocks"] == 1
    np.testing.assert_array_equal(stored(out), stack)
    penstock("verify", out)


def test_what_comes_too_late_to_measure(follow, tmp_path):
    """Where the acquisition ends within the first block, what is there decides."""
    instrument = Instrument(tmp_path / "in")
    instrument.write_up_to(5)
    out = tmp_path / "scan"
    done = result(finished(follow(instrument.path, out, "--compress", quiet=0.5), status=3))
    assert done["missing_frames"] == ROWS * COLUMNS - 5 and done["compression"] in ("none", "lz4", "zstd")
    np.testing.assert_array_equal(stored(out)[:5], STACK[:5])
