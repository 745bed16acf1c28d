"""Results as NeXus and Zarr, and where they say that they come from."""

import json

import h5py
import numpy as np
import pytest
import xxhash
import zarr

from synthetic import make_dataset

OPERATIONS = ("--mask", "disk:8,6,4", "--mask", "harmonic:8,6,1,5,1", "--com", "--sum", "--std")
NAMES = {"masks", "com_rows", "com_columns", "sum", "mean", "std"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("results") / "scan"
    make_dataset(path, missing=(3,))
    return path


@pytest.fixture(scope="module")
def arrays(penstock, dataset, tmp_path_factory):
    """What the same operations leave as .npy files."""
    folder = tmp_path_factory.mktemp("plain")
    penstock("apply", dataset, *OPERATIONS, "--out", f"{folder}/")
    return {path.stem: np.load(path) for path in folder.glob("*.npy")}


def check_provenance(provenance, dataset):
    assert provenance["program"] == "penstock" and provenance["version"].count(".") == 2
    assert provenance["date"].endswith("Z") and " apply " in provenance["command"]
    assert provenance["parameters"]["mask"] == ["disk:8,6,4", "harmonic:8,6,1,5,1"]
    first = provenance["inputs"][0]
    assert (first["role"], first["path"]) == ("dataset", str(dataset))
    assert first["checksum"] == xxhash.xxh3_128_hexdigest((dataset / "nexus.json").read_bytes())


def test_nexus(penstock, dataset, arrays, tmp_path):
    assert set(arrays) == NAMES
    done = penstock("apply", dataset, *OPERATIONS, "--json", "--out", tmp_path / "r.nxs")
    outputs = json.loads(done.stdout.splitlines()[-1])["outputs"]
    assert outputs[0] == str(tmp_path / "r.nxs") and str(tmp_path / "r_sum.png") in outputs
    with h5py.File(tmp_path / "r.nxs") as file:
        assert file.attrs["default"] == "entry"
        entry = file["entry"]
        assert entry.attrs["NX_class"] == "NXentry"
        for name, expected in arrays.items():
            group = entry[name]
            assert group.attrs["NX_class"] == "NXdata" and group.attrs["signal"] == "data"
            assert group["data"].dtype == expected.dtype
            np.testing.assert_array_equal(group["data"][()], expected)
        process = entry["process"]
        assert process.attrs["NX_class"] == "NXprocess"
        text = lambda node: process[node][()].decode()
        inputs = [{"role": text(f"{name}/description"), "path": text(f"{name}/file_name"),
                   **({"checksum": text(f"{name}/checksum")} if "checksum" in process[name] else {})}
                  for name in sorted(process) if name.startswith("input")]
        check_provenance({"program": text("program"), "version": text("version"), "date": text("date"),
                          "command": text("command/data"), "inputs": inputs,
                          "parameters": json.loads(text("parameters/data"))}, dataset)


def test_zarr(penstock, dataset, arrays, tmp_path):
    for _ in range(2):  # the second one replaces the first
        penstock("apply", dataset, *OPERATIONS, "--no-pictures", "--out", tmp_path / "r.zarr")
    group = zarr.open_group(tmp_path / "r.zarr", mode="r")
    assert set(group.array_keys()) == NAMES
    for name, expected in arrays.items():
        assert group[name].dtype == expected.dtype
        np.testing.assert_array_equal(group[name][...], expected)
    check_provenance(group.attrs["provenance"], dataset)
    assert [path.name for path in tmp_path.iterdir()] == ["r.zarr"]


def test_a_folder_of_somebody_else_is_not_replaced(penstock, dataset, tmp_path):
    (tmp_path / "r.zarr").mkdir()
    (tmp_path / "r.zarr/mine").write_text("x")
    done = penstock("apply", dataset, "--sum", "--no-pictures", "--out", tmp_path / "r.zarr", status=1)
    assert "r.zarr" in done.stderr and (tmp_path / "r.zarr/mine").read_text() == "x"


def test_arrays_have_it_beside_them(penstock, dataset, tmp_path):
    np.save(tmp_path / "m.npy", np.ones((16, 12)))
    penstock("apply", dataset, "--mask", tmp_path / "m.npy", "--region", "0:2,:", "--out", tmp_path / "r.npy")
    provenance = json.loads((tmp_path / "r.provenance.json").read_text())
    assert provenance["parameters"] == {"mask": [str(tmp_path / "m.npy")], "region": "0:2,:"}
    mask = provenance["inputs"][-1]
    assert mask["role"] == "mask" and mask["algorithm"] == "XXH3-128"
    assert mask["checksum"] == xxhash.xxh3_128_hexdigest((tmp_path / "m.npy").read_bytes())
