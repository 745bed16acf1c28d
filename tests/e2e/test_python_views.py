"""Views, components and statistics of regions in Python, against NumPy."""

import numpy as np
import pytest

import synthetic

SCAN, SIG = (5, 6), (24, 20)


@pytest.fixture(scope="module", params=["uint16", "float32"])
def opened(request, tmp_path_factory, penstock_package):
    options = dict(scan=SCAN, sig=SIG, dtype=request.param, missing=(4,))
    path = tmp_path_factory.mktemp("python") / "scan"
    synthetic.make_dataset(path, **options)
    good = np.ones(SCAN, bool)
    good[np.unravel_index(4, SCAN)] = False
    return penstock_package.open(path), synthetic.frames(**options), good


def test_views(opened, penstock_package):
    p, (data, frames, good) = penstock_package, opened
    random = np.random.default_rng(6)
    dark, gain = random.integers(0, 30, SIG), random.uniform(0.5, 2, SIG)
    view = p.View(dark=dark, gain=gain, crop=np.s_[4:20, :16], bin=4)
    seen = ((frames - dark.astype(np.float64)) * gain)[..., 4:20, :16].reshape(*SCAN, 4, 4, 4, 4).sum((3, 5))
    assert data.seen(view) == ((4, 4), np.float32)
    masks, total = p.Masks([np.eye(4)]), p.Sum()
    data.run([masks, total], view=view)
    np.testing.assert_allclose(total.result, seen[good].sum(0), rtol=1e-5)
    np.testing.assert_allclose(masks.result[0][good], np.einsum("abii->ab", seen)[good], rtol=1e-4, atol=0.5)
    np.testing.assert_array_equal(data.apply(np.eye(4), view=view), masks.result)
    np.testing.assert_allclose(data.read(view=view).reshape(seen.shape)[good], seen[good], rtol=1e-5, atol=0.01)
    shifts = random.integers(-3, 3, (*SCAN, 2))
    data.run(total, view=p.View(shifts=shifts))
    moved = np.zeros(SIG)
    for position in np.ndindex(SCAN):
        if good[position]:
            dy, dx = shifts[position]
            padded = np.pad(frames[position].astype(np.float64), 3)
            moved += padded[3 + dy:3 + dy + SIG[0], 3 + dx:3 + dx + SIG[1]]
    np.testing.assert_allclose(total.result, moved, rtol=1e-6)


def test_views_that_do_not_fit(opened, penstock_package):
    p, (data, _, _) = penstock_package, opened
    for view in (p.View(bin=7), p.View(dark=np.zeros((3, 3))), p.View(shifts=np.zeros((2, 2))),
                 p.View(gain=np.full(SIG, np.nan)), p.View(crop=np.s_[30:40, :])):
        with pytest.raises(p.Error) as error:
            data.run(p.Sum(), view=view)
        assert error.value.kind == "invalid argument" and data.path in str(error.value)
    for arguments in (dict(crop=np.s_[::2, :]), dict(crop=np.s_[-3:, :]), dict(crop=[slice(3)]), dict(shifts=np.zeros(5))):
        with pytest.raises(ValueError):
            p.View(**arguments)


def test_marked_pixels_and_frames_count_nowhere(opened, penstock_package, tmp_path):
    """Whatever the view: a bin with a marked pixel is left out by every operation, and so is a lost frame."""
    p, (data, frames, good) = penstock_package, opened
    marked = np.zeros(SIG, bool)
    marked[5, 7] = marked[13, 2] = marked[20, 19] = True
    synthetic.make_dataset(tmp_path / "scan", scan=SCAN, sig=SIG, dtype=data.dtype.name, missing=(4,),
                           marked=np.flatnonzero(marked))
    marked_data, dark = p.open(tmp_path / "scan"), np.random.default_rng(3).integers(0, 30, SIG)
    view = p.View(dark=dark, crop=np.s_[4:20, 2:18], bin=2)
    fine = ~marked[4:20, 2:18].reshape(8, 2, 8, 2).any((1, 3))
    assert fine.sum() == 62
    seen = (frames - dark.astype(np.float64))[..., 4:20, 2:18].reshape(*SCAN, 8, 2, 8, 2).sum((3, 5))
    used = seen[good]
    masks, total, moments, extremes = p.Masks("gradient:2,3", (8, 8)), p.Sum(), p.Statistics(), p.Extremes()
    histogram, radial = p.Histogram(50, -500, 4500), p.Radial((4, 4), rings=3, outer=6)
    centre = p.CentreOfMass((8, 8))
    summary = marked_data.run([masks, total, moments, extremes, histogram, radial, centre], view=view)
    assert summary["frames_invalid"] == 1 and total.frames == moments.frames == 29
    y, x = np.mgrid[:8, :8]
    left = used * fine
    np.testing.assert_allclose(masks.result[0][good], (left * (y - 2)).sum((1, 2)), rtol=1e-5, atol=0.05)
    np.testing.assert_allclose(total.result[fine], used.sum(0)[fine], rtol=1e-6)
    np.testing.assert_allclose(moments.std[fine], used.std(0)[fine], rtol=1e-6)
    np.testing.assert_array_equal(extremes.maximum[fine], used.max(0)[fine])
    for image in (moments.mean, moments.std, extremes.minimum):
        assert np.isnan(image[~fine]).all()
    np.testing.assert_array_equal(histogram.counts, np.histogram(used[:, fine], 50, (-500, 4500))[0])
    ring = np.hypot(y - 4, x - 4) // 2
    np.testing.assert_array_equal(radial.pixels, [(fine & (ring == r)).sum() for r in range(3)])
    np.testing.assert_allclose(radial.sums[good][:, 1], left[:, ring == 1].sum(1), rtol=1e-5)
    np.testing.assert_allclose(centre.columns[good], (left * x).sum((1, 2)) / left.sum((1, 2)), rtol=1e-5)
    region = marked_data.summarize(view=view)
    assert region["pixels"] == 62 and region["frames"] == 29 and not region["values_from_sidecar"]
    assert region["maximum"] == used[:, fine].max()
    # Moved about, a marked pixel counts as 0.
    shifts = np.random.default_rng(1).integers(-2, 3, (*SCAN, 2))
    zeroed = np.pad(np.where(marked, 0, frames.astype(np.float64)), ((0, 0), (0, 0), (2, 2), (2, 2)))
    moved = np.zeros(SIG)
    for r, c in zip(*np.nonzero(good)):
        dy, dx = shifts[r, c]
        moved += zeroed[r, c, 2 + dy:2 + dy + SIG[0], 2 + dx:2 + dx + SIG[1]]
    np.testing.assert_allclose(marked_data.sum_frames(view=p.View(shifts=shifts)), moved, rtol=1e-6)


def test_components_leave_out_frames_and_pixels(opened, penstock_package, tmp_path):
    p, (data, frames, good) = penstock_package, opened
    marked = (3, 77, 401)
    synthetic.make_dataset(tmp_path / "scan", scan=SCAN, sig=SIG, dtype=data.dtype.name, missing=(4,), marked=marked)
    for found, left_out in ((data.components(3, oversampling=20, power_iterations=2), ()),
                            (p.open(tmp_path / "scan").components(3, oversampling=20, power_iterations=2), marked)):
        used = frames[good].reshape(-1, SIG[0] * SIG[1]).astype(np.float64)
        used[:, list(left_out)] = 0
        u, s, v = np.linalg.svd(used - used.mean(0), full_matrices=False)
        np.testing.assert_allclose(found["singular_values"], s[:3], rtol=1e-4)
        assert found["components"].shape == (3, *SIG) and found["loadings"].shape == (*SCAN, 3)
        assert found["frames"] == 29 and np.isnan(found["loadings"][~good]).all()
        assert (np.abs(found["components"].reshape(3, -1)[:, list(left_out)]) < 1e-15).all()
        rebuilt = found["loadings"][good] @ found["components"].reshape(3, -1)
        np.testing.assert_allclose(rebuilt, (u[:, :3] * s[:3]) @ v[:3], atol=1e-3 * s[0])


def test_components_of_what_is_no_number(penstock_package, penstock, tmp_path):
    frames = np.random.default_rng(1).standard_normal((4, 5, 8, 9)).astype(np.float32)
    frames[2, 3, 4, 5] = np.nan
    np.save(tmp_path / "frames.npy", frames)
    penstock("ingest", tmp_path / "frames.npy", "--to", tmp_path / "scan")
    data = penstock_package.open(tmp_path / "scan")
    with pytest.raises(penstock_package.Error, match="finite") as error:
        data.components(2)
    assert error.value.kind == "unsupported"
    assert np.isfinite(data.components(2, region=np.s_[:2])["components"]).all()


def test_regions(opened):
    data, frames, good = opened
    used = frames[good].astype(np.float64)
    summary = data.summarize()
    assert summary["values_from_sidecar"] and summary["frames_read"] == 0
    assert summary["maximum"] == used.max() and summary["sum"] == pytest.approx(used.sum(), rel=1e-12)
    part = data.summarize(region=np.s_[1:3, ::2], use_sidecar=False)
    assert part["frames"] == 6 and part["minimum"] == frames[1:3, ::2].min() and part["frames_read"] == 6
    np.testing.assert_allclose(part["frame_sum"][1:3, ::2], frames[1:3, ::2].astype(np.float64).sum((2, 3)))
