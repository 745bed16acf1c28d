"""Datasets as arrays: what NumPy and Dask see of them is what the frames are."""

import multiprocessing
import pathlib
import pickle

import distributed
import numpy as np
import pytest
import scipy.sparse

import synthetic

SHAPES = {"scan": ((5, 7), (24, 20)), "series": ((33,), (12, 16))}


@pytest.fixture(scope="module", params=[("scan", "uint16"), ("scan", "int64"), ("scan", "complex64"),
                                        ("series", "float32"), ("scan", "uint16", "lz4")], ids="-".join)
def opened(request, tmp_path_factory, penstock_package):
    kind, dtype, *compression = request.param
    path = tmp_path_factory.mktemp("arrays") / "scan"
    scan, sig = SHAPES[kind]
    options = dict(scan=scan, sig=sig, dtype=dtype, missing=(4,))
    synthetic.make_dataset(path, block_bytes=14 * np.prod(sig) * np.dtype(dtype).itemsize, **options,
                           compression=compression[0] if compression else None)
    frames = synthetic.frames(**options)
    return penstock_package.open(path), frames


def test_what_is_there(opened):
    data, frames = opened
    assert data.shape == frames.shape and data.dtype == frames.dtype and data.ndim == frames.ndim
    assert len(data) == len(frames) and data.nbytes == frames.nbytes and data.size == frames.size
    assert data.valid.shape == data.scan_shape and data.valid.sum() == data.frame_count - 1
    assert data.axes == [None] * data.ndim and data.nexus["entry1"]["@NX_class"] == "NXentry"
    assert data.state == "sealed" and data.pixel_mask is None and data.generation in repr(data.__reduce__())
    np.testing.assert_array_equal(data.frame(7), frames.reshape(-1, *data.signal_shape)[7])
    np.testing.assert_array_equal(data.frame(-1), frames.reshape(-1, *data.signal_shape)[-1])
    np.testing.assert_array_equal(np.asarray(data), frames)
    np.testing.assert_array_equal(np.sum(data, axis=0), frames.sum(axis=0))
    assert np.array(data, dtype=np.complex128).dtype == np.complex128


def test_axes(penstock_package, tmp_path):
    synthetic.make_dataset(tmp_path / "scan", calibrated=True)
    rows, columns, y, x = penstock_package.open(tmp_path / "scan").axes
    assert rows == ("axis_m", 1.0, 0.5, "nm") and columns == ("axis_k", -2.0, 0.25, "nm")
    assert y == ("axis_j", -0.64, 0.02, "1/angstrom") and x.step == 0.01


@pytest.mark.parametrize("key", [
    np.s_[...], np.s_[:], np.s_[3], np.s_[-1], np.s_[1:4], np.s_[::-2], np.s_[2, 3], np.s_[2:4, ..., 5],
    np.s_[2, 3, 4, 5], np.s_[1:3, 2:6, 3:9, ::2], np.s_[..., 10:2:-3], np.s_[0, 1, ::-1, -4:],
    np.s_[[4, 0, 4]], np.s_[1:1], np.s_[..., 5:5], np.s_[[1, 2], [3, 5]], np.s_[[1, 2], [3, 5], 2:7, 1],
    np.s_[np.newaxis], np.s_[..., ...], np.s_[99], np.s_[..., 99], np.s_[0, 0, 0, 0, 0], np.s_["name"]], ids=str)
def test_indices_do_what_those_of_numpy_do(opened, key):
    data, frames = opened
    if key is None or key == (Ellipsis, Ellipsis):
        with pytest.raises(IndexError):
            data[key]
        return
    lists = isinstance(key, tuple) and isinstance(key[0], list)
    if lists and data.ndim == 3:
        with pytest.raises(IndexError, match="integers and slices|too many"):  # arrays are for the axes of the scan
            data[key]
        return
    try:
        expected = frames[key]
    except IndexError:
        with pytest.raises(IndexError):
            data[key]
        return
    found = data[key]
    assert found.shape == expected.shape and found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_boolean_arrays_of_the_scan(opened):
    data, frames = opened
    chosen = np.random.default_rng(2).integers(0, 2, data.scan_shape).astype(bool)
    np.testing.assert_array_equal(data[chosen], frames[chosen])
    np.testing.assert_array_equal(data[chosen, 3:5, 2], frames[chosen, 3:5, 2])
    with pytest.raises(IndexError):
        data[np.ones(data.shape, bool)]
    with pytest.raises(IndexError):
        data[..., [1, 2]]


def test_pickles_open_the_same_dataset(opened, penstock_package):
    data, frames = opened
    again = pickle.loads(pickle.dumps(data))
    assert again.generation == data.generation
    np.testing.assert_array_equal(again[1], frames[1])
    function, (path, options, _) = data.__reduce__()
    with pytest.raises(ValueError, match="anew"):
        function(path, options, "0" * 32)


def test_a_fork_opens_anew(opened):
    data, frames = opened
    parents = data._reader

    def child():
        assert data._reader is not parents
        np.testing.assert_array_equal(data[1], frames[1])
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(timeout=60)
    assert process.exitcode == 0 and data._reader is parents


def test_partitions_are_the_blocks(opened):
    data, frames = opened
    for wanted, count in ((None, 3), (4, None), (1, data.frame_count)):
        parts = data.partitions(wanted)
        assert count is None or len(parts) == count
        seen = np.zeros(data.scan_shape, int)
        for part in parts:
            seen[part] += 1
        assert (seen == 1).all()


@pytest.mark.parametrize("count", [None, 1, 5, 9])
def test_functions_of_ones_own(opened, count):
    data, frames = opened
    found = np.zeros(data.scan_shape, frames.dtype)
    for region, part in data.chunks(count):
        assert part.shape == found[region].shape + data.signal_shape
        assert count is None or part.size <= count * data.signal_shape[0] * data.signal_shape[1]
        found[region] = part[..., 3, 4] - part[..., 5, 6]
    np.testing.assert_array_equal(found, frames[..., 3, 4] - frames[..., 5, 6])
    for region, part in data.chunks(4):  # whoever leaves early leaves nothing behind
        break


@pytest.mark.parametrize("chunk_frames", [None, 10, 3, 1])
def test_dask_arrays(opened, penstock_package, chunk_frames):
    data, frames = opened
    lazy = penstock_package.to_dask(data.path, chunk_frames=chunk_frames)
    assert lazy.shape == frames.shape and lazy.dtype == frames.dtype
    assert lazy.npartitions == 3 if chunk_frames is None else lazy.npartitions >= data.frame_count / chunk_frames
    np.testing.assert_array_equal(lazy.compute(scheduler="threads"), frames)
    np.testing.assert_array_equal(lazy[2:4].sum(0).compute(scheduler="synchronous"), frames[2:4].sum(0))


def test_masks_with_dask(opened, penstock_package, tmp_path):
    data, frames = opened
    if data.dtype.kind == "c" or data.dtype.itemsize == 8:
        with pytest.raises(penstock_package.Error) as error:
            penstock_package.apply_with_dask(data.path, "full")
        assert error.value.kind == "unsupported"
        return
    stack = np.random.default_rng(1).integers(-3, 4, (3, *data.signal_shape))
    np.save(tmp_path / "stack.npy", stack)
    sparse = scipy.sparse.csr_array(stack.reshape(3, -1) * (stack.reshape(3, -1) > 2))
    scipy.sparse.save_npz(tmp_path / "sparse.npz", sparse)
    lazy = penstock_package.apply_with_dask(
        data.path, ["full", str(tmp_path / "stack.npy"), str(tmp_path / "sparse.npz")])
    (tmp_path / "stack.npy").unlink()
    (tmp_path / "sparse.npz").unlink()
    expected = data.apply(["full", stack, sparse])
    assert lazy.shape == expected.shape and lazy.dtype == expected.dtype
    assert lazy.npartitions == len(data.partitions())
    np.testing.assert_array_equal(lazy.compute(scheduler="threads"), expected)


def test_masks_on_other_processes(penstock_package, monkeypatch, tmp_path):
    """As on other machines: nothing is shared but the path."""
    synthetic.make_dataset(tmp_path / "scan", scan=(5, 7), sig=(24, 20), block_bytes=14 * 480 * 2)
    data = penstock_package.open(tmp_path / "scan")
    monkeypatch.setenv("PYTHONPATH", str(pathlib.Path(penstock_package.__file__).parents[1]))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, \
            distributed.Client(cluster) as client:
        stack = np.random.default_rng(1).integers(-3, 4, (3, *data.signal_shape))
        lazy = penstock_package.apply_with_dask(data.path, stack, chunk_frames=7)
        np.testing.assert_array_equal(client.compute(lazy).result(timeout=60), data.apply(stack))


def test_views_of_frames(penstock_package, tmp_path):
    synthetic.make_dataset(tmp_path / "scan", scan=(3, 4), sig=(12, 10))
    frames = synthetic.frames(scan=(3, 4), sig=(12, 10))
    data = penstock_package.open(tmp_path / "scan")
    view = penstock_package.View(crop=np.s_[2:10, 1:9], bin=2)
    assert data.seen(view) == ((4, 4), np.dtype(np.uint32))
    expected = frames[:, :, 2:10, 1:9].reshape(3, 4, 4, 2, 4, 2).sum((3, 5))
    np.testing.assert_array_equal(data.read(view=view), expected.reshape(12, 4, 4))
    np.testing.assert_array_equal(data.read(np.s_[1:, 2], pickle.loads(pickle.dumps(view))), expected[1:, 2])
    mask = np.arange(16).reshape(4, 4)
    lazy = penstock_package.apply_with_dask(data.path, mask, view=view)
    np.testing.assert_array_equal(lazy.compute(scheduler="synchronous")[0], (expected * mask).sum((2, 3)))


def test_pixels_that_pixel_mask_marks(penstock_package, tmp_path):
    """Reductions leave them out; arrays have them as they are stored; interpolated ones count."""
    p, marked = penstock_package, (13, 25, 77)
    synthetic.make_dataset(tmp_path / "scan", scan=(3, 4), sig=(12, 10), marked=marked)
    frames = synthetic.frames(scan=(3, 4), sig=(12, 10)).astype(np.int64)
    data = p.open(tmp_path / "scan")
    is_marked = np.zeros((12, 10), bool)
    is_marked.flat[list(marked)] = True
    np.testing.assert_array_equal(data.pixel_mask != 0, is_marked)
    np.testing.assert_array_equal(data[...], frames)
    np.testing.assert_array_equal(data[1, :, 1:3, 2:8], frames[1, :, 1:3, 2:8])
    np.testing.assert_array_equal(data.sum_frames(), np.where(is_marked, 0, frames.sum((0, 1))))
    np.testing.assert_array_equal(data.apply("full")[0], np.where(is_marked, 0, frames).sum((2, 3)))
    np.testing.assert_array_equal(p.open(tmp_path / "scan", use_pixel_mask=False).apply("full")[0], frames.sum((2, 3)))

    bins = p.View(bin=2)
    spoilt = is_marked.reshape(6, 2, 5, 2).any((1, 3))
    binned = frames.reshape(3, 4, 6, 2, 5, 2).sum((3, 5))
    np.testing.assert_array_equal(data.sum_frames(view=bins), np.where(spoilt, 0, binned.sum((0, 1))))
    np.testing.assert_array_equal(data.apply("full", view=bins)[0], np.where(spoilt, 0, binned).sum((2, 3)))
    repaired = frames.astype(np.float64)
    for r, c in zip(*np.nonzero(is_marked)):
        square = np.s_[max(r - 1, 0):r + 2, max(c - 1, 0):c + 2]
        repaired[:, :, r, c] = frames[(..., *square)][..., ~is_marked[square]].mean(-1)
    found = data.apply("full", view=p.View(dead=is_marked))
    np.testing.assert_allclose(found[0], repaired.sum((2, 3)), rtol=1e-6)
    np.testing.assert_allclose(data.sum_frames(view=p.View(dead=is_marked)), repaired.sum((0, 1)), rtol=1e-6)
