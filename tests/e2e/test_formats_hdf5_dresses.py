"""The dresses of HDF5 - NeXus, HyperSpy, EMD, Velox, py4DSTEM, Dectris - against h5py and the
readers of their own communities, with the facts and axes that the files state."""

import hashlib
import json

import h5py
import hdf5plugin
import numpy as np
import pytest
import zarr

from test_formats_hdf5 import decode, ingest, nexus, same, stored, values


def sha(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def axes(dataset):
    return nexus(dataset)["penstock"]["axes"]


def ground_truth(samples):
    known = {e["file"]: e for e in json.loads((samples / "groundtruth.json").read_text())}
    for entry in json.loads((samples / "synthetic.json").read_text())["files"]:
        known["synthetic/" + entry["file"] if not entry["file"].startswith("synthetic/") else entry["file"]] = entry
    return known


REAL = [  # file, dataset, options, detected format, status
    ("dectris/bitshuffle.h5", "entry/data/data", [], "nexus"),
    ("dectris/test_00_data_000001.h5", "entry/data/data", [], "nexus"),
    ("dectris/test_00_master.h5", "entry/data/data_000001", [], "dectris"),
    ("emd_berkeley/Acquisition_18.emd", "data/single/data", [], "emd"),
    ("emd_berkeley/emd_type1_stringDims.h5", "exper/emd_data/data", [], "emd"),
    ("emd_berkeley/Si100_4D.emd", "4DSTEM_simulation/data/datacubes/CBED_array_depth0000/datacube",
     ["--dataset-path"], "py4dstem"),
    ("emd_berkeley/Si100_4D.emd", "4DSTEM_simulation/data/datacubes/CBED_array_depth0001/datacube",
     ["--dataset-path"], "py4dstem"),
    ("emd_berkeley/example_signal.emd", "signals/__unnamed__/data", [], "emd"),
    ("py4dstem/py4DSTEM_size2x3x4x5.h5", "datacube_root/datacube/data", [], "py4dstem"),
    ("hspy/example2_v3.1.hspy", "Experiments/test_diffraction_pattern/data", [], "hspy"),
    ("nexus/saved_multi_signal.nxs", "entry1/rocks/data", [], "nexus"),
]


@pytest.mark.parametrize("name,path,options,dress", REAL)
def test_real_files(penstock, samples, tmp_path, name, path, options, dress):
    source = samples / name
    options = [options[0], path] if options else []
    done = penstock("ingest", source, "--to", tmp_path / "out", *options, status=None)
    assert done.returncode in (0, 3), done.stderr
    got = stored(tmp_path / "out")
    with h5py.File(source) as file:
        want = file[path][...]
    known = ground_truth(samples)[name].get("decoded", {}).get(path)
    if known:
        assert sha(want) == known["sha256"]
    same(got.reshape(want.shape), want)
    assert nexus(tmp_path / "out")["penstock"]["source_format"] == dress


def test_velox_frames_lie_last(penstock, samples, tmp_path):
    source = samples / "velox/fei_example_tem_stack.emd"
    penstock("ingest", source, "--to", tmp_path / "out", status=None)
    with h5py.File(source) as file:
        (image,) = file["Data/Image"].values()
        want = np.moveaxis(image["Data"][...], 2, 0)
        metadata = json.loads(image["Metadata"][:, 0].tobytes().split(b"\0")[0])
    same(stored(tmp_path / "out"), want)
    entry = nexus(tmp_path / "out")
    voltage = entry["measurement"]["event1"]["instrument"]["ebeam_column"]["electron_source"]
    assert voltage["voltage"] == float(metadata["Optics"]["AccelerationVoltage"])
    assert axes(tmp_path / "out")["axis_i"]["step"] == float(metadata["BinaryResult"]["PixelSize"]["width"])

    source = samples / "velox/STEM HAADF-DF4-DF2-BF Diffraction Micro.emd"
    done = penstock("ingest", source, "--to", tmp_path / "out2", status=2)
    assert done.stderr.count("(128, 128, 1) uint16") == 4
    with h5py.File(source) as file:
        for key, image in file["Data/Image"].items():
            penstock("ingest", source, "--to", tmp_path / "out2", "--replace", "--dataset-path",
                     f"Data/Image/{key}", status=None)
            same(stored(tmp_path / "out2")[0], image["Data"][..., 0])


@pytest.mark.parametrize("chunks", [(20, 24, 1), (7, 24, 3), (20, 24, 9), None])
def test_velox_chunks_of_any_shape(penstock, tmp_path, chunks):
    want = values("<u2", (20, 24, 9))
    with h5py.File(tmp_path / "v.emd", "w") as file:
        file["Version"] = [b'{"version": "8", "format": "Velox"}']
        image = file.create_group("Data/Image/" + "0123456789abcdef" * 2)
        image.create_dataset("Data", data=want, chunks=chunks)
    got = ingest(penstock, tmp_path / "v.emd", tmp_path / "out", "--block-size", 3000, status=3)
    same(got, np.moveaxis(want, 2, 0))


def test_dectris_series_with_sidecar(penstock, samples, tmp_path):
    source = samples / "synthetic/dectris/syn_master.h5"
    penstock("ingest", source, "--to", tmp_path / "out")
    got = stored(tmp_path / "out")
    assert got.shape == (3, 5, 24, 42)
    assert sha(got) == "c138eaccd4bfff50c5d864a001a5afa83dd04876e97889f1249c1783d90159ea"
    entry = nexus(tmp_path / "out")
    detector = entry["measurement"]["event1"]["instrument"]["detector1"]
    assert detector["count_time"] == 0.000995 and detector["count_time@units"] == "s"
    assert axes(tmp_path / "out")["axis_k"]["step"] == 0.5
    assert entry["penstock"]["sources"]["name"] == [
        "syn_master.h5", "syn_data_000001.h5", "syn_data_000002.h5", "syn_data_000003.h5", "syn.h5"]


def test_dectris_missing_data_file_is_named(penstock, samples, tmp_path):
    source = samples / "dectris/dangling/au_145mm_68kx_microprobe_01_master.h5"
    done = penstock("ingest", source, "--to", tmp_path / "out", status=1)
    assert "au_145mm_68kx_microprobe_01_data_000001.h5" in done.stderr


def write_dectris(folder, images, per_file, numbers=None, expected=None):
    parts = [images[i:i + per_file] for i in range(0, len(images), per_file)]
    with h5py.File(folder / "scan_master.h5", "w") as master:
        detector = master.create_group("entry/instrument/detector/detectorSpecific")
        detector["nimages"], detector["ntrigger"] = 1, expected or len(images)
        data = master.create_group("entry/data")
        first = 1
        for i, part in enumerate(parts, 1):
            data[f"data_{i:06}"] = h5py.ExternalLink(f"scan_data_{i:06}.h5", "/entry/data/data")
            with h5py.File(folder / f"scan_data_{i:06}.h5", "w") as file:
                stack = file.create_dataset("entry/data/data", data=part, chunks=(1, *part.shape[1:]),
                                            **hdf5plugin.Bitshuffle())
                low = numbers[i - 1] if numbers else first
                stack.attrs["image_nr_low"], stack.attrs["image_nr_high"] = low, low + len(part) - 1
            first += len(part)
    return folder / "scan_master.h5"


def test_dectris_numbering(penstock, tmp_path):
    images = values("<u4", (12, 9, 11))
    source = write_dectris(tmp_path, images, 5)
    got = ingest(penstock, source, tmp_path / "out", "--scan-shape", "3,4")
    same(got, images.reshape(3, 4, 9, 11))
    # Images 6 to 8 were lost with their file.
    source = write_dectris(tmp_path, images, 5, numbers=[1, 9, 14], expected=15)
    done = ingest(penstock, source, tmp_path / "out2", "--scan-shape", "3,5", status=1)
    assert "begins with image 9, not 6" in done.stderr or "lost" in done.stderr
    got = ingest(penstock, source, tmp_path / "out2", "--scan-shape", "3,5", "--missing", "zero", status=3)
    flat = got.reshape(15, 9, 11)
    np.testing.assert_array_equal(flat[:5], images[:5])
    np.testing.assert_array_equal(flat[8:], images[5:])


def test_dectris_mask_and_thresholds(penstock, tmp_path):
    images = values("<u4", (6, 2, 9, 11))
    mask = np.zeros((9, 11), "<u4")
    mask[2, 3:5], mask[8, 10] = 1, 16
    with h5py.File(tmp_path / "s_master.h5", "w") as file:
        specific = file.create_group("entry/instrument/detector/detectorSpecific")
        specific.create_dataset("pixel_mask", data=mask, chunks=mask.shape, **hdf5plugin.Bitshuffle())
        file.create_dataset("entry/data/data", data=images, chunks=(1, 1, 9, 11), **hdf5plugin.Bitshuffle())
    done = penstock("ingest", tmp_path / "s_master.h5", "--to", tmp_path / "out", status=3)
    assert "2 thresholds" in done.stderr + done.stdout or "2 thresholds" in json.dumps(nexus(tmp_path / "out"))
    same(stored(tmp_path / "out"), images[:, 0])
    text = json.dumps(nexus(tmp_path / "out")["penstock"]["vendor_headers"])
    assert "25 2 1" in text and "98 1 16" in text


def test_nexus_by_default_and_links(penstock, samples, tmp_path):
    source = samples / "synthetic/nexus/syn4d.nxs"
    penstock("ingest", source, "--to", tmp_path / "out")
    got = stored(tmp_path / "out")
    assert got.shape == (3, 4, 6, 10)
    assert sha(got) == "ed519325a452a04df4a66d013f362df088111ae69788256bd6e42bcb70c8513f"
    assert axes(tmp_path / "out")["axis_m"]["step"] == 2e-9
    assert axes(tmp_path / "out")["axis_k"]["step"] == 1e-9


def test_nexus_old_and_broken(penstock, tmp_path):
    want = values("<u2")
    source = tmp_path / "scan.nxs"
    with h5py.File(source, "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        data = entry.create_group("plot")
        data.attrs["NX_class"] = "NXdata"
        data["counts"] = want
        data["counts"].attrs["signal"] = "1"
        data["counts"].attrs["axes"] = "ypos:xpos:row:col"
        for name, size, step in (("ypos", 5, 3.0), ("xpos", 7, 2.0)):
            data[name] = 1 + step * np.arange(size)
            data[name].attrs["units"] = "um"
        data["row"] = np.arange(12.0) ** 2
    got = ingest(penstock, source, tmp_path / "out", status=3)  # the rows are not linear
    same(got, want)
    found = axes(tmp_path / "out")
    assert (found["axis_m"]["start"], found["axis_m"]["step"], found["axis_m"]["step@units"]) == (1, 3, "um")
    assert found["axis_k"]["step"] == 2
    with h5py.File(source, "a") as file:
        del file["entry/plot/counts"]
        file["entry/plot"].attrs["signal"] = "counts"
        file["entry/plot/counts"] = h5py.ExternalLink("detector.h5", "/counts")
    done = ingest(penstock, source, tmp_path / "out2", status=1)
    assert "detector.h5" in done.stderr
    with h5py.File(tmp_path / "detector.h5", "w") as file:
        file["counts"] = want
    same(ingest(penstock, source, tmp_path / "out2"), want)


def test_hspy(penstock, samples, tmp_path):
    source = samples / "synthetic/hspy/syn4d.hspy"
    penstock("ingest", source, "--to", tmp_path / "out")
    got = stored(tmp_path / "out")
    assert sha(got) == "365498b6615e332aa4c0e94f2b9abb5578337372680406e3e1abe900331e60d9"
    found = axes(tmp_path / "out")
    assert [found[a]["step"] for a in ("axis_m", "axis_k", "axis_j", "axis_i")] == [0.5, 0.25, 0.1, 0.1]
    assert found["axis_k"]["step@units"] == "nm" and found["axis_i"]["step@units"] == "1/nm"
    source_group = nexus(tmp_path / "out")["measurement"]["event1"]["instrument"]["ebeam_column"]
    assert source_group["electron_source"]["voltage"] == 200
    assert source_group["electron_source"]["voltage@units"] == "kV"
    done = penstock("ingest", samples / "hspy/example1_v1.2.hdf5", "--to", tmp_path / "out2", status=1)
    assert "no frames" in done.stderr or "no image" in done.stderr


def test_py4dstem(penstock, samples, tmp_path):
    penstock("ingest", samples / "py4dstem/py4DSTEM_size2x3x4x5.h5", "--to", tmp_path / "out")
    found = axes(tmp_path / "out")
    assert found["axis_m"]["step"] == pytest.approx(0.126796875)
    assert found["axis_i"]["step"] == pytest.approx(0.044251566)
    assert found["axis_i"]["step@units"] == "1/angstrom"
    source = samples / "synthetic/py4dstem/legacy_v0_12.h5"
    penstock("ingest", source, "--to", tmp_path / "out2")
    assert sha(stored(tmp_path / "out2")) == "44775f37d2ce4f02cdb7bf3c5e46913f1c7dcf071e5bf72c2c9d5c613a747685"


def test_rosettasciio_agrees_on_generated_hspy(penstock, tmp_path):
    from rsciio.hspy import file_reader, file_writer
    want = values("<u2", (4, 5, 16, 12))
    names = [("y", 0.4, 0.0, "nm", True), ("x", 0.2, 1.0, "nm", True), ("ky", 0.01, -0.08, "1/nm", False),
             ("kx", 0.01, -0.06, "1/nm", False)]
    signal = {
        "data": want, "axes": [{"_type": "UniformDataAxis", "name": n, "scale": s, "offset": o, "units": u,
                                "size": size, "navigate": nav, "index_in_array": i, "is_binned": False}
                               for i, ((n, s, o, u, nav), size) in enumerate(zip(names, want.shape))],
        "metadata": {"General": {"title": "generated"}, "Signal": {"signal_type": ""}},
        "original_metadata": {}, "attributes": {"_lazy": False, "ragged": False},
        "learning_results": {}, "models": None, "tmp_parameters": {}, "package_info": {}, "package": "test", "package_version": "0",
    }
    file_writer(str(tmp_path / "s.hspy"), signal)
    got = ingest(penstock, tmp_path / "s.hspy", tmp_path / "out")
    same(got, want)
    (read,) = file_reader(str(tmp_path / "s.hspy"))
    np.testing.assert_array_equal(got, read["data"])


def hyperspy_sets(folder):
    for name in ("emd_files", "hdf5_files", "nexus_files"):
        for path in sorted((folder / name).iterdir()):
            if path.suffix in (".emd", ".hspy", ".hdf5", ".nxs"):
                yield path


def test_debian_hyperspy_files(hyperspy_data, tmp_path):
    """Every HDF5 file of HyperSpy's own tests: what is read equals h5py, what is not says why."""
    read = 0
    for source in hyperspy_sets(hyperspy_data):
        (found,) = decode(source, tmp_path / "raw")
        if isinstance(found, str):
            assert "expected" in found or "missing" in found, (source.name, found)
            continue
        got, _ = found
        read += 1
        matches = []

        def look(name, data):
            if not isinstance(data, h5py.Dataset) or data.size != got.size or data.dtype.kind not in "iuf":
                return
            want = data[...]
            if data.ndim == 3 and np.array_equal(np.moveaxis(want, 2, 0), got):
                matches.append(name)
            elif np.array_equal(want.reshape(-1), got.reshape(-1)):
                matches.append(name)

        with h5py.File(source) as file:
            file.visititems(look)
        assert matches, source.name
    assert read >= 8
