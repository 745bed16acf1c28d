"""Layout version 1, proved by tools that know nothing of penstock."""

import json
import os
import shutil
import subprocess

import h5py
import numpy as np
import pytest
import xarray
import xxhash
import zarr

import synthetic

SIGNAL = "entry1/measurement/event1/image1/image_4d"

# What differs between datasets: whole rows with a partial last block, parts of a row with a ragged
# last one, a series, frames that are no multiple of anything, every kind of number.
CASES = {
    "rows": dict(scan=(5, 6), block_bytes=5000, missing=(7, 8, 29), calibrated=True),
    "row_parts": dict(scan=(3, 8), block_bytes=3 * 16 * 12 * 2, missing=(0, 5), calibrated=True),
    "series": dict(scan=(23,), block_bytes=4000, missing=(3,), calibrated=True),
    "one_frame": dict(scan=(1, 1), sig=(3, 5), dtype="uint8"),
    "odd_frames": dict(scan=(4, 7), sig=(9, 455), dtype="uint16", block_bytes=60000,
                       missing=tuple(range(7, 14))),
    "all_missing": dict(scan=(2, 3), missing=tuple(range(6))),
    "uint8": dict(dtype="uint8"),
    "int8": dict(dtype="int8"),
    "int16": dict(dtype="int16"),
    "uint32": dict(dtype="uint32"),
    "int32": dict(dtype="int32", missing=(2,)),
    "uint64": dict(dtype="uint64"),
    "float32": dict(dtype="float32", missing=(2,)),
    "float64": dict(dtype="float64"),
    "complex64": dict(dtype="complex64"),
    "complex128": dict(dtype="complex128"),
}


class Made:
    def __init__(self, path, options):
        self.path = path
        self.options = options
        self.frames = synthetic.frames(**options)
        self.scan = tuple(options.get("scan", (5, 6)))
        self.sig = self.frames.shape[len(self.scan):]
        self.missing = set(options.get("missing", ()))
        self.nexus = json.loads((path / "nexus.json").read_text())
        self.penstock = self.nexus["entry1"]["penstock"]
        self.signal = "entry1/measurement/event1/image1/" + (
            "image_3d" if len(self.scan) == 1 else "image_4d")

    def regions(self):
        """(block file, index into the frames) for every block, from zarr.json alone."""
        array = json.loads((self.path / "data.zarr/real/zarr.json").read_text())
        chunk = array["chunk_grid"]["configuration"]["chunk_shape"]
        for index in np.ndindex(*(-(-s // c) for s, c in zip(array["shape"], chunk))):
            file = self.path / "data.zarr/real/c" / "/".join(map(str, index))
            yield file, tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunk))


@pytest.fixture(scope="module", params=CASES, ids=CASES.keys())
def made(request, tmp_path_factory):
    options = CASES[request.param]
    return Made(synthetic.make_dataset(tmp_path_factory.mktemp("layout") / "scan", **options),
                options)


def test_h5py_opens_every_block_by_itself(made):
    blocks = 0
    for file, index in made.regions():
        with h5py.File(file, "r") as block:
            assert list(block) == ["real"]
            data = block["real"]
            assert data.dtype == made.frames.dtype
            assert data.id.get_offset() == 65536
            np.testing.assert_array_equal(data[()], made.frames[index])
        blocks += 1
    assert blocks == len(made.penstock["block_file"])


def test_numpy_maps_the_frames_at_65536(made):
    for file, index in made.regions():
        expected = made.frames[index]
        mapped = np.memmap(file, made.frames.dtype.newbyteorder("<"), "r", offset=65536,
                           shape=expected.shape)
        np.testing.assert_array_equal(mapped, expected)


def test_h5py_opens_data_nxs(made):
    with h5py.File(made.path / "data.nxs", "r") as file:
        assert file[made.signal + "/real"].is_virtual
        np.testing.assert_array_equal(file[made.signal + "/real"][()], made.frames)
        # The chain of defaults leads to the data.
        group = file
        while "default" in group.attrs:
            group = group[group.attrs["default"]]
        assert group.name == "/" + made.signal
        assert group.attrs["NX_class"] == "NXdata" and group.attrs["signal"] == "real"
        key = file["entry1/measurement/event1/instrument/detector1/image_key"][()]
        assert key.dtype == np.int32 and key.shape == made.scan
        assert set(np.flatnonzero(key.ravel() == 3)) == made.missing
        assert np.all((key == 0) | (key == 3))


def test_zarr_python_opens_data_zarr(made):
    group = zarr.open_group(made.path / "data.zarr", mode="r")
    assert group.metadata.consolidated_metadata is not None
    real = group["real"]
    assert real.dtype == made.frames.dtype and real.shape == made.frames.shape
    np.testing.assert_array_equal(real[...], made.frames)
    for frame in {0, made.frames[..., 0, 0].size // 2, made.frames[..., 0, 0].size - 1}:
        index = np.unravel_index(frame, made.scan)
        np.testing.assert_array_equal(real[index], made.frames[index])
    key = group["image_key"][...]
    assert set(np.flatnonzero(key.ravel() == 3)) == made.missing
    # And each array by itself, without the consolidated metadata.
    alone = zarr.open_array(made.path / "data.zarr/real", mode="r")
    np.testing.assert_array_equal(alone[...], made.frames)


def test_statistics_are_those_of_numpy(made):
    group = zarr.open_group(made.path / "data.zarr", mode="r")
    if made.frames.dtype.kind == "c":
        assert "statistics" not in group
        return
    flat = made.frames.reshape(-1, made.frames[0].size if len(made.scan) == 1
                               else made.frames[0, 0].size)
    present = np.array([n not in made.missing for n in range(len(flat))])
    exact = flat.astype(np.float64 if flat.dtype.kind == "f" else object)
    expected = {
        "minimum_value": flat.min(axis=1), "maximum_value": flat.max(axis=1),
        "sum": exact.sum(axis=1), "sum_sq": (exact * exact).sum(axis=1)}
    for name, values in expected.items():
        got = group["statistics/frame/" + name][...].ravel()
        np.testing.assert_array_equal(got[present], values[present].astype(got.dtype), err_msg=name)
        assert not got[~present].any()

    edges = group["statistics/block/counts_edges"][...]
    histogram = group["statistics/block/histogram"][...]
    frame_blocks = np.zeros(made.scan, int)
    blocks = [index for _, index in made.regions()]
    for number, index in enumerate(blocks):
        frame_blocks[index[:len(made.scan)]] = number
    for number in range(len(blocks)):
        pixels = flat[(frame_blocks.ravel() == number) & present]
        counted = np.clip(pixels.astype(np.float64), 0, edges[-1] - 1)
        np.testing.assert_array_equal(histogram[number], np.histogram(counted, edges)[0])


def test_extent_checksums_are_those_of_xxhash(made):
    checksums = zarr.open_group(made.path / "data.zarr", mode="r")["extent_checksum"][...]
    for number, (file, _) in enumerate(made.regions()):
        bytes_ = file.read_bytes()
        extents = [bytes_[at:at + (4 << 20)] for at in range(0, len(bytes_), 4 << 20)]
        assert [xxhash.xxh3_64_intdigest(extent) for extent in extents] == list(
            checksums[number][:len(extents)])
        assert not checksums[number][len(extents):].any()
        assert xxhash.xxh3_128_hexdigest(bytes_) == made.penstock["block_checksum"][number]
        assert len(bytes_) == made.penstock["block_bytes"][number]
        assert os.stat(file).st_mode & 0o777 == 0o444


@pytest.mark.skipif(shutil.which("xxh128sum") is None, reason="xxh128sum is not installed")
def test_xxh128sum_checks_every_file(made):
    done = subprocess.run(["xxh128sum", "--strict", "-c", "checksums.xxh128"], cwd=made.path,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = {line.split("  ./", 1)[1] for line in
              (made.path / "checksums.xxh128").read_text().splitlines()}
    there = {str(path.relative_to(made.path)) for path in made.path.rglob("*") if path.is_file()}
    assert listed == there - {"checksums.xxh128"}


def test_xarray_shows_coordinates_and_units(made):
    data = xarray.open_zarr(made.path / "data.zarr", chunks=None)
    assert data["real"].dims == (
        ("axis_m", "axis_k", "axis_j", "axis_i") if len(made.scan) == 2
        else ("axis_k", "axis_j", "axis_i"))
    if not made.options.get("calibrated"):
        assert not data.coords
        return
    expected = {"axis_m": (1, 0.5, "nm"), "axis_k": (-2, 0.25, "nm"),
                "axis_j": (-0.64, 0.02, "1/angstrom"), "axis_i": (-0.32, 0.01, "1/angstrom")}
    for name, size in data["real"].sizes.items():
        start, step, units = expected[name]
        np.testing.assert_allclose(data.coords[name], start + step * np.arange(size), rtol=1e-12,
                                   atol=1e-15)
        assert data.coords[name].attrs["units"] == units
    column = data["real"].sel(axis_k=-1.75)
    np.testing.assert_array_equal(column, np.take(made.frames, 1, axis=len(made.scan) - 1))


def test_a_moved_dataset_still_reads(made, tmp_path, monkeypatch):
    moved = tmp_path / "elsewhere" / "moved"
    shutil.copytree(made.path, moved)
    monkeypatch.chdir(tmp_path)
    with h5py.File(moved / "data.nxs", "r") as file:
        np.testing.assert_array_equal(file[made.signal + "/real"][()], made.frames)
    np.testing.assert_array_equal(zarr.open_array(moved / "data.zarr/real", mode="r")[...],
                                  made.frames)


def test_data_nxs_says_what_nexus_json_says(made):
    def compare(json_group, hdf5_group):
        for name, value in json_group.items():
            if name.startswith("@"):
                assert_same(hdf5_group.attrs[name[1:]], value)
            elif "@" in name:
                field, attribute = name.split("@")
                assert_same(hdf5_group[field].attrs[attribute], value)
            elif name.startswith(">"):
                assert name[1:] in hdf5_group
            elif isinstance(value, dict):
                compare(value, hdf5_group[name])
            else:
                got = hdf5_group[name]
                assert_same(got.asstr()[()] if h5py.check_string_dtype(got.dtype) else got[()],
                            value)

    def assert_same(got, value):
        assert np.array_equal(np.asarray(got), np.asarray(value)), (got, value)

    with h5py.File(made.path / "data.nxs", "r") as file:
        compare(made.nexus, file)
        if len(made.scan) == 2 and made.options.get("calibrated"):
            assert file[SIGNAL].attrs["axis_m_indices"].dtype == np.uint32


def test_a_lost_frame_takes_no_room(tmp_path):
    path = synthetic.make_dataset(tmp_path / "scan", scan=(4, 8), sig=(512, 512),
                                  missing=range(2, 32))
    block = path / "data.zarr/real/c/0/0/0/0"
    status = os.stat(block)
    assert status.st_size > 32 * 512 * 512 * 2
    assert status.st_blocks * 512 < 3 * 512 * 512 * 2


def test_sum_patterns_while_they_are_small(tmp_path):
    options = dict(scan=(30, 40), sig=(8, 8), block_bytes=600 * 8 * 8 * 2, missing=(5,))
    path = synthetic.make_dataset(tmp_path / "scan", **options)
    patterns = zarr.open_group(path / "data.zarr", mode="r")["statistics/block/sum_pattern"]
    assert patterns.shape == (2, 8, 8)
    frames = synthetic.frames(**options).astype(np.float64)
    np.testing.assert_array_equal(patterns[...], [frames[:15].sum((0, 1)), frames[15:].sum((0, 1))])
    few = synthetic.make_dataset(tmp_path / "few", scan=(3, 4))
    assert "sum_pattern" not in zarr.open_group(few / "data.zarr", mode="r")["statistics/block"]


def test_two_runs_give_the_same_bytes(tmp_path):
    digests = []
    for run in ("a", "b"):
        path = synthetic.make_dataset(tmp_path / run / "scan", block_bytes=5000, calibrated=True,
                                      complete=True, missing=(3,))
        digests.append((path / "checksums.xxh128").read_bytes())
    assert digests[0] == digests[1]


def test_nxem_is_claimed_when_complete(tmp_path):
    path = synthetic.make_dataset(tmp_path / "scan", complete=True, calibrated=True)
    with h5py.File(path / "data.nxs", "r") as file:
        entry = file["entry1"]
        assert entry["definition"].asstr()[()] == "NXem"
        assert entry["definition"].attrs["version"] == "v2026.01"
        assert entry["sample/is_simulation"][()] == np.True_
        assert entry["measurement/event1/instrument/ebeam_column/electron_source/voltage"].attrs[
            "units"] == "V"
