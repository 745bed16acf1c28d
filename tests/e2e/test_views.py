"""Corrected, moved, cropped and binned frames: every operation against NumPy on the same frames."""

import json

import numpy as np
import pytest
import scipy.sparse

import synthetic

SCAN, SIG = (5, 6), (24, 20)


@pytest.fixture(scope="module", params=["uint8", "uint16", "int32", "float32"])
def dataset(request, tmp_path_factory):
    options = dict(scan=SCAN, sig=SIG, dtype=request.param, missing=(4,))
    path = tmp_path_factory.mktemp("views") / f"scan_{request.param}"
    synthetic.make_dataset(path, block_bytes=np.dtype(request.param).itemsize * 24 * 20 * 12, **options)
    good = np.ones(SCAN, bool)
    good[np.unravel_index(4, SCAN)] = False
    return path, synthetic.frames(**options), good


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """dark (whole numbers), gain, dead and shifts as arrays and as files."""
    folder, random = tmp_path_factory.mktemp("references"), np.random.default_rng(8)
    dead = np.zeros(SIG, bool)
    dead[0, 0] = dead[7:9, 5:9] = dead[23, 19] = True
    arrays = {"dark": random.integers(0, 40, SIG), "gain": random.uniform(0.5, 2, SIG), "dead": dead,
              "whole": random.integers(-6, 6, (*SCAN, 2)), "parts": random.uniform(-6, 6, (*SCAN, 2))}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return arrays, folder


def see(frames, dark=None, gain=None, dead=None, shifts=None, crop=None, bin=1):
    """The documented meaning, frame by frame, in float64."""
    seen = frames.astype(np.float64)
    if dark is not None:
        seen = seen - dark
    if gain is not None:
        seen = seen * gain
    if dead is not None:
        source = seen.copy()
        for r, c in zip(*np.nonzero(dead)):
            reach = 1
            while True:
                square = np.s_[max(r - reach, 0):r + reach + 1, max(c - reach, 0):c + reach + 1]
                if not dead[square].all():
                    break
                reach += 1
            seen[..., r, c] = source[(..., *square)][..., ~dead[square]].mean(-1)
    if shifts is not None:
        rows, columns = seen.shape[-2:]
        y, x = np.mgrid[:rows, :columns]
        moved = np.empty_like(seen)
        for position in np.ndindex(seen.shape[:-2]):
            dy, dx = shifts[position]
            r0, c0 = int(np.floor(dy)), int(np.floor(dx))
            total = np.zeros((rows, columns))
            for i, u in ((0, 1 - (dy - r0)), (1, dy - r0)):
                for j, v in ((0, 1 - (dx - c0)), (1, dx - c0)):
                    r, c = y + r0 + i, x + c0 + j
                    inside = (r >= 0) & (r < rows) & (c >= 0) & (c < columns)
                    total += u * v * np.where(inside, seen[position][r.clip(0, rows - 1), c.clip(0, columns - 1)], 0)
            moved[position] = total
        seen = moved
    if crop is not None:
        seen = seen[(..., *crop)]
    if bin > 1:
        *scan, rows, columns = seen.shape
        seen = seen.reshape(*scan, rows // bin, bin, columns // bin, bin).sum((-3, -1))
    return seen


# Options of see(), and whether integers stay exact.
VIEWS = [
    (dict(crop=np.s_[3:21, 2:-6], bin=3), True),
    (dict(dark="dark"), True),
    (dict(dark="dark", crop=np.s_[:, 4:], bin=4), True),
    (dict(gain="gain", dark="dark"), False),
    (dict(dead="dead"), False),
    (dict(dark="dark", gain="gain", dead="dead", crop=np.s_[4:20, :], bin=2), False),
    (dict(shifts="whole"), True),
    (dict(shifts="whole", dark="dark", crop=np.s_[4:20, 2:18], bin=2), True),
    (dict(shifts="parts", gain="gain", dead="dead"), False)]


def arguments(options, folder):
    for name, value in options.items():
        if name == "crop":
            value = ",".join(f"{'' if s.start is None else s.start}:{'' if s.stop is None else s.stop}" for s in value)
        elif name != "bin":
            value = folder / f"{value}.npy"
        yield from (f"--{name}", value)


@pytest.mark.parametrize("options, whole", VIEWS, ids=lambda value: "-".join(value) if isinstance(value, dict) else "")
def test_every_operation_sees_the_same_frames(penstock, dataset, references, tmp_path, options, whole):
    path, frames, good = dataset
    arrays, folder = references
    expected = see(frames, **{name: arrays[value] if isinstance(value, str) else value
                              for name, value in options.items()})
    rows, columns = expected.shape[-2:]
    random = np.random.default_rng(2)
    weights = random.integers(-3, 4, (3, rows, columns))
    weights[2] *= random.integers(0, 40, (rows, columns)) == 0  # few pixels, given as a sparse matrix
    np.save(tmp_path / "weights.npy", weights[:2])
    scipy.sparse.save_npz(tmp_path / "sparse.npz", scipy.sparse.csr_array(weights[2].reshape(1, -1)))
    low, high = -1e5, 1e5
    penstock("apply", path, *arguments(options, folder), "--mask", tmp_path / "weights.npy",
             "--mask", tmp_path / "sparse.npz", "--com", "--sum", "--std",
             "--extremes", "--radial", f"{rows // 2},{columns // 2}", "--rings", 4, "--histogram", f"10,{low},{high}",
             "--no-pictures", "--out", tmp_path / "r.zarr", "--threads", 2)
    import zarr
    found = zarr.open_group(tmp_path / "r.zarr", mode="r")
    exact = whole and frames.dtype.itemsize < 4 and frames.dtype.kind in "iu"
    # The documented bounds: of sums over pixels by the sum of the absolute terms, of seen pixels by the largest.
    values = {name: arrays[value] if isinstance(value, str) else value for name, value in options.items()}
    if "dark" in values:
        values["dark"] = -np.abs(values["dark"])
    terms = see(np.abs(frames.astype(np.float64)), **values)
    bound = 0 if exact else 1e-6 * np.einsum("abyx,kyx->kab", terms, np.abs(weights))[:, good]
    scale = terms.max()
    sums = np.einsum("abyx,kyx->kab", expected, weights)
    assert found["masks"].dtype == (np.int64 if exact else np.float64) or frames.dtype == np.int32
    assert (np.abs(found["masks"][:][:, good] - sums[:, good]) <= bound).all()
    used = expected[good]
    np.testing.assert_allclose(found["sum"][:], used.sum(0), rtol=0, atol=0 if exact else 29e-6 * scale)
    np.testing.assert_allclose(found["mean"][:], used.mean(0), rtol=1e-6, atol=1e-6 * scale)
    np.testing.assert_allclose(found["std"][:], used.std(0), rtol=1e-5, atol=1e-5 * scale)
    np.testing.assert_allclose(found["minimum"][:], used.min(0), rtol=0, atol=0 if exact else 1e-6 * scale)
    np.testing.assert_allclose(found["maximum"][:], used.max(0), rtol=0, atol=0 if exact else 1e-6 * scale)
    counts, _ = np.histogram(used, 10, (low, high))
    np.testing.assert_array_equal(found["histogram"][:], counts)
    weight = expected.sum((2, 3))
    centre = (expected * np.arange(rows)[:, None]).sum((2, 3))[good] / weight[good]
    np.testing.assert_allclose(found["com_rows"][:][good], centre, rtol=1e-5, atol=1e-4)
    y, x = np.mgrid[:rows, :columns]
    outer = np.nextafter(np.hypot(rows // 2, columns // 2), np.inf)  # the furthest corner is in the last ring
    ring = np.minimum(np.hypot(y - rows // 2, x - columns // 2) / outer * 4, 3).astype(int)
    for r in range(4):
        np.testing.assert_allclose(found["radial_sums"][:][good][:, r], expected[:, :, ring == r].sum(-1)[good],
                                   rtol=0, atol=0 if exact else 1e-6 * terms[:, :, ring == r].sum(-1).max())


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_the_marked_pixels_can_be_interpolated(penstock, tmp_path, dtype):
    """Without being told so, they are left out, whatever the view."""
    marked = np.zeros(SIG, bool)
    marked[3, 5] = marked[10:12, 7] = marked[23, 19] = True
    options = dict(scan=SCAN, sig=SIG, dtype=dtype, missing=(4,))
    synthetic.make_dataset(tmp_path / "scan", marked=np.flatnonzero(marked), **options)
    frames = synthetic.frames(**options)
    good = np.ones(SCAN, bool)
    good.flat[4] = False
    for name, arguments, seen in (
            ("dead", ("--dead", "pixel_mask"), see(frames, dead=marked)),
            ("plain", (), np.where(marked, 0, frames.astype(np.float64))),
            ("crop", ("--crop", "2:22,4:20"), np.where(marked, 0, frames.astype(np.float64))[..., 2:22, 4:20])):
        penstock("apply", tmp_path / "scan", "--sum", "--mask", "full", *arguments, "--no-pictures",
                 "--out", tmp_path / name)
        total = np.nan_to_num(np.load(tmp_path / f"{name}_sum.npy"))  # float data: NaN where pixels are left out
        np.testing.assert_allclose(total, seen[good].sum(0), rtol=1e-6, atol=1e-3)
        found = np.load(tmp_path / f"{name}_masks.npy").reshape(SCAN)
        np.testing.assert_allclose(found[good], seen.sum((2, 3))[good], rtol=1e-6, atol=0.01)
    synthetic.make_dataset(tmp_path / "unmarked", scan=SCAN, sig=SIG)
    penstock("apply", tmp_path / "unmarked", "--sum", "--dead", "pixel_mask", "--out", tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), synthetic.frames(scan=SCAN, sig=SIG).sum((0, 1)))


@pytest.mark.parametrize("options, words", [
    (("--bin", "7"), "crop the frame to 21 x 14"), (("--bin", "0"), "--bin"), (("--crop", "5:5,:"), "no pixel"),
    (("--crop", "1,2"), "no window"), (("--dark", "small.npy"), "small.npy"), (("--shifts", "small.npy"), "small.npy"),
    (("--gain", "nan.npy"), "finite"), (("--dead", "all.npy"), "every pixel"), (("--dark", "absent.npy"), "absent.npy")])
def test_wrong_views_are_told(penstock, tmp_path, options, words):
    synthetic.make_dataset(tmp_path / "scan", scan=SCAN, sig=SIG)
    np.save(tmp_path / "small.npy", np.zeros((3, 3)))
    np.save(tmp_path / "nan.npy", np.full(SIG, np.nan))
    np.save(tmp_path / "all.npy", np.ones(SIG))
    done = penstock("apply", tmp_path / "scan", "--sum", *options, "--out", tmp_path / "r.npy", status=None, cwd=tmp_path)
    assert done.returncode in (1, 2, 105, 106) and words in done.stderr, done.stderr
    assert not (tmp_path / "r.npy").exists()


def test_views_stand_in_the_provenance(penstock, references, tmp_path):
    _, folder = references
    synthetic.make_dataset(tmp_path / "scan", scan=SCAN, sig=SIG)
    penstock("apply", tmp_path / "scan", "--sum", "--dark", folder / "dark.npy", "--bin", 2, "--out", tmp_path / "r.npy")
    provenance = json.loads((tmp_path / "r.provenance.json").read_text())
    assert provenance["parameters"]["bin"] == 2 and provenance["inputs"][-1]["role"] == "dark"
