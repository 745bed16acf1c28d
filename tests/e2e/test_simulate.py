"""penstock simulate: the file by NumPy alone."""

import hashlib
import json

import numpy as np


def _frames(path, rows, columns, side):
    record = np.dtype([("header", "S384"), ("pixels", ">u2", (side, side))])
    return np.fromfile(path, record).reshape(rows, columns)


def test_scan_has_the_asked_dose_and_shows_the_specimen(penstock, tmp_path):
    path = tmp_path / "scan.mib"
    done = penstock("simulate", path, "--scan-shape", "12,20", "--sig-shape", "64,64",
                    "--counts", "2", "--seed", "7")
    assert "240 frames of 64 x 64" in done.stdout
    frames = _frames(path, 12, 20, 64)
    pixels = frames["pixels"].astype(np.int64)
    assert abs(pixels.mean() - 2) < 5 * np.sqrt(2 / pixels.size)
    y, x = np.mgrid[:64, :64] - 31.5
    disk = np.hypot(y, x) < 5.5
    bright = pixels[..., disk].sum(-1) / pixels.sum((-1, -2))
    assert bright[:, :2].min() > 0.99  # vacuum
    assert bright[:, 4:].max() < 0.75  # specimen
    header = frames["header"][11, 19].decode().split(",")
    assert header[:7] == ["MQ1", "000240", "00384", "01", "0064", "0064", "U16"]
    sidecar = (tmp_path / "scan.hdr").read_text()
    assert "ScanX:\t20\n" in sidecar and "ScanY:\t12\n" in sidecar


def test_equal_seeds_give_equal_files(penstock, tmp_path):
    digests = []
    for name, jobs, seed in (("a", 1, 3), ("b", 4, 3), ("c", 4, 4)):
        path = tmp_path / f"{name}.mib"
        done = penstock("simulate", path, "--scan-shape", "8,8", "--sig-shape", "64,64",
                        "--lattice", "hexagonal", "--jobs", jobs, "--seed", seed, "--json")
        result = json.loads(done.stdout.splitlines()[-1])
        assert result["frames"] == 64 and result["bytes"] == path.stat().st_size
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert digests[0] == digests[1] != digests[2]


def test_an_existing_file_is_kept(penstock, tmp_path):
    path = tmp_path / "scan.mib"
    path.write_bytes(b"precious")
    failed = penstock("simulate", path, "--scan-shape", "4,4", status=1)
    assert "exists" in failed.stderr
    assert path.read_bytes() == b"precious"
    penstock("simulate", path, "--scan-shape", "4,4", "--counts", "-1", "--replace", status=2)
    penstock("simulate", path, "--scan-shape", "4,4", "--replace")
    assert path.stat().st_size == 16 * (384 + 131072)
