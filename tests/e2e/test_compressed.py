"""Datasets whose frames are compressed: zarr-python, penstock's reader and verification see the
frames of the plain dataset, whichever way they are asked for; damage has a name."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import zarr

from ingesting import (Running, blocks_of, files_of, leftovers, make_frames, nexus, raw_options,
                       slow_source, write_raw)
from stopping import kill
from synthetic import frames, make_dataset

assert slow_source  # a fixture

CODECS = pytest.mark.parametrize("codec", ["lz4", "zstd"])
# Rows in a block, with a shorter last one, a chunk of lost frames alone and lost ones among others;
# a part of a row; a series; frames of more than one Blosc block; an odd number of pixels.
SHAPES = {
    "rows": dict(scan=(5, 6), sig=(16, 12), missing=(3, 4, 12, 13, 14, 15, 16, 17, 29),
                 block_bytes=5000),
    "columns": dict(scan=(3, 7), sig=(16, 12), block_bytes=1200, missing=(6, 7)),
    "series": dict(scan=(11,), sig=(8, 9), block_bytes=500),
    "large": dict(scan=(3, 4), sig=(512, 400), block_bytes=5 << 20),
    "odd": dict(scan=(4, 5), sig=(13, 11), block_bytes=2000),
}


def counts(shape, mean=0.05, seed=1):
    """What a counting detector gives: most pixels are zero."""
    return np.random.default_rng(seed).poisson(mean, shape)


def ingest(penstock, source, out, array, *options, status=0):
    return penstock("ingest", source, "--to", out, *raw_options(array), *options, status=status)


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    """Sparse frames in several blocks, as a raw file."""
    array = counts((24 * 20, 64, 48)).astype("<u2")
    return write_raw(tmp_path_factory.mktemp("counting") / "scan.raw", array), array


@CODECS
@pytest.mark.parametrize("name", SHAPES)
def test_zarr_python_reads_the_frames(penstock, tmp_path, codec, name):
    shape = SHAPES[name]
    scan = make_dataset(tmp_path / "scan", compression=codec, **shape)
    real = zarr.open_group(scan / "data.zarr", mode="r")["real"]
    np.testing.assert_array_equal(real[...], frames(**shape))
    inner = nexus(scan)["entry1"]["penstock"]["inner_columns"]
    assert real.chunks[-3] == inner
    # Only what the frames need.
    np.testing.assert_array_equal(real[..., -1, :, :], frames(**shape)[..., -1, :, :])
    assert subprocess.run(["xxh128sum", "-c", "--quiet", "checksums.xxh128"], cwd=scan,
                          check=False).returncode == 0
    assert "intact" in penstock("verify", scan).stdout
    assert not (scan / "data.nxs").exists()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint32", "int64", "float32", "float64",
                                   "complex64", "complex128"])
def test_every_type(penstock, tmp_path, dtype):
    shape = SHAPES["rows"] | dict(dtype=dtype)
    scan = make_dataset(tmp_path / "scan", compression="zstd", **shape)
    np.testing.assert_array_equal(zarr.open_array(scan / "data.zarr/real", mode="r")[...],
                                  frames(**shape))
    penstock("verify", scan)
    penstock("pick", scan, "--frame", "0,1", "--out", tmp_path / "frame.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "frame.npy"), frames(**shape)[0, 1])


@CODECS
def test_ingest_gives_the_same_pixels(penstock, tmp_path, counting, codec):
    source, array = counting
    plain = ingest(penstock, source, tmp_path / "plain", array, "--scan-shape", "20,24",
                   "--block-size", "300K")
    assert "compression" not in plain.stdout
    done = ingest(penstock, source, tmp_path / "packed", array, "--scan-shape", "20,24",
                  "--block-size", "300K", f"--compress={codec}")
    assert f"compression   {codec}, " in done.stdout and "times smaller" in done.stdout
    expected = array.reshape(20, 24, 64, 48)
    for name in ("plain", "packed"):
        np.testing.assert_array_equal(
            zarr.open_array(tmp_path / name / "data.zarr/real", mode="r")[...], expected)
    own = nexus(tmp_path / "packed")["entry1"]["penstock"]
    assert own["layout_version"] == 2 and own["compression"] == codec
    assert sum(own["block_bytes"]) * 8 < array.nbytes
    assert own["block_bytes"] == [p.stat().st_size for p in sorted(
        blocks_of(tmp_path / "packed"), key=lambda p: int(p.parts[-4]))]
    # Statistics, pictures and everything else that is taken from the pixels.
    plain, packed = files_of(tmp_path / "plain"), files_of(tmp_path / "packed")
    described = {"nexus.json", "checksums.xxh128", "data.nxs", "data.zarr/zarr.json"}
    same = [name for name in packed if name not in described
            and not name.startswith(("data.zarr/real/", "data.zarr/extent_checksum/"))]
    assert len(same) > 15 and all(plain[name] == packed[name] for name in same)
    # And the source: every pixel is compared.
    assert "480 frames" in penstock("verify", tmp_path / "packed", "--source", source,
                                    *raw_options(array)).stdout
    info = json.loads(penstock("info", tmp_path / "packed", "--json").stdout)
    assert info["compression"] == codec and info["stored_bytes"] == sum(own["block_bytes"])
    assert info["bytes"] == array.nbytes


def test_lost_frames_of_an_ingest(penstock, tmp_path, counting):
    source, array = counting
    ingest(penstock, source, tmp_path / "scan", array, "--scan-shape", "22,24", "--missing", "zero",
           "--block-size", "300K", "--compress=lz4", "--sync-offset", "-5", status=3)
    expected = np.zeros((22 * 24, 64, 48), "<u2")
    expected[5:485] = array
    np.testing.assert_array_equal(
        zarr.open_array(tmp_path / "scan/data.zarr/real", mode="r")[...].reshape(expected.shape),
        expected)
    penstock("verify", tmp_path / "scan")


def test_auto_says_what_it_measured(penstock, tmp_path, counting):
    source, array = counting
    done = ingest(penstock, source, tmp_path / "scan", array, "--compress", "--json")
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["compression"] in ("lz4", "zstd", "none")
    for part in ("the store reads", "GiB/s", "lz4: ", "zstd: ", "times smaller", "per processor"):
        assert part in result["compression_reason"]
    assert nexus(tmp_path / "scan")["entry1"]["penstock"]["layout_version"] == (
        1 if result["compression"] == "none" else 2)
    # What does not become smaller stays as it is, on any machine.
    noise = np.random.default_rng(1).integers(0, 65536, (64, 64, 48)).astype("<u2")
    source = write_raw(tmp_path / "noise.raw", noise)
    done = ingest(penstock, source, tmp_path / "noise", noise, "--compress=auto", "--json")
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["compression"] == "none" and "1.0 times smaller" in result["compression_reason"]
    assert nexus(tmp_path / "noise")["entry1"]["penstock"]["layout_version"] == 1
    assert not leftovers(tmp_path)


def test_noise_is_stored_all_the_same(penstock, tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (30, 100, 100)).astype("u1")
    source = write_raw(tmp_path / "noise.raw", noise)
    ingest(penstock, source, tmp_path / "scan", noise, "--compress=zstd", "--block-size", "100K")
    np.testing.assert_array_equal(
        zarr.open_array(tmp_path / "scan/data.zarr/real", mode="r")[...], noise)
    penstock("verify", tmp_path / "scan")
    penstock("apply", tmp_path / "scan", "--sum", "--out", tmp_path / "x")
    np.testing.assert_array_equal(np.load(tmp_path / "x_sum.npy"), noise.astype("u8").sum(0))


@pytest.mark.parametrize("choice", ["lz4", "auto"])
def test_killed_and_continued(penstock, tmp_path, slow_source, choice):
    source, array = slow_source
    options = ("--scan-shape", "40,40", f"--compress={choice}")
    run = Running(penstock, source, array, tmp_path / "scan", *options)
    kill(run.stop_among_blocks())
    journal = (tmp_path / ".scan.ingest.journal").read_text()
    assert choice == "lz4" or '"reason":' in journal
    done = ingest(penstock, source, tmp_path / "scan", array, "--block-size", "64K", "--jobs", "2",
                  *options, "--json")
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["resumed_blocks"] >= 2
    assert choice == "lz4" or result["compression_reason"] in journal
    np.testing.assert_array_equal(
        zarr.open_array(tmp_path / "scan/data.zarr/real", mode="r")[...],
        array.reshape(40, 40, 32, 32))
    penstock("verify", tmp_path / "scan")
    assert not leftovers(tmp_path)


def test_what_cannot_be(penstock, tmp_path, counting):
    source, array = counting
    done = ingest(penstock, source, tmp_path / "scan", array, "--compress=gzip", status=2)
    assert "gzip" in done.stderr
    assert not (tmp_path / "scan").exists()


@pytest.fixture(scope="module", params=["uint8", "uint16", "uint32", "float32"])
def pair(request, tmp_path_factory):
    """A plain dataset, and the same compressed."""
    folder = tmp_path_factory.mktemp("pair")
    shape = dict(scan=(7, 9), sig=(33, 45), dtype=request.param, missing=(3, 9, 10, 11, 40))
    size = np.dtype(request.param).itemsize * 33 * 45
    make_dataset(folder / "plain", block_bytes=size * 18, **shape)
    make_dataset(folder / "packed", block_bytes=size * 18, compression="lz4", **shape)
    return folder / "plain", folder / "packed"


OPERATIONS = {
    "masks": ("apply", "--mask", "disk:16,22,8.5", "--mask", "annulus:16,22,8.5,15"),
    "stat": ("stat",),
    "com": ("com",),
    "radial": ("radial", "--centre", "16,22", "--rings", "9"),
    "several": ("apply", "--sum", "--std", "--extremes", "--histogram", "20,0,5000"),
    "region": ("apply", "--mask", "disk:16,22,8.5", "--sum", "--region", "2:5,1:8:3"),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("threads", [1, 3])
def test_results_are_those_of_the_plain_dataset(penstock, pair, tmp_path, operation, threads):
    command, *options = OPERATIONS[operation]
    results = []
    for dataset in pair:
        out = tmp_path / dataset.name
        out.mkdir()
        penstock(command, dataset, *options, "--threads", threads, "--out", f"{out}/x")
        results.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert results[0] and results[0].keys() == results[1].keys()
    for name in results[0]:
        if name.endswith((".npy", ".png", ".tif")):
            assert results[0][name] == results[1][name], name


def test_frames_one_by_one(penstock, pair, tmp_path):
    for position in ("0,0", "4,7", "6,8"):
        for dataset in pair:
            penstock("pick", dataset, "--frame", position, "--out",
                     tmp_path / f"{dataset.name}.npy")
        assert (tmp_path / "plain.npy").read_bytes() == (tmp_path / "packed.npy").read_bytes()
    done = penstock("pick", pair[1], "--frame", "0,3", "--out", tmp_path / "lost.npy", status=1)
    assert "not to be used" in done.stderr


def damage(dataset, block, offset):
    path = blocks_of(dataset)[block]
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x55
    path.write_bytes(data)
    return path


def test_damage_is_named(penstock, tmp_path):
    shape = dict(scan=(4, 5), sig=(64, 48), block_bytes=40_000)
    make_dataset(tmp_path / "whole", compression="lz4", **shape)
    for offset, what in ((4, "in a header"), (200, "in a stream"), (-10, "in the index")):
        scan = tmp_path / "damaged"
        shutil.rmtree(scan, ignore_errors=True)
        shutil.copytree(tmp_path / "whole", scan)
        path = damage(scan, 1, offset)
        for options in ((), ("--no-verify",)):
            if options and offset == 200:
                continue  # without verification LZ4 may take it
            done = penstock("stat", scan, "--out", f"{tmp_path}/", *options, status=1)
            assert str(path) in done.stderr and "expected" in done.stderr, what
            assert "found" in done.stderr and "offset" in done.stderr, what
            if offset == 4:
                assert "frames " in done.stderr, what
        report = penstock("verify", scan, status=1)
        assert "extent 0" in report.stdout + report.stderr, what
    # A file that is shorter than nexus.json says.
    shutil.rmtree(scan)
    shutil.copytree(tmp_path / "whole", scan)
    path = blocks_of(scan)[0]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    done = penstock("stat", scan, "--out", f"{tmp_path}/", status=1)
    assert "wrong size" in done.stderr and str(path) in done.stderr


def test_a_sidecar_that_lies_is_refused(penstock, tmp_path):
    scan = make_dataset(tmp_path / "scan", compression="lz4", **SHAPES["rows"])
    text = (scan / "nexus.json").read_text()
    for old, new, complaint in (
            ('"compression": "lz4"', '"compression": "none"', "compression"),
            ('"compression": "lz4"', '"compression": "gzip"', "compression"),
            ('"layout_version": 2', '"layout_version": 1', "payload_start"),
            ('"layout_version": 2', '"layout_version": 3', "layout")):
        assert old in text
        (scan / "nexus.json").write_text(text.replace(old, new))
        done = penstock("info", scan, status=None)
        assert done.returncode != 0 and complaint in done.stderr
