"""penstock apply, com, stat and pick against NumPy on the same frames, which are read from the block
files by numpy.memmap at offset 65536 and from the formula that made them."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

import synthetic

SCAN, SIG = (7, 9), (33, 45)


@pytest.fixture(scope="module", params=["uint8", "uint16", "uint32", "float32"])
def dataset(request, tmp_path_factory):
    """A dataset of several blocks with two lost frames, and its frames as an array."""
    options = dict(scan=SCAN, sig=SIG, dtype=request.param, missing=(3, 40))
    path = tmp_path_factory.mktemp("apply") / f"scan_{request.param}"
    size = np.dtype(request.param).itemsize * SIG[0] * SIG[1]
    synthetic.make_dataset(path, block_bytes=size * SCAN[1] * 2, **options)
    return path, synthetic.frames(**options), options


def disk(row, column, radius):
    y, x = np.mgrid[:SIG[0], :SIG[1]]
    return ((y - row) ** 2 + (x - column) ** 2 <= radius ** 2).astype(np.int64)


def annulus(row, column, inner, outer):
    return disk(row, column, outer) - disk(row, column, inner)


def valid_of(frames):
    valid = np.ones(SCAN, bool)
    valid[np.unravel_index([3, 40], SCAN)] = False
    return valid


def test_memmap_sees_the_same_frames(dataset):
    path, frames, _ = dataset
    blocks = sorted(p for p in (path / "data.zarr/real/c").rglob("*") if p.is_file())
    assert len(blocks) > 1
    seen = []
    for block in sorted(blocks, key=lambda p: int(p.relative_to(path / "data.zarr/real/c").parts[0])):
        rows = min(2, SCAN[0] - 2 * len(seen))
        seen.append(np.memmap(block, frames.dtype, "r", 65536, (rows, SCAN[1], *SIG)))
    np.testing.assert_array_equal(np.concatenate(seen), frames)


@pytest.mark.parametrize("backend", ["automatic", "mmap", "direct", "pread"])
def test_masks_equal_numpy(penstock, dataset, tmp_path, backend):
    path, frames, _ = dataset
    weights = np.random.default_rng(5).integers(-300, 300, SIG).astype(np.int32)
    np.save(tmp_path / "weights.npy", weights)
    penstock("apply", path, "--mask", "disk:16,22,8.5", "--mask", "annulus:16,22,8.5,15",
             "--mask", tmp_path / "weights.npy", "--out", tmp_path / "out", "--backend", backend,
             "--threads", 2)
    found = np.load(tmp_path / "out_masks.npy")
    assert found.shape == (3, *SCAN)
    masks = np.stack([disk(16, 22, 8.5), annulus(16, 22, 8.5, 15), weights.astype(np.int64)])
    valid = valid_of(frames)
    if frames.dtype.kind == "u":
        assert found.dtype == np.int64
        expected = np.einsum("abyx,kyx->kab", frames.astype(np.int64), masks)
        np.testing.assert_array_equal(found[:, valid], expected[:, valid])
        assert not found[:, ~valid].any()
    else:
        assert found.dtype == np.float64
        expected = np.einsum("abyx,kyx->kab", frames.astype(np.float64), masks)
        scale = np.einsum("abyx,kyx->kab", np.abs(frames.astype(np.float64)), np.abs(masks))
        assert np.all(np.abs(found - expected)[:, valid] <= 1e-6 * scale[:, valid])
        assert np.isnan(found[:, ~valid]).all()


def test_sum_mean_and_deviation_equal_numpy(penstock, dataset, tmp_path):
    path, frames, _ = dataset
    penstock("stat", path, "--out", f"{tmp_path}/")
    used = frames[valid_of(frames)].astype(np.float64)
    total = np.load(tmp_path / "sum.npy")
    if frames.dtype.kind == "u":
        assert total.dtype == np.int64
        np.testing.assert_array_equal(total, frames[valid_of(frames)].astype(np.int64).sum(0))
    else:
        np.testing.assert_allclose(total, used.sum(0), rtol=1e-13)
    np.testing.assert_allclose(np.load(tmp_path / "mean.npy"), used.mean(0), rtol=1e-13)
    np.testing.assert_allclose(np.load(tmp_path / "std.npy"), used.std(0), rtol=1e-12)


def test_centre_of_mass_equals_numpy(penstock, dataset, tmp_path):
    path, frames, _ = dataset
    penstock("com", path, "--mask", "disk:16,22,12", "--out", tmp_path / "c")
    selected = frames.astype(np.float64) * disk(16, 22, 12)
    y, x = np.mgrid[:SIG[0], :SIG[1]]
    total = selected.sum((2, 3))
    valid = valid_of(frames)
    for name, coordinate in (("rows", y), ("columns", x)):
        found = np.load(tmp_path / f"c_com_{name}.npy")
        assert found.shape == SCAN and np.isnan(found[~valid]).all()
        expected = (selected * coordinate).sum((2, 3))[valid] / total[valid]
        if frames.dtype.kind == "u":  # every sum is an integer below 2^53: one rounding, the same
            np.testing.assert_array_equal(found[valid], expected)
        else:
            np.testing.assert_allclose(found[valid], expected, rtol=1e-5)


def test_threads_do_not_change_a_byte(penstock, dataset, tmp_path):
    path, _, _ = dataset
    for threads in (1, 4):
        penstock("apply", path, "--mask", "full", "--com", "--sum", "--std", "--threads", threads,
                 "--no-pictures", "--out", tmp_path / f"t{threads}")
    ones = sorted(tmp_path.glob("t1_*.npy"))
    assert len(ones) == 6
    for one in ones:
        assert one.read_bytes() == (tmp_path / one.name.replace("t1_", "t4_")).read_bytes()


def test_pick_gives_the_stored_frame(penstock, dataset, tmp_path):
    path, frames, _ = dataset
    penstock("pick", path, "--frame", "2,5", "--out", tmp_path / "frame")
    found = np.load(tmp_path / "frame.npy")
    assert found.dtype == frames.dtype
    np.testing.assert_array_equal(found, frames[2, 5])
    assert "Penstock:Maximum" in Image.open(tmp_path / "frame.png").text
    penstock("pick", path, "--frame", 40, "--out", tmp_path / "lost", status=1)
    penstock("pick", path, "--frame", "7,0", "--out", tmp_path / "outside", status=2)
    assert not (tmp_path / "lost.npy").exists() and not (tmp_path / "outside.npy").exists()


def test_one_mask_gives_one_image_and_a_picture_with_its_scale(penstock, dataset, tmp_path):
    path, frames, _ = dataset
    done = penstock("apply", path, "--mask", "disk:16,22,8", "--out", tmp_path / "bf.npy", "--json")
    found = np.load(tmp_path / "bf.npy")
    assert found.shape == SCAN
    picture = Image.open(tmp_path / "bf.png")
    picture.load()
    text = picture.text
    zoom = int(text["Penstock:Zoom"])
    assert zoom == 256 // max(SCAN) and text["Title"] == "disk:16,22,8"
    low, high = float(text["Penstock:Minimum"]), float(text["Penstock:Maximum"])
    assert np.nanmin(found) <= low < high <= np.nanmax(found)
    # Each value is a square of one level, which follows from the range in the text.
    levels = np.asarray(picture)[zoom // 2:SCAN[0] * zoom:zoom, zoom // 2:SCAN[1] * zoom:zoom]
    valid = valid_of(frames)
    expected = np.clip((found - low) / (high - low), 0, 1) * 255
    assert np.all(np.abs(levels[valid] - expected[valid]) <= 1)
    assert picture.width > SCAN[1] * zoom  # the bar

    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["event"] == "result" and summary["frames"] == 63
    assert summary["frames_invalid"] == 2
    assert summary["bytes"] == frames.nbytes
    assert summary["outputs"] == [str(tmp_path / name) for name in ("bf.npy", "bf.png", "bf.provenance.json")]


def test_the_field_of_centres_has_a_colour_wheel(penstock, dataset, tmp_path):
    path, frames, _ = dataset
    penstock("com", path, "--out", tmp_path / "c")
    picture = Image.open(tmp_path / "c_com.png")
    picture.load()
    image, zoom = np.asarray(picture).astype(int), int(picture.text["Penstock:Zoom"])
    row, column, radius = (int(n) for n in picture.text["Penstock:Wheel"].split(","))
    brightest, longest = (float(picture.text[f"Penstock:{name}Deviation"]) for name in ("Brightest", "Longest"))
    assert column - radius >= SCAN[1] * zoom and 0 < brightest <= longest
    vectors = [np.load(tmp_path / f"c_com_{axis}.npy") - float(picture.text[f"Penstock:Mean{axis[:-1].capitalize()}"])
               for axis in ("rows", "columns")]
    # A vector has the colour that the wheel has where it points to.
    seen = 0
    for y, x in zip(*np.nonzero(valid_of(frames))):
        place = np.array([vectors[0][y, x], vectors[1][y, x]]) / brightest
        if np.hypot(*place) > 0.95:
            continue
        low = np.floor(place * radius).astype(int)
        around = image[row + low[0]:row + low[0] + 2, column + low[1]:column + low[1] + 2].reshape(4, 3)
        found = image[y * zoom + zoom // 2, x * zoom + zoom // 2]
        assert np.all(found >= around.min(0) - 4) and np.all(found <= around.max(0) + 4), (y, x, found, around)
        seen += 1
    assert seen > 30
    # And every direction another one.
    rim = [tuple(image[row + y, column + x]) for y, x in ((0, radius), (radius, 0), (0, -radius), (-radius, 0))]
    assert len(set(rim)) == 4 and all(max(colour) > 150 for colour in rim)


def test_live_preview_draws_in_place(penstock, dataset, tmp_path):
    path, _, _ = dataset
    done = penstock("apply", path, "--mask", "full", "--out", tmp_path / "x", "--live-always")
    assert "\u2580" in done.stderr and "63 of 63 frames" in done.stderr
    quiet = penstock("apply", path, "--mask", "full", "--out", tmp_path / "y", "--live")
    assert "\u2580" not in quiet.stderr


def test_wrong_use_is_told_and_writes_nothing(penstock, dataset, tmp_path):
    path, _, _ = dataset
    out = tmp_path / "out"
    cases = [(["--mask", "disk:1,2"], "expected 3 numbers"),
             (["--mask", "disk:900,900,3"], "selects no pixel"),
             ([], "nothing to do"),
             (["--sum", "--backend", "tape"], "tape")]
    for arguments, message in cases:
        done = penstock("apply", path, *arguments, "--out", out, status=2)
        assert message in done.stderr
    np.save(tmp_path / "m.npy", np.ones((4, 4)))
    done = penstock("apply", path, "--mask", tmp_path / "m.npy", "--out", out, status=1)
    assert "m.npy" in done.stderr and "(33, 45)" in done.stderr
    penstock("apply", tmp_path / "nowhere", "--sum", "--out", out, status=1)
    assert not list(tmp_path.glob("out*"))


def test_a_truncated_block_is_named(penstock, dataset, tmp_path):
    _, _, options = dataset
    path = synthetic.make_dataset(tmp_path / "damaged", **options)
    block = next(p for p in (path / "data.zarr/real/c").rglob("*") if p.is_file())
    block.chmod(0o644)
    data = block.read_bytes()
    block.write_bytes(data[:-5000])
    done = penstock("apply", path, "--sum", "--out", tmp_path / "o", status=1)
    assert str(block.relative_to(path)) in done.stderr
    assert f"expected {len(data)} bytes, found {len(data) - 5000} bytes" in done.stderr
    assert not pathlib.Path(tmp_path / "o_sum.npy").exists()


def test_a_flipped_byte_is_found_and_named(penstock, tmp_path):
    path = synthetic.make_dataset(tmp_path / "scan", scan=SCAN, sig=SIG,
                                  block_bytes=2 * SIG[0] * SIG[1] * SCAN[1] * 2)
    block = path / "data.zarr/real/c/1/0/0/0"
    block.chmod(0o644)
    data = bytearray(block.read_bytes())
    data[65536 + 5000] ^= 1
    block.write_bytes(data)
    apply = ["apply", path, "--mask", "full", "--out", tmp_path / "sum.npy"]
    done = penstock(*apply, "--backend", "mmap", status=1)
    for part in (str(block), "damaged", "extent 0", "frames 18-35", "penstock verify"):
        assert part in done.stderr
    assert not (tmp_path / "sum.npy").exists()
    done = penstock("pick", path, "--frame", "2,1", "--out", tmp_path / "frame.npy", status=1)
    assert str(block) in done.stderr
    penstock("pick", path, "--frame", "0,1", "--out", tmp_path / "frame.npy")
    done = penstock(*apply, "--no-verify", "--json")
    assert json.loads(done.stdout.splitlines()[-1])["extents_verified"] == 0
    block.write_bytes(bytes(data[:70536]) + bytes([data[70536] ^ 1]) + bytes(data[70537:]))
    done = penstock(*apply, "--json")
    assert json.loads(done.stdout.splitlines()[-1])["extents_verified"] == 4
