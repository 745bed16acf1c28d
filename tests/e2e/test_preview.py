"""The pictures that `penstock ingest` makes: bright and dark field against NumPy."""

import json
import re
import subprocess

import numpy as np
import pytest
from PIL import Image

from stopping import kill, stop_among_blocks

SCAN, SIGNAL, CENTRE, RADIUS = (12, 15), (40, 48), (17.6, 25.3), 8.0
PICTURES = ("mean_pattern", "total_intensity", "bright_field", "dark_field")


def distance_from(centre):
    rows, columns = np.indices(SIGNAL)
    return np.hypot(rows - centre[0], columns - centre[1])


@pytest.fixture
def frames():
    """A disk whose level follows the scan, and scattering around it that goes against it."""
    random = np.random.default_rng(5)
    inside = distance_from(CENTRE) <= RADIUS
    level = np.linspace(60, 100, SCAN[0] * SCAN[1])[:, None, None]
    mean = np.where(inside, level, (120 - level) / 20)
    return random.poisson(mean).astype("<u2").reshape(SCAN + SIGNAL)


def picture(dataset, name):
    """Grey levels, title, and the values that are black and white."""
    with Image.open(dataset / f"preview/{name}.png") as image:
        legend = image.text["Description"]
        low, high = map(float, re.search(r"black (\S+), white (\S+),", legend).groups())
        return np.asarray(image), image.text["Title"], low, high


def pictures(dataset):
    return {p.name: p.read_bytes() for p in sorted((dataset / "preview").iterdir())}


def parameters(dataset):
    """Of the ingest, from the history."""
    found = []

    def search(tree):
        for name, value in tree.items():
            if name == "parameters":
                found.append(json.loads(value))
            elif isinstance(value, dict):
                search(value)

    search(json.loads((dataset / "nexus.json").read_text()))
    assert len(found) == 1
    return found[0]


def assert_grey(dataset, name, expected):
    grey, _, low, high = picture(dataset, name)
    levels = 255 * (np.clip(expected, low, high) - low) / (high - low)
    assert grey.shape == expected.shape
    assert np.abs(grey - levels).max() <= 0.51 + 255e-5  # the legend has six digits


def test_bright_and_dark_field(penstock, tmp_path, frames):
    np.save(tmp_path / "scan.npy", frames)
    out = tmp_path / "out"
    done = penstock("ingest", tmp_path / "scan.npy", "--to", out, "--block-size", "100K")
    assert "no bright-field" not in done.stderr
    disk = parameters(out)["preview_disk"]
    assert disk["frames_probed"] == 64
    np.testing.assert_allclose(disk["centre"], CENTRE, atol=0.3)
    assert abs(disk["radius"] - RADIUS) < 0.4
    text = "disk:{:g},{:g},{:g}".format(*disk["centre"], disk["radius"])
    assert picture(out, "bright_field")[1] == f"bright field, {text}"
    assert picture(out, "dark_field")[1] == f"dark field, beyond 1.25 of {text}"
    distance = distance_from(disk["centre"])
    sums = frames.astype(float)
    assert_grey(out, "bright_field", sums[..., distance <= disk["radius"]].sum(-1))
    assert_grey(out, "dark_field", sums[..., distance > 1.25 * disk["radius"]].sum(-1))
    assert_grey(out, "total_intensity", sums.sum((2, 3)))
    subprocess.run(["xxh128sum", "-c", "--quiet", "checksums.xxh128"], cwd=out, check=True)


def test_missing_frames_are_black(penstock, tmp_path, frames):
    np.save(tmp_path / "scan.npy", frames.reshape(-1, *SIGNAL)[:150])
    penstock("ingest", tmp_path / "scan.npy", "--to", tmp_path / "out", "--scan-shape", "12,15",
             "--missing", "zero", status=3)
    for name in ("bright_field", "dark_field"):
        grey = picture(tmp_path / "out", name)[0].ravel()
        assert (grey[150:] == 0).all() and grey[:150].any()


def test_pictures_do_not_depend_on_the_workers(penstock, tmp_path, frames):
    np.save(tmp_path / "scan.npy", (frames * np.float32(0.37)).astype("<f4"))
    made = []
    for jobs, block in ((1, "60K"), (2, "60K"), (5, "100K")):
        out = tmp_path / f"out{len(made)}"
        penstock("ingest", tmp_path / "scan.npy", "--to", out, "--jobs", jobs, "--block-size",
                 block)
        made.append(pictures(out))
    assert sorted(made[0]) == sorted(f"{name}.png" for name in PICTURES)
    assert made[0] == made[1] == made[2]


def test_a_resumed_ingest_makes_the_same_pictures(penstock, tmp_path, frames):
    many = np.tile(frames, (8, 2, 1, 1))
    np.save(tmp_path / "scan.npy", many)
    penstock("ingest", tmp_path / "scan.npy", "--to", tmp_path / "whole", "--block-size", "200K")
    command = [str(penstock.binary), "ingest", str(tmp_path / "scan.npy"), "--to",
               str(tmp_path / "out"), "--block-size", "200K", "--jobs", "1"]
    kill(stop_among_blocks(
        lambda: subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
        tmp_path / "out", 3, 40))
    done = penstock("ingest", tmp_path / "scan.npy", "--to", tmp_path / "out", "--block-size",
                    "200K", "--jobs", 2)
    assert "blocks from before" in done.stdout
    assert pictures(tmp_path / "out") == pictures(tmp_path / "whole")
    assert (parameters(tmp_path / "out")["preview_disk"]
            == parameters(tmp_path / "whole")["preview_disk"])


def test_without_a_disk_there_is_a_remark(penstock, tmp_path):
    flat = np.random.default_rng(1).poisson(20, (5, 6, 24, 24)).astype("<u2")
    np.save(tmp_path / "flat.npy", flat)
    done = penstock("ingest", tmp_path / "flat.npy", "--to", tmp_path / "out")
    assert "remark: no bright-field and dark-field pictures: " in done.stdout + done.stderr
    assert sorted(pictures(tmp_path / "out")) == ["mean_pattern.png", "total_intensity.png"]
    disk = parameters(tmp_path / "out")["preview_disk"]
    assert disk["absent"] and disk["frames_probed"] == 30
    # A series has no such pictures and needs no remark.
    np.save(tmp_path / "series.npy", flat[0])
    done = penstock("ingest", tmp_path / "series.npy", "--to", tmp_path / "series")
    assert "bright-field" not in done.stdout + done.stderr
    assert sorted(pictures(tmp_path / "series")) == ["mean_pattern.png"]
    assert "preview_disk" not in parameters(tmp_path / "series")


def test_large_frames_are_binned_in_the_mean_pattern(penstock, tmp_path):
    frames = np.zeros((3, 1300, 300), "<u2")
    frames[:, 600:900, 100:200] = [[[3]], [[6]], [[9]]]
    np.save(tmp_path / "s.npy", frames)
    penstock("ingest", tmp_path / "s.npy", "--to", tmp_path / "out")
    grey, title, _, high = picture(tmp_path / "out", "mean_pattern")
    assert grey.shape == (650, 150) and title == "mean pattern, mean of 2 x 2 pixels of the detector"
    assert high == 6
    expected = np.zeros((650, 150), bool)
    expected[300:450, 50:100] = True
    np.testing.assert_array_equal(grey == 255, expected)


def test_the_simulated_scan_has_a_disk(penstock, tmp_path):
    penstock("simulate", tmp_path / "scan.mib", "--scan-shape", "16,16", "--seed", 3)
    penstock("ingest", tmp_path / "scan.mib", "--to", tmp_path / "out", status=None)
    assert parameters(tmp_path / "out")["preview_disk"]["radius"] > 3
