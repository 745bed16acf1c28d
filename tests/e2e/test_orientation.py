"""`penstock ingest --verify-orientation`: frames of a known pattern, the right way round or refused."""

import json

import numpy as np
import pytest

from acquisitions import lines, mib_bytes
from ingesting import leftovers, raw_options, write_raw

# What the frame has to undergo to be displayed, by the names of --orientation.
DISPLAY = {
    "identity": lambda a: a,
    "flip-rows": lambda a: a[::-1],
    "flip-columns": lambda a: a[:, ::-1],
    "rotate-180": lambda a: a[::-1, ::-1],
    "transpose": lambda a: a.T,
    "rotate-90": np.rot90,
    "rotate-270": lambda a: np.rot90(a, 3),
    "anti-transpose": lambda a: a[::-1, ::-1].T,
}
MATRIX = {"identity": [[1, 0], [0, 1]], "rotate-90": [[0, -1], [1, 0]]}


def letter_f(rows=32, columns=32):
    image = np.zeros((rows, columns))
    image[4:28, 8:12] = image[4:8, 8:24] = image[14:18, 8:19] = 1
    return image


def acquisition(path, pattern, count=20, dtype="<u2", seed=5):
    """Noisy frames of the pattern."""
    random = np.random.default_rng(seed)
    frames = random.poisson(2 + 6 * pattern, (count, *pattern.shape)).astype(dtype)
    write_raw(path, frames)
    return raw_options(frames)


def reference_file(path, image):
    np.save(path, image)
    return path


def entry(out):
    return json.loads((out / "nexus.json").read_text())["entry1"]["penstock"]


def verified(out):
    last = entry(out)["history"]["entry1"]["parameters"]
    return json.loads(last).get("verified_orientation")


@pytest.mark.parametrize("name", DISPLAY)
def test_each_orientation_is_told_from_the_others(penstock, tmp_path, name):
    stored = letter_f()
    options = acquisition(tmp_path / "a.raw", stored)
    reference = reference_file(tmp_path / "shown.npy", DISPLAY[name](stored).astype("<u1"))
    command = ["ingest", tmp_path / "a.raw", "--to", tmp_path / "out", *options,
               "--verify-orientation", reference]
    right = [*command, "--orientation", name]
    if name != "identity":
        refused = penstock(*command, status=1)
        assert f"{name} fits" in refused.stderr and f"--orientation {name} makes it right" in refused.stderr
        assert refused.stderr == penstock(*command, "--dry-run", status=1).stderr
        other = "flip-rows" if name == "flip-columns" else "flip-columns"
        assert f"--orientation {name} makes" in penstock(*command, "--orientation", other,
                                                         status=1).stderr
    assert not (tmp_path / "out").exists() and leftovers(tmp_path) == []
    plan = lines(penstock(*right, "--dry-run", "--json").stdout)[-1]
    assert plan["verified_orientation"]["orientation"] == name
    assert not (tmp_path / "out").exists()
    done = penstock(*right)
    assert f"verified: {name} fits shown.npy" in done.stderr
    history = verified(tmp_path / "out")
    assert history["orientation"] == name and history["frames"] == 16
    assert history["correlation"] > 0.9 > history["next_correlation"]
    assert history["next_orientation"] != name
    orientation = entry(tmp_path / "out")["orientation"]
    assert orientation["stored_to_display_source"] == "user"
    if name in MATRIX:
        assert orientation["stored_to_display"] == MATRIX[name]
    penstock("verify", tmp_path / "out")


def test_the_vendors_default_is_in_force_unless_the_user_says_otherwise(penstock, tmp_path):
    stored = letter_f()
    frames = np.random.default_rng(3).poisson(2 + 6 * stored, (9, 32, 32)).astype("<u2")
    (tmp_path / "a.mib").write_bytes(mib_bytes(frames))
    shown = reference_file(tmp_path / "shown.npy", stored[::-1])  # row 0 at the bottom
    penstock("ingest", tmp_path / "a.mib", "--to", tmp_path / "out", "--verify-orientation", shown)
    assert verified(tmp_path / "out")["orientation"] == "flip-rows"
    assert entry(tmp_path / "out")["orientation"]["stored_to_display_source"] == "vendor-default"
    refused = penstock("ingest", tmp_path / "a.mib", "--to", tmp_path / "b", "--verify-orientation",
                       reference_file(tmp_path / "as_stored.npy", stored), status=1)
    assert "the format's own" in refused.stderr and "--orientation identity makes" in refused.stderr
    refused = penstock("ingest", tmp_path / "a.mib", "--to", tmp_path / "b", "--verify-orientation",
                       shown, "--orientation", "identity", status=1)
    assert "--orientation flip-rows makes it right" in refused.stderr


def test_a_detector_that_is_not_square(penstock, tmp_path):
    stored = letter_f(32, 40)
    options = acquisition(tmp_path / "a.raw", stored)
    for name in ("flip-columns", "rotate-90"):
        reference = reference_file(tmp_path / "r.npy", DISPLAY[name](stored))
        refused = penstock("ingest", tmp_path / "a.raw", "--to", tmp_path / "out", *options,
                           "--verify-orientation", reference, status=1)
        assert f"--orientation {name} makes it right" in refused.stderr
        penstock("ingest", tmp_path / "a.raw", "--to", tmp_path / name, *options,
                 "--verify-orientation", reference, "--orientation", name)


@pytest.mark.parametrize("pattern, said", [
    (np.ones((32, 32)), "all pixels are equal"),
    (np.hypot(*np.mgrid[-15.5:16, -15.5:16]) < 9, "it is the same under"),
    (letter_f() + letter_f()[::-1, ::-1], "it is the same under rotate-180"),
    (letter_f()[:, :31], "shape 32,31"),
    (np.stack([letter_f(), letter_f()]), "shape 2,32,32"),
    (letter_f() + 1j, "complex"),
])
def test_references_that_cannot_decide(penstock, tmp_path, pattern, said):
    options = acquisition(tmp_path / "a.raw", letter_f())
    refused = penstock("ingest", tmp_path / "a.raw", "--to", tmp_path / "out", *options,
                       "--verify-orientation", reference_file(tmp_path / "r.npy", pattern), status=None)
    assert refused.returncode in (1, 2) and said in refused.stderr, refused.stderr
    assert not (tmp_path / "out").exists() and leftovers(tmp_path) == []


def test_noise_does_not_decide(penstock, tmp_path):
    """A symmetric pattern is not made asymmetric by the noise of the reference's own frames."""
    disk = (np.hypot(*np.mgrid[-15.5:16, -15.5:16]) < 9).astype(float)
    options = acquisition(tmp_path / "a.raw", disk)
    noisy = np.random.default_rng(8).poisson(2 + 6 * disk).astype("<f4")
    refused = penstock("ingest", tmp_path / "a.raw", "--to", tmp_path / "out", *options,
                       "--verify-orientation", reference_file(tmp_path / "r.npy", noisy), status=2)
    assert "as well with" in refused.stderr
    other = reference_file(tmp_path / "f.npy", np.random.default_rng(9).normal(size=(32, 32)))
    refused = penstock("ingest", tmp_path / "a.raw", "--to", tmp_path / "out", *options,
                       "--verify-orientation", other, status=1)
    assert "do not show the reference" in refused.stderr


def test_nan_and_folders(penstock, tmp_path):
    stored = letter_f()
    (tmp_path / "in").mkdir()
    frames = np.random.default_rng(3).poisson(2 + 6 * stored, (9, 32, 32)).astype("<f4")
    frames[:, 5, 9] = np.nan
    np.save(tmp_path / "in/a.npy", frames)
    shown = DISPLAY["rotate-270"](stored).copy()
    shown[0, 0] = np.nan
    reference = reference_file(tmp_path / "r.npy", shown)
    penstock("ingest", tmp_path / "in/a.npy", "--to", tmp_path / "out", "--verify-orientation",
             reference, "--orientation", "rotate-270")
    refused = penstock("ingest", tmp_path / "in", "--to", f"{tmp_path}/store/",
                       "--verify-orientation", reference, status=2)
    assert "files, not folders" in refused.stderr
