"""Principal components against numpy.linalg.svd of the same frames."""

import json

import numpy as np
import pytest


SCAN, SIG, RANK = (12, 15), (24, 20), 4


@pytest.fixture(scope="module", params=["float32", "uint16"])
def dataset(request, penstock, tmp_path_factory):
    """Frames that are a few patterns, and noise well below them."""
    folder, random = tmp_path_factory.mktemp("pca"), np.random.default_rng(11)
    patterns = random.standard_normal((RANK, *SIG))
    weights = random.standard_normal((*SCAN, RANK)) * [400, 200, 90, 40]
    data = 6000 + np.tensordot(weights, patterns, 1) + random.standard_normal((*SCAN, *SIG))
    data = data.round().astype(request.param) if request.param == "uint16" else data.astype(request.param)
    np.save(folder / "scan.npy", data)
    penstock("ingest", folder / "scan.npy", "--to", folder / "scan")
    return folder / "scan", data.astype(np.float64).reshape(-1, SIG[0] * SIG[1])


def load(folder):
    return {path.stem: np.load(path) for path in folder.glob("*.npy")}


def check(found, frames, count, tolerance):
    mean = frames.mean(0)
    u, s, v = np.linalg.svd(frames - mean, full_matrices=False)
    np.testing.assert_allclose(found["mean"].ravel(), mean, rtol=1e-7)  # of float32 bins
    np.testing.assert_allclose(found["singular_values"], s[:count], rtol=0, atol=tolerance * s[0])
    np.testing.assert_allclose(found["explained_variance"], found["singular_values"] ** 2 / (len(frames) - 1))
    np.testing.assert_allclose(found["explained_ratio"], found["singular_values"] ** 2 / (s ** 2).sum(), rtol=1e-6)
    components = found["components"].reshape(count, -1)
    np.testing.assert_allclose(components @ components.T, np.eye(count), atol=1e-9)
    signs = np.sign(np.take_along_axis(v[:count], np.abs(v[:count]).argmax(1)[:, None], 1))
    np.testing.assert_allclose(components, signs * v[:count], atol=300 * tolerance)
    loadings = found["loadings"].reshape(-1, count)
    np.testing.assert_allclose(loadings, u[:, :count] * s[:count] * signs.T, atol=300 * tolerance * s[0])


def test_equals_the_svd(penstock, dataset, tmp_path):
    path, frames = dataset
    (tmp_path / "a").mkdir()
    done = penstock("pca", path, "--components", RANK, "--power-iterations", 1, "--json", "--out", f"{tmp_path}/a/")
    check(load(tmp_path / "a"), frames, RANK, 1e-9)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["command"] == "pca" and float(result["facts"]["explained"].split()[0]) > 99


def test_two_passes_find_the_subspace(penstock, dataset, tmp_path):
    path, frames = dataset
    penstock("pca", path, "--components", RANK, "--no-pictures", "--out", f"{tmp_path}/")
    check(load(tmp_path), frames, RANK, 1e-5)


def test_the_seed_decides(penstock, dataset, tmp_path):
    path, _ = dataset
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        penstock("pca", path, "--components", 2, "--seed", seed, "--threads", 1 + (name == "b"), "--no-pictures",
                 "--out", tmp_path / name)
    assert (tmp_path / "a_components.npy").read_bytes() == (tmp_path / "b_components.npy").read_bytes()
    assert (tmp_path / "a_components.npy").read_bytes() != (tmp_path / "c_components.npy").read_bytes()


def test_parts_of_the_scan_and_views(penstock, dataset, tmp_path):
    path, frames = dataset
    penstock("pca", path, "--components", 3, "--power-iterations", 1, "--region", "2:9,:", "--bin", 2, "--no-pictures",
             "--out", f"{tmp_path}/")
    part = frames.reshape(*SCAN, *SIG)[2:9].reshape(7 * 15, 12, 2, 10, 2).sum((2, 4)).reshape(105, -1)
    found = load(tmp_path)
    assert np.isnan(found["loadings"][0]).all()
    found["loadings"] = found["loadings"][2:9]
    check(found, part, 3, 1e-6)  # of float32 bins


@pytest.mark.parametrize("options", [("--components", "0"), ("--components", "1000"), ("--region", "0:1,0:2")])
def test_too_many_components_are_refused(penstock, dataset, tmp_path, options):
    done = penstock("pca", dataset[0], *options, "--out", f"{tmp_path}/", status=None)
    assert done.returncode != 0 and done.stderr.strip() and not list(tmp_path.glob("*.npy"))
