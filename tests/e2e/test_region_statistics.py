"""Statistics of regions, from the sidecar and from the pixels, against NumPy."""

import json

import numpy as np
import pytest

import synthetic

SCAN, SIG = (6, 7), (24, 20)


@pytest.fixture(scope="module", params=["uint8", "int16", "uint16", "uint32", "float32"])
def dataset(request, tmp_path_factory):
    """Blocks of two rows of the scan."""
    options = dict(scan=SCAN, sig=SIG, dtype=request.param, missing=(4,))
    path = tmp_path_factory.mktemp("region") / f"scan_{request.param}"
    synthetic.make_dataset(path, block_bytes=np.dtype(request.param).itemsize * 24 * 20 * 14, **options)
    good = np.ones(SCAN, bool)
    good[np.unravel_index(4, SCAN)] = False
    return path, synthetic.frames(**options), good


def region(penstock, path, *options):
    return json.loads(penstock("region", path, "--json", *options).stdout.splitlines()[-1])


def check(found, pixels):
    pixels = pixels.astype(np.float64)
    assert found["minimum"] == pixels.min() and found["maximum"] == pixels.max()
    assert found["sum"] == pytest.approx(pixels.sum(), rel=1e-12)
    assert found["mean"] == pytest.approx(pixels.mean(), rel=1e-12)
    assert found["standard_deviation"] == pytest.approx(pixels.std(), rel=1e-9)


def histogram(pixels, edges):
    whole = np.floor(np.clip(pixels.astype(np.float64), 0, None))
    counts = np.histogram(whole, np.append(edges[:-1], np.inf))[0]
    return counts


@pytest.mark.parametrize("where, slices, read, source", [
    (None, np.s_[:, :], 0, "sidecar"),
    ("2:4,:", np.s_[2:4, :], 0, "sidecar"),
    ("1:5,:", np.s_[1:5, :], 14, "both"),
    ("::2,1:3", np.s_[::2, 1:3], 6, "pixels")])
def test_what_is_known_is_not_read(penstock, dataset, tmp_path, where, slices, read, source):
    path, frames, good = dataset
    options = ("--region", where) if where else ()
    used = np.zeros(SCAN, bool)
    used[slices] = True
    pixels = frames[used & good]
    for extra, expected_read in ((), read), (("--from-pixels",), int(used.sum())):
        out = tmp_path / ("p" if extra else "s")
        out.mkdir()
        found = region(penstock, path, *options, *extra, "--out", f"{out}/")
        check(found, pixels)
        assert found["frames"] == len(pixels) and found["frames_read"] == expected_read
        assert found["source"] == ({"values": "pixels", "histogram": "pixels"} if extra else
                                   {"values": "sidecar", "histogram": source})
        edges = np.load(out / "histogram_edges.npy")
        np.testing.assert_array_equal(np.load(out / "histogram.npy"), histogram(pixels, edges))
        for name, function in ("minimum", np.min), ("maximum", np.max), ("sum", np.sum):
            values = np.load(out / f"frame_{name}.npy")
            np.testing.assert_allclose(values[used & good],
                                       function(frames[used & good].astype(np.float64), axis=(1, 2)), rtol=1e-12)
            assert np.isnan(values[~(used & good)]).all()


def test_views_need_the_pixels(penstock, dataset, tmp_path):
    path, frames, good = dataset
    found = region(penstock, path, "--crop", "4:20,2:18", "--no-histogram")
    check(found, frames[good][:, 4:20, 2:18])
    assert found["source"] == {"values": "pixels"} and found["pixels"] == 256


def test_statistics_that_are_damaged_are_not_believed(penstock, tmp_path):
    synthetic.make_dataset(tmp_path / "scan", scan=SCAN, sig=SIG)
    target = next(p for p in (tmp_path / "scan/data.zarr/statistics/frame/sum/c").rglob("*") if p.is_file())
    target.chmod(0o644)
    damaged = bytearray(target.read_bytes())
    damaged[5] ^= 1
    target.write_bytes(damaged)
    done = penstock("region", tmp_path / "scan", status=1)
    assert "statistics/frame/sum" in done.stderr
    penstock("region", tmp_path / "scan", "--from-pixels")
