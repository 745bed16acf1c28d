"""`penstock ingest --follow`: a dataset that grows with its acquisition."""

import json
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest
import zarr

from acquisitions import events, frames, hdr_text, mib_bytes
from waiting import wait_for

ROWS, COLUMNS, SIDE = 8, 16, 32
BLOCK = 2 * COLUMNS * SIDE * SIDE * 2  # two scan rows
STACK = frames(ROWS * COLUMNS, SIDE, SIDE)
RECORD = 384 + SIDE * SIDE * 2


class Instrument:
    """Writes a MIB file piece by piece."""

    def __init__(self, folder, header=True):
        folder.mkdir(exist_ok=True)
        self.path = folder / "scan.mib"
        if header:
            (folder / "scan.hdr").write_text(hdr_text(ROWS * COLUMNS, COLUMNS))
        self.data = mib_bytes(STACK)
        self.file = open(self.path, "wb")

    def write_up_to(self, frame, more_bytes=0):
        end = frame * RECORD + more_bytes
        self.file.write(self.data[self.file.tell():end])
        self.file.flush()


@pytest.fixture
def follow(penstock):
    """An acquisition that is complete ends following at once: `quiet` is longer than any pause of a
    busy machine where the acquisition is to become complete."""
    started = []

    def start(source, out, *options, quiet=300):
        process = subprocess.Popen(
            [str(penstock.binary), "ingest", source, "--to", out, "--follow", "--quiet",
             str(quiet), "--block-size", str(BLOCK), "--json", *map(str, options)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def state(out):
    return json.loads((out / "nexus.json").read_text())["entry1"]["penstock"]["state"]


def image_key(out):
    return zarr.open_array(out / "data.zarr/image_key", mode="r")[...]


def stored(out):
    return zarr.open_array(out / "data.zarr/real", mode="r")[...].reshape(-1, SIDE, SIDE)


def blocks(out):
    return sorted((out / "data.zarr/real/c").glob("*/0/0/0"))


def finished(process, status=0):
    out, error = process.communicate(timeout=240)
    assert process.returncode == status, out + error
    return out


def assert_same_data(a, b):
    """Blocks, image_key, statistics and checksums, byte by byte."""
    names = sorted(str(p.relative_to(a)) for p in (a / "data.zarr").rglob("*") if p.is_file())
    assert names == sorted(str(p.relative_to(b)) for p in (b / "data.zarr").rglob("*")
                           if p.is_file())
    for name in names:
        if name.endswith("zarr.json"):
            continue
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    sources = [json.loads((x / "nexus.json").read_text())["entry1"]["penstock"]["sources"]
               for x in (a, b)]
    assert sources[0] == sources[1]


def test_blocks_appear_as_they_fill_and_the_end_is_that_of_an_ingest(penstock, follow, tmp_path):
    instrument = Instrument(tmp_path / "in")
    instrument.write_up_to(3)
    out = tmp_path / "scan"
    process = follow(instrument.path, out)
    wait_for(lambda: (out / "nexus.json").exists())
    assert state(out) == "growing" and (image_key(out) == 3).all()

    instrument.write_up_to(2 * COLUMNS + 5, 100)
    wait_for(lambda: (image_key(out)[:2] == 0).all())
    assert (image_key(out)[2:] == 3).all() and len(blocks(out)) == 1
    np.testing.assert_array_equal(stored(out)[:2 * COLUMNS], STACK[:2 * COLUMNS])
    assert not stored(out)[2 * COLUMNS:].any()
    key = "entry1/measurement/event1/instrument/detector1/image_key"
    wait_for(lambda: (h5py.File(out / "data.nxs")[key][:2] == 0).all())
    with h5py.File(out / "data.nxs") as file:
        seen = file["entry1/measurement/event1/image1/image_4d/real"][...].reshape(STACK.shape)
        np.testing.assert_array_equal(seen[:2 * COLUMNS], STACK[:2 * COLUMNS])
        assert not seen[2 * COLUMNS:].any()

    # The program's own readers see the part that is there, and only that.
    penstock("verify", out)
    penstock("apply", out, "--mask", "disk:16,16,40", "--out", tmp_path / "sum.npy")
    total = np.load(tmp_path / "sum.npy").reshape(-1)
    np.testing.assert_allclose(total[:2 * COLUMNS], STACK[:2 * COLUMNS].sum(axis=(1, 2)))
    assert "growing" in penstock("show", out).stdout
    penstock("verify", out, "--source", instrument.path)
    busy = penstock("ingest", instrument.path, "--to", out, "--missing", "zero", status=1)
    assert "another ingest" in busy.stderr

    for row in (3, 5, ROWS):
        instrument.write_up_to(row * COLUMNS)
        time.sleep(0.2)
    done = events(type("Done", (), {"stdout": finished(process)}), "result")[0]
    assert done["missing_frames"] == 0 and done["anomalies"] == []
    assert state(out) == "sealed"
    np.testing.assert_array_equal(stored(out), STACK)
    penstock("verify", out)
    penstock("verify", out, "--source", instrument.path)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []
    assert all(p.stat().st_nlink == 1 for p in blocks(out))

    penstock("ingest", instrument.path, "--to", tmp_path / "plain", "--block-size", BLOCK)
    assert_same_data(out, tmp_path / "plain")


def test_a_reader_never_sees_a_valid_frame_without_its_block(follow, tmp_path):
    instrument = Instrument(tmp_path / "in")
    instrument.write_up_to(1)
    out = tmp_path / "scan"
    process = follow(instrument.path, out)
    wait_for(lambda: (out / "nexus.json").exists())
    for frame in range(1, ROWS * COLUMNS + 1, 3):
        instrument.write_up_to(min(frame, ROWS * COLUMNS))
        for _ in range(3):
            key = np.fromfile(out / "data.zarr/image_key/c/0/0", "<i4").reshape(ROWS, COLUMNS)
            seen = stored(out)
            for position in np.flatnonzero(key.ravel() == 0):
                np.testing.assert_array_equal(seen[position], STACK[position])
    instrument.write_up_to(ROWS * COLUMNS)
    finished(process)


@pytest.mark.parametrize("how", ["quiet", "SIGTERM", "SIGINT"])
def test_an_aborted_acquisition_is_valid_and_marked(penstock, follow, tmp_path, how):
    instrument = Instrument(tmp_path / "in")
    taken = 3 * COLUMNS + 7
    instrument.write_up_to(taken, 50)
    out = tmp_path / "scan"
    process = follow(instrument.path, out, quiet=1.0 if how == "quiet" else 300)
    wait_for(lambda: (out / "nexus.json").exists() and (image_key(out)[:2] == 0).all())
    if how != "quiet":
        process.send_signal(getattr(signal, how))
    text = finished(process, status=3)
    done = events(type("Done", (), {"stdout": text}), "result")[0]
    assert done["missing_frames"] == ROWS * COLUMNS - taken
    assert any("not complete when following it ended" in a["message"] for a in done["anomalies"])
    assert state(out) == "sealed"
    np.testing.assert_array_equal(image_key(out).ravel() == 0,
                                  np.arange(ROWS * COLUMNS) < taken)
    np.testing.assert_array_equal(stored(out)[:taken], STACK[:taken])
    penstock("verify", out)
    penstock("ingest", instrument.path, "--to", tmp_path / "plain", "--block-size", BLOCK,
             "--missing", "zero", status=3)
    assert_same_data(out, tmp_path / "plain")


@pytest.mark.parametrize("options", [(), ("--compress=zstd",)], ids=["plain", "compressed"])
def test_killed_at_any_moment_it_continues(penstock, follow, tmp_path, options):
    instrument = Instrument(tmp_path / "in")
    instrument.write_up_to(1)
    out = tmp_path / "scan"
    # The last frames come after the last kill: what is killed is never complete.
    for step, frame in enumerate((20, 40, 70, 100, ROWS * COLUMNS - 1)):
        process = follow(instrument.path, out, *options)
        instrument.write_up_to(frame)
        time.sleep((0.05, 0.3, 0.15, 0.6, 0.1)[step])
        if step == 2:
            wait_for(lambda: (out / "nexus.json").exists() and (image_key(out)[:2] == 0).all())
        process.kill()
        process.communicate()
        if (out / "nexus.json").exists():
            assert state(out) == "growing"
            penstock("verify", out)
    process = follow(instrument.path, out, *options)
    instrument.write_up_to(ROWS * COLUMNS)
    done = events(type("Done", (), {"stdout": finished(process)}), "result")[0]
    assert done["resumed_blocks"] >= 1
    penstock("verify", out)
    penstock("ingest", instrument.path, "--to", tmp_path / "plain", "--block-size", BLOCK, *options)
    assert_same_data(out, tmp_path / "plain")
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_another_acquisition_in_the_same_file_is_not_continued(penstock, follow, tmp_path):
    instrument = Instrument(tmp_path / "in")
    instrument.write_up_to(2 * COLUMNS)
    out = tmp_path / "scan"
    process = follow(instrument.path, out)
    wait_for(lambda: (out / "nexus.json").exists() and (image_key(out)[:2] == 0).all())
    process.kill()
    process.wait()
    with open(instrument.path, "r+b") as file:  # the same inode, other frames
        file.write(mib_bytes(frames(2 * COLUMNS, SIDE, SIDE, seed=9)))
    done = follow(instrument.path, out)
    assert "exists" in done.communicate(timeout=240)[1]
    assert done.returncode == 1
    assert state(out) == "growing"


def test_raw_files_can_be_followed_when_the_scan_is_given(penstock, follow, tmp_path):
    source, out = tmp_path / "scan.raw", tmp_path / "scan"
    options = ["--format", "raw", "--sig-shape", f"{SIDE},{SIDE}", "--dtype", "uint16"]
    with open(source, "wb") as file:
        file.write(STACK[:5].tobytes())
        file.flush()
        refused = follow(source, out, *options, quiet=0.3)
        assert "--scan-shape" in refused.communicate(timeout=240)[1] and refused.returncode == 2
        process = follow(source, out, *options, "--scan-shape", f"{ROWS},{COLUMNS}")
        wait_for(lambda: (out / "nexus.json").exists())
        file.write(STACK[5:].tobytes())
    finished(process)
    np.testing.assert_array_equal(stored(out), STACK)
    penstock("ingest", source, "--to", tmp_path / "plain", *options, "--scan-shape",
             f"{ROWS},{COLUMNS}", "--block-size", BLOCK)
    assert_same_data(out, tmp_path / "plain")


def test_the_first_frame_is_waited_for(follow, tmp_path):
    out = tmp_path / "scan"
    process = follow(tmp_path / "in/scan.mib", out)
    time.sleep(0.2)
    instrument = Instrument(tmp_path / "in")
    instrument.write_up_to(0, 100)
    time.sleep(0.2)
    instrument.write_up_to(ROWS * COLUMNS)
    finished(process)
    np.testing.assert_array_equal(stored(out), STACK)


def test_refusals(penstock, tmp_path):
    Instrument(tmp_path / "in").write_up_to(ROWS * COLUMNS)
    source, out = tmp_path / "in/scan.mib", tmp_path / "scan"
    for options in (["--replace"], ["--missing", "skip"], ["--dry-run"]):
        penstock("ingest", source, "--to", out, "--follow", *options, status=2)
    penstock("ingest", tmp_path / "in", "--to", f"{tmp_path}/store/", "--follow", status=2)
    missing = penstock("ingest", tmp_path / "none.mib", "--to", out, "--follow", "--quiet", 0.2,
                       status=1)
    assert "none.mib" in missing.stderr


def test_formats_that_do_not_grow_are_refused_at_once(penstock, tmp_path):
    np.save(tmp_path / "a.npy", STACK.reshape(ROWS, COLUMNS, SIDE, SIDE))
    refused = penstock("ingest", tmp_path / "a.npy", "--to", tmp_path / "scan", "--follow", status=2)
    assert "cannot be followed" in refused.stderr and "npy" in refused.stderr
    assert not (tmp_path / "scan").exists()


def test_following_with_nan(penstock, follow, tmp_path):
    """Blocks that are not there yet are fill value; the sealed dataset has NaN."""
    source, out = tmp_path / "scan.raw", tmp_path / "scan"
    stack = STACK.astype("<f4")
    options = ["--format", "raw", "--sig-shape", f"{SIDE},{SIDE}", "--dtype", "float32",
               "--scan-shape", f"{ROWS},{COLUMNS}", "--missing", "nan"]
    taken = 3 * COLUMNS + 7
    source.write_bytes(stack[:taken].tobytes())
    finished(follow(source, out, *options, quiet=1), status=3)
    pixels = stored(out)
    np.testing.assert_array_equal(pixels[:taken], stack[:taken])
    assert np.isnan(pixels[taken:]).all() and (image_key(out).ravel()[taken:] == 3).all()
    penstock("ingest", source, "--to", tmp_path / "plain", *options, "--block-size", BLOCK, status=3)
    assert_same_data(out, tmp_path / "plain")
    source.write_bytes(STACK[:taken].tobytes())
    refused = penstock("ingest", source, "--to", tmp_path / "integers", "--follow", *options[:4],
                       "--dtype", "uint16", *options[6:], status=2)
    assert "integers cannot be NaN" in refused.stderr
