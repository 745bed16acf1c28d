"""penstock apply FILE --no-ingest: vendor files as they are give the results of ingest and apply, to the
last bit."""

import json
import shutil

import numpy as np
import pytest

import k2is_files as k2is
from acquisitions import frames, write_mib
from ingesting import raw_options, write_raw

OPERATIONS = ["--com", "--sum", "--std", "--extremes", "--no-pictures"]


def outputs(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.npy")}


def both(penstock, tmp_path, source, *options, operations=(), status=0, ingest_status=None):
    """Applies to the files and to their dataset; returns the summary and the arrays, which are the same."""
    applied = [*OPERATIONS, *operations]
    done = penstock("apply", source, "--no-ingest", *options, *applied, "--json", "--out", f"{tmp_path}/direct/",
                    status=status)
    penstock("ingest", source, *options, "--to", tmp_path / "dataset",
             status=status if ingest_status is None else ingest_status)
    penstock("apply", tmp_path / "dataset", *applied, "--out", f"{tmp_path}/ingested/")
    found, expected = outputs(tmp_path / "direct"), outputs(tmp_path / "ingested")
    assert found.keys() == expected.keys() and len(found) >= 5
    for name, content in expected.items():
        assert found[name] == content, name
    shutil.rmtree(tmp_path / "dataset")
    arrays = {path.stem: np.load(path) for path in (tmp_path / "direct").glob("*.npy")}
    return json.loads(done.stdout.splitlines()[-1]), arrays


def test_mib_is_decoded_on_the_way(penstock, tmp_path):
    stack = frames(20, rows=16, columns=24)
    source = write_mib(tmp_path / "in/scan.mib", stack, columns=5)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    result, arrays = both(penstock, tmp_path, source, operations=["--mask", "disk:8,12,5"])
    assert result["frames"] == 20 and result["partitions"]["decoded"] == result["partitions"]["total"]
    np.testing.assert_array_equal(arrays["sum"], stack.sum(0, dtype=np.int64))
    y, x = np.mgrid[:16, :24]
    disk = (y - 8) ** 2 + (x - 12) ** 2 <= 25
    np.testing.assert_array_equal(arrays["masks"], stack[:, disk].sum(1, dtype=np.int64).reshape(4, 5))
    assert sorted(p.name for p in (tmp_path / "in").iterdir()) == ["scan.hdr", "scan.mib"], before


def test_frames_that_are_missing_are_left_out(penstock, tmp_path):
    stack = frames(18, rows=16, columns=24)
    source = write_mib(tmp_path / "in/scan.mib", stack)
    refused = penstock("apply", source, "--no-ingest", "--scan-shape", "4,5", "--sum", "--out", tmp_path / "x", status=1)
    assert "--missing=zero" in refused.stderr
    result, arrays = both(penstock, tmp_path, source, "--scan-shape", "4,5", "--missing", "zero",
                          operations=["--mask", "full"], status=3)
    assert result["frames"] == 20 and result["frames_invalid"] == 2
    assert result["anomalies"][0]["kind"] == "missing frame"
    np.testing.assert_array_equal(arrays["masks"].ravel()[:18], stack.sum((1, 2), dtype=np.int64))
    assert not arrays["masks"].ravel()[18:].any()


def test_float_results_have_the_same_last_digit(penstock, tmp_path):
    stack = np.random.default_rng(4).normal(size=(24, 64, 64)).astype(np.float32)
    source = write_raw(tmp_path / "scan.raw", stack)
    result, arrays = both(penstock, tmp_path, source, *raw_options(stack), "--scan-shape", "4,6",
                          operations=["--mask", "disk:31,32,12"])
    assert result["anomalies"] == []
    np.testing.assert_allclose(arrays["sum"], stack.sum(0, dtype=np.float64), rtol=1e-9, atol=1e-9)


def both_say(penstock, tmp_path, source, command, *options, files=(), status=0, arrays=3):
    """Runs a command on the files and on their dataset; returns what both say, as JSON. The arrays are the same."""
    said = []
    if not (tmp_path / "dataset").exists():
        penstock("ingest", source, *files, "--to", tmp_path / "dataset", status=status)
    for name, where in ("direct", (source, "--no-ingest", *files)), ("ingested", (tmp_path / "dataset",)):
        out = tmp_path / f"{command}-{name}"
        done = penstock(command, *where, *options, "--json", "--no-pictures", "--out", f"{out}/",
                        status=status if name == "direct" else 0)
        said.append(json.loads(done.stdout.splitlines()[-1]))
    found, expected = (outputs(tmp_path / f"{command}-{name}") for name in ("direct", "ingested"))
    assert found.keys() == expected.keys() and len(found) >= arrays
    for name, content in expected.items():
        assert found[name] == content, name
    shutil.rmtree(tmp_path / f"{command}-direct")
    shutil.rmtree(tmp_path / f"{command}-ingested")
    return said


NUMBERS = ["frames", "pixels", "minimum", "maximum", "sum", "mean", "standard_deviation", "not_numbers"]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
def test_statistics_of_a_region(penstock, tmp_path, dtype):
    """What ingest has stored is what is counted on the way, in the last digit of floating sums, too."""
    random = np.random.default_rng(5)
    stack = random.normal(size=(24, 130, 70)).astype(dtype) if dtype.startswith("f") else \
        random.integers(0, 120, (24, 130, 70)).astype(dtype)
    if dtype.startswith("f"):
        stack[3, 5, 6] = np.nan
    source = write_raw(tmp_path / "scan.raw", stack)
    files = [*raw_options(stack), "--scan-shape", "4,6"]
    for options in [], ["--region", "1:3,::2"], ["--from-pixels", "--bin", "2"]:
        direct, ingested = both_say(penstock, tmp_path, source, "region", *options, files=files)
        assert [direct[name] for name in NUMBERS] == [ingested[name] for name in NUMBERS]
        assert direct["source"] == {"values": "pixels", "histogram": "pixels"}
        if not options:
            assert ingested["source"]["values"] == "sidecar" and direct["frames_read"] == 24
            assert direct["sum"] == pytest.approx(np.nansum(stack.astype(np.float64)), rel=1e-12)
        assert direct["anomalies"] == [] and "anomalies" not in ingested


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_principal_components(penstock, tmp_path, dtype):
    stack = np.random.default_rng(6).integers(0, 900, (30, 40, 50)).astype(dtype)
    source = write_raw(tmp_path / "scan.raw", stack)
    files = [*raw_options(stack), "--scan-shape", "5,6"]
    for options in [], ["--region", "1:,:", "--crop", "4:36,2:42", "--bin", "2"]:
        direct, ingested = both_say(penstock, tmp_path, source, "pca", "--components", "3", *options, files=files)
        assert direct["facts"] == ingested["facts"]
        assert direct["partitions"]["decoded"] == direct["partitions"]["total"] > 0


def test_a_frame_is_picked(penstock, tmp_path):
    stack = frames(18, rows=16, columns=24)
    source = write_mib(tmp_path / "in/scan.mib", stack)
    files = ["--scan-shape", "4,5", "--missing", "zero"]
    penstock("pick", source, "--no-ingest", *files, "--frame", "2,3", "--out", tmp_path / "one", status=3)
    np.testing.assert_array_equal(np.load(tmp_path / "one.npy"), stack[13])
    assert (tmp_path / "one.png").exists()
    lost = penstock("pick", source, "--no-ingest", *files, "--frame", "3,4", "--out", tmp_path / "x", status=1)
    assert "scan.mib" in lost.stderr and "image_key" in lost.stderr
    outside = penstock("pick", source, "--no-ingest", *files, "--frame", "4,0", "--out", tmp_path / "x", status=2)
    assert "4 x 5" in outside.stderr
    unflagged = penstock("pick", source, "--frame", "0", "--out", tmp_path / "x", status=2)
    assert "--no-ingest" in unflagged.stderr


def test_options_of_files_need_the_flag(penstock, tmp_path):
    source = write_mib(tmp_path / "scan.mib", frames(4))
    done = penstock("apply", source, "--sum", "--out", tmp_path / "x", status=2)
    assert "--no-ingest" in done.stderr
    done = penstock("apply", source, "--scan-shape", "2,2", "--sum", "--out", tmp_path / "x", status=2)
    assert "--no-ingest" in done.stderr
    missing = penstock("apply", tmp_path / "absent.mib", "--no-ingest", "--sum", "--out", tmp_path / "x", status=1)
    assert "absent.mib" in missing.stderr


def test_provenance_names_the_files(penstock, tmp_path):
    source = write_mib(tmp_path / "scan.mib", frames(4), columns=2)
    penstock("apply", source, "--no-ingest", "--sum", "--no-pictures", "--out", tmp_path / "out.npy")
    provenance = json.loads((tmp_path / "out.provenance.json").read_text())
    assert provenance["parameters"]["no_ingest"] is True
    assert [entry["path"] for entry in provenance["inputs"] if entry["role"] == "source"][0] == str(source)


@pytest.fixture(scope="module")
def k2_blocks():
    """Six frames, of which sector 3 has lost blocks of the third and two blocks of the fifth are swapped."""
    blocks = k2is.sectors(range(300, 306))
    damaged = bytearray(blocks[2][2 * 32 + 7])
    damaged[:4] = bytes(4)
    blocks[2][2 * 32 + 7] = bytes(damaged)
    blocks[5][4 * 32 + 3], blocks[5][4 * 32 + 4] = blocks[5][4 * 32 + 4], blocks[5][4 * 32 + 3]
    return blocks


def test_k2is_in_strips(penstock, tmp_path, k2_blocks):
    source = k2is.write(tmp_path / "in", k2_blocks)
    result, arrays = both(penstock, tmp_path, source, operations=["--mask", "disk:930,1000,300", "--mask", "full"], status=3)
    assert result["frames"] == 6 and result["frames_invalid"] >= 1
    kinds = {anomaly["kind"] for anomaly in result["anomalies"]}
    assert "partial sector" in kinds
    full = arrays["masks"][1].ravel()
    for i in (0, 1, 3, 5):
        assert full[i] == int(k2is.frame(300 + i).sum(dtype=np.int64))
    assert full[2] == 0


@pytest.mark.parametrize("weights", [1, 20, 3000, 0.5])
def test_k2is_masks_alone_take_the_packed_pixels(penstock, tmp_path, k2_blocks, weights):
    """But for weights that are no whole numbers; the sums are those of numpy all the same."""
    source = k2is.write(tmp_path / "in", k2_blocks)
    random = np.random.default_rng(4)
    masks = np.zeros((5, 1860, 2048))
    masks[0] = weights
    masks[1, 400:1100, 700:1500] = random.integers(0, 2, (700, 800)) * weights
    masks[2, 5::931, ::7] = 1
    masks[3] = np.rint(random.uniform(-1, 1, (1860, 2048)) * weights) if weights > 1 else random.integers(0, 2, (1860, 2048))
    masks[4, -1, -1] = 1
    np.save(tmp_path / "masks.npy", masks)
    done = penstock("apply", source, "--no-ingest", "--mask", tmp_path / "masks.npy", "--no-pictures", "--json",
                    "--out", tmp_path / "sums.npy", status=3)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["frames"] == 6 and summary["frames_invalid"] >= 1
    sums = np.load(tmp_path / "sums.npy").reshape(5, 6)
    assert sums.dtype == (np.float64 if weights == 0.5 else np.int64)
    for i in (0, 1, 3, 5):
        pixels = k2is.frame(300 + i).astype(np.float64).ravel()
        np.testing.assert_array_equal(sums[:, i], masks.reshape(5, -1) @ pixels)


def test_k2is_centre_of_mass_takes_the_packed_pixels(penstock, tmp_path, k2_blocks):
    source = k2is.write(tmp_path / "in", k2_blocks)
    both_say(penstock, tmp_path, source, "com", status=3, arrays=2)


def test_k2is_with_the_other_commands(penstock, tmp_path, k2_blocks):
    source = k2is.write(tmp_path / "in", k2_blocks)
    direct, ingested = both_say(penstock, tmp_path, source, "region", status=3)
    assert [direct[name] for name in NUMBERS] == [ingested[name] for name in NUMBERS]
    assert {anomaly["kind"] for anomaly in direct["anomalies"]} >= {"partial sector"}
    both_say(penstock, tmp_path, source, "region", "--gain", gain(tmp_path), status=3)
    both_say(penstock, tmp_path, source, "pca", "--components", "1", "--oversampling", "1", status=3)
    penstock("pick", source, "--no-ingest", "--frame", "3", "--out", tmp_path / "one", status=None)
    np.testing.assert_array_equal(np.load(tmp_path / "one.npy"), k2is.frame(303))
    lost = penstock("pick", source, "--no-ingest", "--frame", "2", "--out", tmp_path / "x", status=1)
    assert "frame 2" in lost.stderr and "damaged" in lost.stderr


def gain(tmp_path):
    path = tmp_path / "gain.npy"
    np.save(path, np.random.default_rng(8).uniform(0.9, 1.1, (1860, 2048)))
    return path


# Folders with files that can be ingested one by one, without options.
REAL = ["mib", "ser", "blo", "emd_berkeley", "dectris", "hspy", "nexus", "py4dstem", "velox", "synthetic"]


@pytest.mark.parametrize("kind", REAL)
def test_samples(penstock, samples, tmp_path, kind):
    """Whatever of the sample files can be ingested as it is gives the same results without."""
    compared = 0
    for path in sorted(p for p in (samples / kind).rglob("*") if p.is_file()):
        if path.stat().st_size > 16 << 20 or compared == 4:
            continue
        looked = penstock("ingest", path, "--to", tmp_path / "looked", "--dry-run", status=None)
        if looked.returncode not in (0, 3):
            done = penstock("apply", path, "--no-ingest", "--sum", "--no-pictures", "--out", tmp_path / "x.npy", status=None)
            assert done.returncode in (1, 2), path
            continue
        work = tmp_path / str(compared)
        work.mkdir()
        penstock("ingest", path, "--to", work / "dataset", status=None)
        summed = penstock("apply", work / "dataset", "--sum", "--no-pictures", "--out", work / "a.npy", status=None)
        done = penstock("apply", path, "--no-ingest", "--sum", "--no-pictures", "--out", work / "b.npy", status=None)
        if summed.returncode != 0:  # complex pixels have no sum: refused with either
            assert done.returncode == summed.returncode, (path, done.stderr, summed.stderr)
        else:
            assert done.returncode in (0, 3), (path, done.stderr)
            assert (work / "a.npy").read_bytes() == (work / "b.npy").read_bytes(), path
        compared += 1
        shutil.rmtree(work)
    assert compared > 0
