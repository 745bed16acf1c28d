"""Sparse, complex and detector-shaped masks from the command line, against NumPy and scipy.sparse."""

import numpy as np
import pytest
import scipy.sparse

from synthetic import frames, make_dataset

SCAN, SIG = (5, 6), (40, 32)
ROWS, COLUMNS = np.mgrid[:SIG[0], :SIG[1]]


@pytest.fixture(scope="module", params=["uint8", "uint16", "int32", "float32"])
def dataset(request, tmp_path_factory):
    options = dict(scan=SCAN, sig=SIG, dtype=request.param, missing=(4,))
    path = tmp_path_factory.mktemp("masks") / f"scan_{request.param}"
    make_dataset(path, **options)
    good = np.ones(SCAN, bool)
    good[np.unravel_index(4, SCAN)] = False
    return path, frames(**options), good


def apply(penstock, dataset, tmp_path, *masks):
    penstock("apply", dataset, *(part for mask in masks for part in ("--mask", mask)), "--no-pictures",
             "--out", tmp_path / "r.npy")
    return np.load(tmp_path / "r.npy")


def check(found, data, masks, good):
    masks = np.asarray(masks)
    if data.dtype.kind in "iu" and masks.dtype.kind in "iu":
        assert found.dtype == np.int64
        expected = np.einsum("abyx,kyx->kab", data.astype(np.int64), masks.astype(np.int64))
        np.testing.assert_array_equal(found[:, good], expected[:, good])
    else:
        expected = np.einsum("abyx,kyx->kab", data.astype(np.float64), masks)
        scale = np.einsum("abyx,kyx->kab", np.abs(data.astype(np.float64)), np.abs(masks))
        assert np.all(np.abs(found - expected)[:, good] <= 1e-6 * scale[:, good])
        assert np.isnan(found[:, ~good]).all()


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_matrices_of_scipy(penstock, dataset, tmp_path, form):
    path, data, good = dataset
    random = np.random.default_rng(3)
    dense = random.integers(-9, 9, (5, *SIG)) * (random.random((5, *SIG)) < 0.03)
    dense[4] = random.integers(1, 4, SIG)  # no sparse one at all
    scipy.sparse.save_npz(tmp_path / "m.npz", scipy.sparse.coo_matrix(dense.reshape(5, -1)).asformat(form))
    check(apply(penstock, path, tmp_path, tmp_path / "m.npz"), data, dense, good)


def test_sparse_dense_and_complex_masks_together(penstock, dataset, tmp_path):
    path, data, good = dataset
    random = np.random.default_rng(4)
    waves = (random.standard_normal((2, *SIG)) + 1j * random.standard_normal((2, *SIG))).astype(np.complex64)
    np.save(tmp_path / "waves.npy", waves)
    few = waves * (random.random(waves.shape) < 0.02)
    scipy.sparse.save_npz(tmp_path / "few.npz", scipy.sparse.csr_matrix(few.reshape(2, -1)))
    found = apply(penstock, path, tmp_path, tmp_path / "waves.npy", "disk:20,16,5", tmp_path / "few.npz")
    assert found.dtype == np.complex128
    disk = np.hypot(ROWS - 20, COLUMNS - 16) <= 5
    check(found, data, np.concatenate([waves, disk[None], few]), good)


def test_detectors(penstock, dataset, tmp_path):
    path, data, good = dataset
    distance = np.hypot(ROWS - 20, COLUMNS - 16)
    angle = np.arctan2(ROWS - 20, COLUMNS - 16)
    ring = (distance > 4) & (distance <= 12)
    quadrant = np.floor(((np.rad2deg(angle) - 30) % 360) / 90).astype(int)
    masks = [(ring & (quadrant == k)).astype(int) for k in range(4)]
    inside = distance <= 9
    masks += [(ROWS - 20) * inside, (COLUMNS - 16) * inside]
    found = apply(penstock, path, tmp_path, "sectors:20,16,4,12,4,30", "gradient:20,16,9")
    check(found, data, masks, good)
    waves = [ring * np.exp(-2j * angle)]
    check(apply(penstock, path, tmp_path, "harmonic:20,16,4,12,2", "full")[:1], data, waves, good)


def test_lattices(penstock, dataset, tmp_path):
    path, data, good = dataset
    disks = []
    for h in range(-2, 3):
        for k in range(-2, 3):
            disk = np.hypot(ROWS - (20 + 9 * h - k), COLUMNS - (16 + h + 8 * k)) <= 2.3
            if disk.any():
                disks.append(disk.astype(int))
    check(apply(penstock, path, tmp_path, "lattice:20,16,9,1,-1,8,-2,2,2.3"), data, disks, good)
    union = apply(penstock, path, tmp_path, "lattice-union:20,16,9,1,-1,8,-2,2,2.3")
    check(union[None], data, [np.max(disks, axis=0)], good)


@pytest.mark.parametrize("content", ["text", "no-matrix", "bsr", "columns", "torn"])
def test_files_that_are_no_stack_of_masks(penstock, dataset, tmp_path, content):
    path, data, _ = dataset
    name = tmp_path / "m.npz"
    if content == "text":
        name.write_text("no archive")
    elif content == "no-matrix":
        np.savez(name, a=np.zeros(3))
    elif content == "bsr":
        scipy.sparse.save_npz(name, scipy.sparse.bsr_matrix(np.eye(4)))
    elif content == "columns":
        scipy.sparse.save_npz(name, scipy.sparse.csr_matrix(np.eye(4)))
    else:
        scipy.sparse.save_npz(name, scipy.sparse.csr_matrix(np.ones((3, data[0, 0].size))), compressed=False)
        torn = bytearray(name.read_bytes())
        torn[len(torn) // 2] ^= 0xff
        name.write_bytes(torn)
    done = penstock("apply", path, "--mask", name, "--out", tmp_path / "r.npy", status=None)
    assert done.returncode in (1, 2) and "m.npz" in done.stderr, done.stderr
    assert not (tmp_path / "r.npy").exists()
