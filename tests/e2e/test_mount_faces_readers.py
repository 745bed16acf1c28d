"""The faces of a mount in the programs that people use: what they read is what the frames are."""

import json
import subprocess

import h5py
import numpy as np
import pytest

from face_files import signal
from mounting import mounted, need_fuse
from record_formats import libertem_array, libertem_context
from synthetic import ROOT, frames, make_dataset

need_fuse()

SHAPES = dict(scan=dict(scan=(6, 7), sig=(32, 24), block_bytes=25_000, missing=(9,)),
              part=dict(scan=(4, 9), sig=(32, 24), block_bytes=5_000, dtype="float32"))
PATH = "/" + signal(SHAPES["scan"])


@pytest.fixture(scope="module")
def point(penstock, tmp_path_factory):
    folder = tmp_path_factory.mktemp("readers")
    (folder / "store").mkdir()
    for name, shape in SHAPES.items():
        make_dataset(folder / "store" / name, calibrated=True, complete=True, **shape)
    with mounted(penstock, folder / "store", folder / "mnt", folder / "cache") as mount:
        yield mount.point


@pytest.fixture(params=SHAPES)
def scan(request, point):
    return point / request.param


def expected(scan):
    return frames(**SHAPES[scan.name])


def test_libertem(scan):
    array = expected(scan)
    for loaded in (
            libertem_array("npy", path=str(scan / "data.npy")),
            libertem_array("raw", path=str(scan / "data.raw"), dtype=array.dtype,
                           nav_shape=array.shape[:2], sig_shape=array.shape[2:]),
            libertem_array("hdf5", path=str(scan / "data.nxs"), ds_path=PATH)):
        np.testing.assert_array_equal(loaded, array)
    context = libertem_context()
    data = context.load("auto", path=str(scan / "data.nxs"))
    assert data.array_backends and tuple(data.shape) == array.shape
    y, x = np.mgrid[:32, :24]
    disk = (y - 16) ** 2 + (x - 12) ** 2 < 6 ** 2
    analysis = context.create_mask_analysis(dataset=data, factories=[lambda: disk.astype(np.float64)])
    np.testing.assert_allclose(context.run(analysis).mask_0.raw_data,
                               array[..., disk].sum(axis=-1), rtol=1e-5)


def test_rosettasciio(scan):
    """Which is HyperSpy's reader."""
    from rsciio.nexus import file_reader
    found = [item for item in file_reader(str(scan / "data.nxs"), lazy=True, nxdata_only=True)
             if len(item["data"].shape) == 4]
    assert len(found) == 1
    np.testing.assert_array_equal(found[0]["data"].compute(), expected(scan))
    axes = found[0]["axes"]
    assert [axis["size"] for axis in axes] == list(expected(scan).shape)
    assert [axis["units"] for axis in axes] == ["nm", "nm", "1/angstrom", "1/angstrom"]
    assert axes[0]["offset"] == 1 and axes[0]["scale"] == 0.5


HYPERSPY = ROOT / ".venv/hyperspy/bin/python"
LOAD = """
import json, sys
import hyperspy.api, numpy
for name, options in (("data.nxs", {"nxdata_only": True}), ("data.npy", {})):
    loaded = hyperspy.api.load(f"{sys.argv[1]}/{name}", lazy=True, **options)
    (signal,) = [each for each in (loaded if isinstance(loaded, list) else [loaded]) if each.data.ndim == 4]
    numpy.save(f"{sys.argv[2]}/{name}.npy", signal.data.compute())
    if name == "data.nxs":
        picture = signal.transpose(signal_axes=2)
        numpy.save(f"{sys.argv[2]}/mean.npy", picture.mean().data.compute())
        axes = [[axis.size, axis.scale, axis.offset, str(axis.units)] for axis in signal.axes_manager._axes]
        print(json.dumps(axes))
"""


def test_hyperspy(scan, tmp_path):
    if not HYPERSPY.exists():
        pytest.skip("SKIPPED FOR WANT OF HYPERSPY: run tools/setup --tests")
    done = subprocess.run([HYPERSPY, "-c", LOAD, scan, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    array = expected(scan)
    for name in ("data.nxs", "data.npy"):
        loaded = np.load(tmp_path / f"{name}.npy")
        assert loaded.dtype == array.dtype
        np.testing.assert_array_equal(loaded, array)
    np.testing.assert_allclose(np.load(tmp_path / "mean.npy"), array.mean(axis=(0, 1)), rtol=1e-5)
    axes = json.loads(done.stdout.splitlines()[-1])
    assert [axis[0] for axis in axes] == list(array.shape)
    assert axes[0] == [array.shape[0], 0.5, 1.0, "nm"] and [axis[3] for axis in axes[2:]] == ["1/angstrom"] * 2


def test_py4dstem(scan):
    import py4DSTEM
    array = expected(scan)
    with h5py.File(scan / "data.nxs") as file:
        for data in (np.load(scan / "data.npy", mmap_mode="r"), file[PATH][...]):
            cube = py4DSTEM.DataCube(data=data)
            assert (cube.Rshape, cube.Qshape) == (array.shape[:2], array.shape[2:])
            np.testing.assert_allclose(cube.get_dp_mean().data, array.mean(axis=(0, 1)), rtol=1e-5)


def test_silx(scan):
    import silx.io
    from silx.io.dictdump import nxtodict
    from silx.io.nxdata import get_default
    array = expected(scan)
    with silx.io.open(str(scan / "data.nxs")) as file:
        plot = get_default(file)
        assert plot.signal_dataset_name == "real" and plot.signal.shape == array.shape
        np.testing.assert_array_equal(plot.signal[3, 2:5], array[3, 2:5])
        assert plot.axes_dataset_names == ["axis_m", "axis_k", "axis_j", "axis_i"]
        np.testing.assert_array_equal(plot.axes[2], np.arange(32) * 0.02 - 0.64)
    tree = nxtodict(str(scan / "data.nxs"), path="/entry1/penstock")
    assert tree["frames_expected"] == array.shape[0] * array.shape[1]


def test_dask_and_xarray(scan):
    import dask.array
    import xarray
    array = expected(scan)
    with h5py.File(scan / "data.nxs") as file:
        lazy = dask.array.from_array(file[PATH], chunks=(2, -1, -1, -1))
        np.testing.assert_array_equal(lazy.sum(axis=(2, 3)).compute(scheduler="threads"),
                                      array.astype(lazy.sum().dtype).sum(axis=(2, 3)))
    cube = xarray.DataArray(np.load(scan / "data.npy", mmap_mode="r"), dims=("m", "k", "j", "i"))
    np.testing.assert_array_equal(cube.isel(m=1, k=slice(2, 4)).values, array[1, 2:4])


def test_the_tools_of_hdf5_1_10(scan, tmp_path):
    """Another version of the library than h5py's."""
    array = expected(scan)
    out = tmp_path / "slab"
    done = subprocess.run(["h5dump", "-d", PATH, "-s", "2,3,0,0", "-c", "2,2,32,24", "-b", "LE", "-o",
                           out, scan / "data.nxs"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.fromfile(out, array.dtype).reshape(2, 2, 32, 24),
                                  array[2:4, 3:5])
    done = subprocess.run(["h5dump", "-p", "-H", "-d", PATH, scan / "data.nxs"],
                          capture_output=True, text=True, check=False)
    assert "CONTIGUOUS" in done.stdout and "OFFSET 1048576" in done.stdout
    assert subprocess.run(["h5ls", "-r", scan / "data.nxs"], capture_output=True,
                          check=False).returncode == 0
