"""Regions, extremes, histograms and rings from the command line, against NumPy."""

import json

import numpy as np
import pytest
import zarr

from synthetic import make_dataset


@pytest.fixture(scope="module", params=["uint16", "float32"])
def dataset(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("more") / f"scan_{request.param}"
    size = np.dtype(request.param).itemsize * 24 * 20
    make_dataset(path, scan=(6, 7), sig=(24, 20), dtype=request.param, block_bytes=14 * size, missing=(3, 20))
    return path


def frames_of(dataset):
    """The frames, and where image_key says that they are good."""
    group = zarr.open_group(dataset / "data.zarr", mode="r")
    return group["real"][:], group["image_key"][:] == 0


def test_extremes_and_histogram_equal_numpy(penstock, dataset, tmp_path):
    data, good = frames_of(dataset)
    penstock("apply", dataset, "--extremes", "--histogram", "50,3,700", "--histogram-region",
             "rectangle:4,5,20,18", "--out", tmp_path / "r")
    assert np.array_equal(np.load(tmp_path / "r_minimum.npy"), data[good].min(axis=0))
    assert np.array_equal(np.load(tmp_path / "r_maximum.npy"), data[good].max(axis=0))
    part = data[good][:, 4:20, 5:18].astype(np.float64)
    counts, edges = np.histogram(part, bins=50, range=(3, 700))
    assert np.allclose(np.load(tmp_path / "r_histogram_edges.npy"), edges, rtol=1e-15)
    assert np.array_equal(np.load(tmp_path / "r_histogram.npy"), counts)
    outside = [(part < 3).sum(), (part > 700).sum(), 0]
    assert np.load(tmp_path / "r_histogram_outside.npy").tolist() == outside


def test_rings_equal_numpy(penstock, dataset, tmp_path):
    data, good = frames_of(dataset)
    penstock("radial", dataset, "--centre", "11.3,9.7,1,10", "--rings", "12", "--sectors", "3",
             "--radial-mask", "rectangle:2,0,24,20", "--out", tmp_path / "r")
    rows, columns = np.mgrid[0:24, 0:20]
    ring = np.floor((np.hypot(rows - 11.3, columns - 9.7) - 1) / 9 * 12).astype(int)
    turn = (np.arctan2(rows - 11.3, columns - 9.7) / (2 * np.pi)) % 1
    sector = np.floor(turn * 3).astype(int)
    wanted = (ring >= 0) & (ring < 12) & (rows >= 2)
    sums = np.load(tmp_path / "r_radial_sums.npy")
    assert sums.shape == (6, 7, 3, 12)
    pixels = np.zeros((3, 12), np.int64)
    for s in range(3):
        for r in range(12):
            here = wanted & (ring == r) & (sector == s)
            pixels[s, r] = here.sum()
            expected = data[:, :, here].astype(np.float64).sum(axis=-1)
            assert np.allclose(sums[good][:, s, r], expected[good], rtol=1e-6)
    assert np.array_equal(np.load(tmp_path / "r_radial_pixels.npy"), pixels)
    assert np.allclose(np.load(tmp_path / "r_radial_radii.npy"), 1 + (np.arange(12) + 0.5) * 0.75)


def test_rings_of_a_series_can_be_watched(penstock, tmp_path):
    """Frames x sectors x rings is no scan of frames x sectors."""
    path = make_dataset(tmp_path / "series", scan=(9,), sig=(24, 20), dtype="uint16")
    done = penstock("radial", path, "--centre", "11.3,9.7", "--rings", "5", "--sectors", "4", "--live-always",
                    "--out", tmp_path / "r")
    assert "9 of 9 frames" in done.stderr
    assert np.load(tmp_path / "r_radial_sums.npy").shape == (9, 4, 5)


def test_a_region_is_what_numpy_slices(penstock, dataset, tmp_path):
    data, good = frames_of(dataset)
    done = penstock("apply", dataset, "--sum", "--mask", "full", "--region", "1:5:2,-4:", "--json", "--out",
                    tmp_path / "r")
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["frames"], result["frames_invalid"], result["complete"]) == (8, 0, True)
    part = data[1:5:2, -4:].astype(np.float64)
    assert np.allclose(np.load(tmp_path / "r_sum.npy"), part.sum(axis=(0, 1)))
    masks = np.load(tmp_path / "r_masks.npy")
    wanted = np.zeros((6, 7), bool)
    wanted[1:5:2, -4:] = True
    assert np.allclose(masks[wanted], data[wanted].astype(np.float64).sum(axis=(1, 2)))
    assert np.all((masks[~wanted] == 0) | np.isnan(masks[~wanted].astype(float)))

    np.save(tmp_path / "points.npy", np.array([[0, 1], [5, 6], [2, 2]]))
    penstock("apply", dataset, "--sum", "--region", tmp_path / "points.npy", "--out", tmp_path / "p.npy")
    expected = sum(data[at].astype(np.float64) for at in [(0, 1), (5, 6), (2, 2)])
    assert np.allclose(np.load(tmp_path / "p.npy"), expected)


@pytest.mark.parametrize("options", [
    ("--region", "9:,:"), ("--region", "1,2,3"), ("--histogram", "10,5"), ("--histogram", "0,1,2"),
    ("--radial", "1"), ("--radial", "1,2,5,3"), ("--rings", "0", "--radial", "1,1"), ("--deadline", "-1")])
def test_wrong_use_is_told(penstock, dataset, tmp_path, options):
    done = penstock("apply", dataset, "--sum", *options, "--out", tmp_path / "r", status=None)
    assert done.returncode not in (0, None) and done.stderr.strip()
    assert not list(tmp_path.iterdir())


def test_the_field_of_centres_is_turned_and_integrated(penstock, tmp_path):
    """Bright disks that atoms pull aside, on a detector that is turned by 25 degrees."""
    scan, sig = (20, 24), (32, 32)
    rows, columns = np.mgrid[:scan[0], :scan[1]].astype(float)
    y, x = np.zeros(scan), np.zeros(scan)
    for r, c in [(6, 7), (13, 16)]:
        well = 2.5 * np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / 8)
        y -= well * (rows - r)
        x -= well * (columns - c)
    turn = np.deg2rad(-25)
    dx, dy = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    j, i = np.mgrid[:sig[0], :sig[1]]
    disks = np.hypot(j - (16 + dy)[..., None, None], i - (16 + dx)[..., None, None])
    data = (1000 / (1 + np.exp((disks - 7) * 2))).astype(np.uint16)
    np.save(tmp_path / "scan.npy", data)
    penstock("ingest", tmp_path / "scan.npy", "--to", tmp_path / "scan")
    done = penstock("com", tmp_path / "scan", "--correct", "auto", "--integrate", "--json", "--out", tmp_path / "r")
    facts = json.loads(done.stdout.splitlines()[-1])["facts"]
    assert abs(float(facts["rotation"].split()[0]) - 25) < 2 and "flipped" not in facts["rotation"]
    field_rows, field_columns = np.load(tmp_path / "r_field_rows.npy"), np.load(tmp_path / "r_field_columns.npy")
    assert np.corrcoef(field_rows.ravel(), y.ravel())[0, 1] > 0.98
    assert np.corrcoef(field_columns.ravel(), x.ravel())[0, 1] > 0.98
    potential = np.load(tmp_path / "r_integrated.npy")
    assert np.unravel_index(potential.argmax(), scan) in [(6, 7), (13, 16)]
    penstock("com", tmp_path / "scan", "--correct", "25", "--out", tmp_path / "s")
    assert np.abs(np.load(tmp_path / "s_field_curl.npy")).max() < np.abs(np.load(tmp_path / "s_field_divergence.npy")).max() / 3


def test_a_device_that_is_not_there(penstock, dataset, tmp_path):
    penstock("apply", dataset, "--sum", "--out", tmp_path / "cpu.npy")
    # Tests run without a device, and most builds have no back end for one.
    if penstock("apply", dataset, "--sum", "--device", "cuda", "--out", tmp_path / "cuda.npy", status=None).returncode == 0:
        pytest.skip("there is a CUDA device")
    refused = penstock("apply", dataset, "--sum", "--device", "cuda", "--out", tmp_path / "cuda.npy", status=None)
    assert refused.returncode == 1
    assert "back end for CUDA" in refused.stderr or "no CUDA device" in refused.stderr
    assert not (tmp_path / "cuda.npy").exists()
    penstock("apply", dataset, "--sum", "--device", "auto", "--out", tmp_path / "auto.npy")
    assert (tmp_path / "auto.npy").read_bytes() == (tmp_path / "cpu.npy").read_bytes()
    wrong = penstock("apply", dataset, "--sum", "--device", "gpu", "--out", tmp_path / "w.npy", status=None)
    assert wrong.returncode != 0 and "auto, cpu or cuda" in wrong.stderr
