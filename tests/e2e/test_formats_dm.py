"""DM3 and DM4: what `penstock ingest` stores against ncempy, RosettaSciIO and LiberTEM, on real files
and on generated ones."""

import json
import warnings

import h5py
import ncempy.io.dm
import numpy as np
import pytest
import zarr

import dm_files


def stored(dataset):
    return zarr.open_array(dataset / "data.zarr/real", mode="r")[...]


def entry(dataset):
    return json.loads((dataset / "nexus.json").read_text())["entry1"]


def axes(dataset):
    return entry(dataset)["penstock"].get("axes", {})


def rosetta(path):
    from rsciio.digitalmicrograph import file_reader
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return file_reader(str(path))


def libertem(path):
    from libertem.api import Context
    from libertem.executor.inline import InlineJobExecutor
    from libertem.udf.raw import PickUDF
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = Context(executor=InlineJobExecutor())
        dataset = context.load("dm", path=str(path))
        roi = np.ones(dataset.shape.nav, bool)
        frames = np.asarray(context.run_udf(dataset=dataset, udf=PickUDF(), roi=roi)["intensity"])
        return frames.reshape(tuple(dataset.shape))


def random(shape, dtype, seed=1):
    generator = np.random.default_rng(seed)
    raw = generator.integers(0, 256, int(np.prod(shape)) * np.dtype(dtype).itemsize, np.uint8)
    if np.dtype(dtype).kind == "f":
        return generator.normal(size=shape).astype(dtype)
    return raw.view(dtype).reshape(shape)


IMAGES = ["dm3_2D_data", "dm4_2D_data", "dm3_3D_data", "dm4_3D_data", "dm3_locale",
          "dm_stackbuilder_plugin"]


def test_real_files_as_rosettasciio_reads_them(penstock, tmp_path, hyperspy_data):
    compared, refused = 0, 0
    for folder in IMAGES:
        accepted = {}
        for path in sorted((hyperspy_data / folder).glob("*.dm*")):
            reference = rosetta(path)[-1]["data"]
            if path.name == "multi_signal.dm3" or "spectrum" in path.name or "EELS" in path.name:
                continue
            if reference.dtype.kind in "iufb":
                accepted[path] = reference
            elif folder.endswith("3D_data"):  # complex and colour
                done = penstock("info", path, status=1)
                assert "are not read" in done.stderr, path
                refused += 1
        penstock("ingest", *accepted, "--to", f"{tmp_path / folder}/", timeout=300)
        for path, reference in accepted.items():
            frames = stored(tmp_path / folder / path.stem)
            if reference.ndim == 2:
                reference = reference[None]
            np.testing.assert_array_equal(frames, reference, err_msg=str(path))
            assert frames.dtype == (np.uint8 if reference.dtype == bool else reference.dtype)
            compared += 1
    assert compared >= 40 and refused >= 10, (compared, refused)


def test_spectra_are_refused(penstock, tmp_path, hyperspy_data):
    for name in ("dm3_1D_data/test-EELS_spectrum.dm3", "dm4_3D_data/EELS_SI.dm4"):
        done = penstock("ingest", hyperspy_data / name, "--to", tmp_path / "out", status=1)
        assert "this data set holds spectra" in done.stderr and not (tmp_path / "out").exists()


def test_calibration_and_facts_of_a_real_file(penstock, tmp_path, hyperspy_data):
    path = hyperspy_data / "dm3_2D_data/test_diffraction_pattern.dm3"
    penstock("ingest", path, "--to", tmp_path / "out")
    reference = rosetta(path)[0]
    for name, axis in zip(("axis_j", "axis_i"), reference["axes"]):
        ours = axes(tmp_path / "out")[name]
        assert ours["step"] == pytest.approx(axis["scale"], rel=1e-6)
        assert ours["start"] == pytest.approx(axis["offset"], rel=1e-6)
        assert ours["step@units"] == axis["units"] == "1/nm"
    with h5py.File(tmp_path / "out/data.nxs") as file:
        instrument = file["entry1/measurement/event1/instrument"]
        voltage = instrument["ebeam_column/electron_source/voltage"]
        assert voltage[()] == 200000 and voltage.attrs["units"] == "V"
        assert instrument["detector1/count_time"][()] == 0.2
        name = file["entry1/measurement/instrument/detector1/name"].asstr()[()]
    assert name == "BM-UltraScan"
    text = entry(tmp_path / "out")["penstock"]["vendor_headers"]["header1"]["data"]
    assert "/ImageTags/Microscope Info/Emission Current (\u00b5A) = 0\n" in text


def test_several_images(penstock, tmp_path, hyperspy_data):
    path = hyperspy_data / "dm3_2D_data/multi_signal.dm3"
    references = rosetta(path)
    listed = penstock("info", path, status=3).stdout
    for reference in references:
        name = reference["metadata"]["General"]["title"]
        assert f"'{name}'" in listed
        if reference["data"].ndim != 2:
            continue
        out = tmp_path / name.replace(" ", "_")
        done = penstock("ingest", path, "--to", out, "--dataset-path", name, status=None)
        if done.returncode == 1:
            assert "spectra" in done.stderr
            continue
        np.testing.assert_array_equal(stored(out)[0], reference["data"])
    bad = penstock("ingest", path, "--to", tmp_path / "bad", "--dataset-path", "99", status=2)
    assert "the file has no image '99'" in bad.stderr


@pytest.mark.parametrize("dtype", sorted(dm_files.DATA_TYPES))
def test_every_type_of_a_stack(penstock, tmp_path, dtype):
    array = random((3, 7, 11), dtype)
    for version in (3, 4):
        path = dm_files.write(tmp_path / f"stack.dm{version}",
                              [dm_files.image(array, "stack")], version)
        out = tmp_path / f"v{version}"
        penstock("ingest", path, "--to", out)
        np.testing.assert_array_equal(stored(out), array)
        assert stored(out).dtype == array.dtype
        if dtype in ("int64", "uint64"):  # RosettaSciIO knows them not
            continue
        np.testing.assert_array_equal(rosetta(path)[-1]["data"], array)
        np.testing.assert_array_equal(ncempy.io.dm.dmReader(str(path))["data"], array)


@pytest.mark.parametrize("version", (3, 4))
def test_big_endian(penstock, tmp_path, version):
    for dtype in ("uint16", "float32", "float64"):
        array = random((2, 33, 65), dtype)
        path = dm_files.write(tmp_path / "big.dm3", [dm_files.image(array)], version, big=True)
        penstock("ingest", path, "--to", tmp_path / dtype)
        np.testing.assert_array_equal(stored(tmp_path / dtype), array)
        # RosettaSciIO reads the tags in the file's byte order, the pixels in the machine's; ncempy
        # refuses such files.
        np.testing.assert_array_equal(rosetta(path)[-1]["data"].byteswap(), array)


def scan_tags(swapped=True):
    meta = [("Format", "Diffraction image"), ("Signal", "TEM")]
    if swapped is not None:
        meta.insert(0, ("Data Order Swapped", swapped))
    return [("Meta Data", meta), ("Microscope Info", [("Voltage", np.float64(80000)),
                                                      ("STEM Camera Length", np.float64(145))])]


def test_stem_scan(penstock, tmp_path):
    array = random((3, 4, 10, 6), "uint16")
    path = dm_files.write(tmp_path / "scan.dm4", [dm_files.image(
        array, "Diffraction SI", scan_tags(), scales=[2.0, 2.0, 0.25, 0.25],
        units=["nm", "nm", "mrad", "mrad"], origins=[1.0, 2.0, 5.0, 3.0])])
    penstock("ingest", path, "--to", tmp_path / "out")
    np.testing.assert_array_equal(stored(tmp_path / "out"), array)
    np.testing.assert_array_equal(libertem(path), array)
    np.testing.assert_array_equal(ncempy.io.dm.dmReader(str(path))["data"], array)
    found = rosetta(path)[-1]
    np.testing.assert_array_equal(found["data"], array)
    for name, axis in zip(("axis_m", "axis_k", "axis_j", "axis_i"), found["axes"]):
        ours = axes(tmp_path / "out")[name]
        assert (ours["start"], ours["step"]) == (axis["offset"], axis["scale"])
        assert ours["start@units"] == axis["units"]
    assert axes(tmp_path / "out")["axis_j"]["start"] == -1.25
    optics = entry(tmp_path / "out")["measurement"]["event1"]["instrument"]["optics"]
    assert optics["camera_length"] == 145 and optics["camera_length@units"] == "mm"
    penstock("verify", tmp_path / "out", "--source", path)


def test_scan_whose_order_is_not_known(penstock, tmp_path):
    array = random((3, 4, 10, 6), "uint16")
    path = dm_files.write(tmp_path / "old.dm4", [dm_files.image(array, "", scan_tags(None))])
    refused = penstock("ingest", path, "--to", tmp_path / "out", status=1)
    assert "Data Order Swapped" in refused.stderr
    penstock("ingest", path, "--to", tmp_path / "out", "--accept-contradictions", status=3)
    np.testing.assert_array_equal(stored(tmp_path / "out"), array)
    path = dm_files.write(tmp_path / "fast.dm4", [dm_files.image(array, "", scan_tags(False))])
    refused = penstock("ingest", path, "--to", tmp_path / "no", status=1)
    assert "the scan is the fast axis" in refused.stderr


def test_truncated_and_odd_files(penstock, tmp_path):
    path = dm_files.write(tmp_path / "a.dm4", [dm_files.image(random((3, 20, 20), "float32"))])
    whole = path.read_bytes()
    for length in (100, len(whole) // 2, len(whole) - 300):
        path.write_bytes(whole[:length])
        done = penstock("ingest", path, "--to", tmp_path / "out", status=1)
        assert "copied completely" in done.stderr and not (tmp_path / "out").exists()
    path.write_bytes(whole.replace(b"ImageList", b"ImageLost"))
    assert "no image" in penstock("info", path, status=1).stderr
