"""K2 IS: what `penstock ingest` stores against the formula, LiberTEM and py4DSTEM, and what becomes
of every fault on the way to the dataset."""

import json
import warnings

import h5py
import numpy as np
import pytest
import zarr

import k2is_files as k2is


@pytest.fixture(scope="module")
def series():
    """Five frames, numbers 77 to 81, whose sectors begin and end at different blocks."""
    blocks = k2is.sectors(range(77, 82))
    blocks = [own[sector:] for sector, own in enumerate(blocks)]
    blocks[0] = blocks[0][:-3]
    return blocks


@pytest.fixture(scope="module")
def scan_blocks():
    """Eight frames from number 1000 on; the shutter flag rises with 1003."""
    return k2is.sectors(range(1000, 1008), first_flagged=1003)


def stored(dataset):
    return zarr.open_array(dataset / "data.zarr/real", mode="r")[...]


def image_key(dataset):
    return zarr.open_array(dataset / "data.zarr/image_key", mode="r")[...].ravel().tolist()


def sidecar(dataset):
    return json.loads((dataset / "nexus.json").read_text())["entry1"]


def history(dataset):
    return json.loads(sidecar(dataset)["penstock"]["history"]["entry1"]["parameters"])


def messages(dataset):
    return " / ".join(sidecar(dataset)["penstock"]["anomalies"].get("message", []))


def libertem_frames(monkeypatch, path, positions):
    """Frames as LiberTEM's K2ISDataSet gives them, by flat scan position."""
    from libertem.api import Context
    from libertem.executor.inline import InlineJobExecutor
    from libertem.io.dataset.k2is import Sector
    from libertem.udf.raw import PickUDF
    # It looks at every 400th frame for the shutter flag and fails in a file that is shorter.
    search = Sector.first_block_with_search
    monkeypatch.setattr(Sector, "first_block_with_search",
                        lambda self, predicate: search(self, predicate, step=32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = Context(executor=InlineJobExecutor())
        dataset = context.load("k2is", path=str(path))
        roi = np.zeros(dataset.shape.nav, bool)
        roi.ravel()[list(positions)] = True
        return np.asarray(context.run_udf(dataset=dataset, udf=PickUDF(), roi=roi)["intensity"])


def test_series_as_libertem_reads_it(penstock, tmp_path, series, monkeypatch):
    path = k2is.write(tmp_path / "a [1]* b", series)
    penstock("ingest", path, "--to", tmp_path / "out")
    frames = stored(tmp_path / "out")
    assert frames.shape == (3, 1860, 2048) and frames.dtype == np.uint16
    assert int(frames.sum(dtype=np.uint64)) == 23386037250
    for i, number in enumerate((78, 79, 80)):
        np.testing.assert_array_equal(frames[i], k2is.frame(number))
    assert image_key(tmp_path / "out") == [0, 0, 0]
    assert history(tmp_path / "out")["first_frame_evidence"].startswith(
        "frame 0 (number 78) is the first with the shutter flag")
    # LiberTEM takes no brackets in a path.
    plain = k2is.write(tmp_path / "plain", series)
    np.testing.assert_array_equal(frames, libertem_frames(monkeypatch, plain, range(3)))
    penstock("verify", tmp_path / "out", "--source", path)


def test_scan_begins_as_in_libertem(penstock, tmp_path, scan_blocks, monkeypatch):
    path = k2is.write(tmp_path / "k2", scan_blocks, scan=(2, 3))
    info = penstock("info", path).stdout
    assert "frame 3 (number 1003) is the first with the shutter flag" in info
    assert "the scan begins with frame 2 (number 1002)" in info
    penstock("ingest", path, "--to", tmp_path / "out")
    frames = stored(tmp_path / "out")
    assert frames.shape == (2, 3, 1860, 2048)
    expected = np.stack([k2is.frame(1002 + i) for i in range(6)]).reshape(frames.shape)
    np.testing.assert_array_equal(frames, expected)
    np.testing.assert_array_equal(frames.reshape(6, 1860, 2048)[[0, 3, 5]],
                                  libertem_frames(monkeypatch, path, (0, 3, 5)))
    # The offset counts from there.
    penstock("ingest", path, "--to", tmp_path / "later", "--sync-offset", "1", "--missing=zero",
             status=3)
    np.testing.assert_array_equal(stored(tmp_path / "later")[0, 0], k2is.frame(1003))
    assert image_key(tmp_path / "later") == [0, 0, 0, 0, 0, 3]
    penstock("ingest", path, "--to", tmp_path / "earlier", "--sync-offset", "-3", status=3)
    np.testing.assert_array_equal(stored(tmp_path / "earlier")[0, 1], k2is.frame(1000))
    assert image_key(tmp_path / "earlier") == [3, 0, 0, 0, 0, 0]


def test_py4dstem_gives_the_same_active_area(penstock, tmp_path, scan_blocks, capsys):
    py4dstem = pytest.importorskip("py4DSTEM.io.filereaders.read_K2")
    path = k2is.write(tmp_path / "k2", scan_blocks, scan=(2, 2))
    penstock("ingest", path, "--to", tmp_path / "out", status=None)
    frames = stored(tmp_path / "out").reshape(4, 1860, 2048)
    try:
        reader = py4dstem.K2DataArray(str(path), hidden_stripe_noise_reduction=False)
        other = np.asarray(reader._grab_frame(0))  # of the frame with the flag: our second
    except Exception as problem:  # pylint: disable=broad-except
        pytest.skip(f"py4DSTEM does not read the set: {problem!r}")
    capsys.readouterr()
    np.testing.assert_array_equal(frames[1, :1792, :1920], other[:1792, :1920])


def test_lost_block_is_one_invalid_frame(penstock, tmp_path, series):
    blocks = [list(own) for own in series]
    del blocks[4][2 * 32 - 4 + 3]  # block 3 of frame 79 in sector 5
    path = k2is.write(tmp_path / "k2", blocks)
    done = penstock("ingest", path, "--to", tmp_path / "out", status=3)
    assert "sector 5" in done.stdout + done.stderr
    assert image_key(tmp_path / "out") == [0, 3, 0]
    expected = k2is.frame(79)
    expected[:930, 1024 + 192:1024 + 208] = 0
    frames = stored(tmp_path / "out")
    np.testing.assert_array_equal(frames[1], expected)
    np.testing.assert_array_equal(frames[2], k2is.frame(80))
    assert "1 of 32 blocks of frame number 79 are missing" in messages(tmp_path / "out")


def test_damaged_header_and_short_sector(penstock, tmp_path, series):
    blocks = [list(own) for own in series]
    blocks[7][40] = bytes(40) + blocks[7][40][40:]
    blocks[2] = blocks[2][:-40]
    path = k2is.write(tmp_path / "k2", blocks)
    penstock("ingest", path, "--to", tmp_path / "out", status=3)
    frames = stored(tmp_path / "out")
    assert len(frames) == 2  # sector 3 ends inside frame 80
    assert image_key(tmp_path / "out") == [3, 0]
    assert "has no valid header" in messages(tmp_path / "out")
    np.testing.assert_array_equal(frames[1], k2is.frame(79))


def test_lost_frames(penstock, tmp_path):
    blocks = k2is.sectors((5, 6, 9, 10))
    path = k2is.write(tmp_path / "k2", blocks, scan=(1, 6))
    refused = penstock("ingest", path, "--to", tmp_path / "out", status=1)
    assert "frames are missing" in refused.stderr and not (tmp_path / "out").exists()
    penstock("ingest", path, "--to", tmp_path / "out", "--missing=zero", status=3)
    assert image_key(tmp_path / "out") == [0, 0, 3, 3, 0, 0]
    np.testing.assert_array_equal(stored(tmp_path / "out")[0, 4], k2is.frame(9))


def test_rescue_of_an_absent_sector(penstock, tmp_path, series):
    blocks = [list(own) for own in series]
    blocks[3] = []
    path = k2is.write(tmp_path / "k2", blocks)
    refused = penstock("ingest", path, "--to", tmp_path / "out", status=1)
    assert "sector 4 is absent" in refused.stderr and "--rescue" in refused.stderr
    done = penstock("ingest", path, "--to", tmp_path / "out", "--rescue", status=3)
    assert "sector 4 is absent" in done.stdout + done.stderr
    frames = stored(tmp_path / "out")
    expected = k2is.frame(78)
    expected[:, 768:1024] = 0
    np.testing.assert_array_equal(frames[0], expected)
    assert image_key(tmp_path / "out") == [0, 0, 0]
    mask = np.zeros((1860, 2048), np.uint32)
    mask[:, 768:1024] = 1
    with h5py.File(tmp_path / "out/data.nxs") as file:
        detector = file["entry1/measurement/event1/instrument/detector1"]
        assert detector["pixel_mask"].dtype == np.uint32
        np.testing.assert_array_equal(detector["pixel_mask"][...], mask)
        assert bool(detector["pixel_mask_applied"][()])
        np.testing.assert_array_equal(file["entry1/data"][0] if "entry1/data" in file else
                                      frames[0], expected)
    np.testing.assert_array_equal(
        zarr.open_array(tmp_path / "out/data.zarr/pixel_mask", mode="r")[...], mask)
    assert "sector 4" in history(tmp_path / "out")["corrections"][0]
    penstock("verify", tmp_path / "out")
    penstock("verify", tmp_path / "out", "--source", path, "--rescue")


def test_a_sector_file_alone_names_what_is_missing(penstock, tmp_path, series):
    path = k2is.write(tmp_path / "k2", series)
    path.unlink()
    info = penstock("info", tmp_path / "k2/scan_5.bin", status=None)
    assert info.returncode == 3 and "there is no scan_.gtg" in info.stdout + info.stderr
    (tmp_path / "k2/scan_1.bin").unlink()
    assert "sector 1 is absent" in penstock("info", tmp_path / "k2/scan_5.bin", status=1).stderr
