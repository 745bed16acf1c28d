"""The Python package against NumPy: reductions, passes and how they end."""

import concurrent.futures
import os
import pickle
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.sparse

import synthetic
from conftest import python_folder

SCAN, SIG = (5, 6), (24, 20)


@pytest.fixture(scope="module", params=["uint16", "float32"])
def opened(request, tmp_path_factory, penstock_package):
    options = dict(scan=SCAN, sig=SIG, dtype=request.param, missing=(4,))
    path = tmp_path_factory.mktemp("python") / "scan"
    synthetic.make_dataset(path, block_bytes=12 * 24 * 20 * np.dtype(request.param).itemsize, **options)
    good = np.ones(SCAN, bool)
    good[np.unravel_index(4, SCAN)] = False
    return penstock_package.open(path), synthetic.frames(**options), good


def test_integer_masks_are_exact(opened, penstock_package):
    data, frames, good = opened
    stack = np.random.default_rng(1).integers(-500, 500, (5, *SIG))
    found = data.apply([stack, "disk:12,10,5"])
    weights = np.concatenate([stack, penstock_package.mask_stack("disk:12,10,5", SIG).astype(np.int64)])
    if data.dtype == np.uint16:
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, np.einsum("abyx,kyx->kab", frames.astype(np.int64), weights))
    else:
        real = frames.astype(np.float64)
        bound = 1e-6 * np.einsum("abyx,kyx->kab", np.abs(real), np.abs(weights))
        assert found.dtype == np.float64 and np.isnan(found[:, ~good]).all()
        assert (np.abs(found - np.einsum("abyx,kyx->kab", real, weights)) <= bound)[:, good].all()
    assert data.apply(np.ones(SIG, bool)).shape == (1, *SCAN)


def test_all_reductions_share_a_pass(opened, penstock_package):
    p, (data, frames, good) = penstock_package, opened
    real = frames.astype(np.float64)
    random = np.random.default_rng(1)
    weights = random.integers(-5, 5, (3, *SIG))
    sparse = scipy.sparse.random_array((4, SIG[0] * SIG[1]), density=0.02, rng=random)
    waves = (random.standard_normal(SIG) + 1j * random.standard_normal(SIG)).astype(np.complex64)
    masks = p.Masks([weights, sparse, "disk:12,10,5"], SIG)
    complex_masks = p.Masks(waves)
    total, moments, extremes = p.Sum(), p.Statistics(), p.Extremes()
    centre = p.CentreOfMass(SIG, "disk:12,10,8")
    histogram = p.Histogram(40, 0, 900)
    radial = p.Radial((12, 10), rings=6, outer=9)
    seen = []
    summary = data.run([masks, complex_masks, total, moments, extremes, centre, histogram, radial], threads=2,
                       on_progress=lambda now: seen.append((now.frames_done, now.frames)))
    assert summary["frames"] == 30 and summary["frames_invalid"] == 1 and summary["complete"]
    assert summary["threads"] <= 2 and summary["bytes"] == frames.nbytes
    assert seen[-1] == (30, 30)

    stack = np.concatenate([weights, sparse.toarray().reshape(4, *SIG), p.mask_stack("disk:12,10,5", SIG)])
    expected = np.einsum("abyx,kyx->kab", real, stack)
    np.testing.assert_allclose(masks.result[:, good], expected[:, good], rtol=1e-5, atol=0.05)
    assert complex_masks.result.dtype == np.complex128
    np.testing.assert_allclose(complex_masks.result[0][good], np.einsum("abyx,yx->ab", real, waves)[good], rtol=1e-4)
    used = real[good]
    np.testing.assert_allclose(total.result, used.sum(0), rtol=1e-13)
    np.testing.assert_array_equal(data.sum_frames(), total.result)
    assert (moments.sum is None) == (data.dtype == np.float32)
    assert moments.sum is None or np.array_equal(moments.sum, total.result)
    np.testing.assert_allclose(moments.mean, used.mean(0), rtol=1e-13)
    np.testing.assert_allclose(moments.std, used.std(0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance, used.var(0), rtol=1e-12)
    np.testing.assert_array_equal(extremes.minimum, used.min(0))
    np.testing.assert_array_equal(extremes.maximum, used.max(0))
    counts, edges = np.histogram(used, 40, (0, 900))
    np.testing.assert_array_equal(histogram.counts, counts)
    np.testing.assert_allclose(histogram.edges, edges)
    inside = p.mask_stack("disk:12,10,8", SIG)[0]
    rows = (used * inside * np.arange(SIG[0])[:, None]).sum((1, 2)) / (used * inside).sum((1, 2))
    np.testing.assert_allclose(centre.rows[good], rows, rtol=1e-5)
    np.testing.assert_array_equal(data.centre_of_mass("disk:12,10,8"), [centre.rows, centre.columns])
    distance = np.hypot(np.arange(SIG[0])[:, None] - 12, np.arange(SIG[1]) - 10)
    ring = (distance >= 3) & (distance < 4.5)
    np.testing.assert_allclose(radial.sums[good][:, 2], real[good][:, ring].sum(1), rtol=1e-6)
    assert radial.sums.shape == (*SCAN, 6) and radial.pixels[2] == ring.sum()


def test_regions(opened, penstock_package):
    data, frames, _ = opened
    total = penstock_package.Sum()
    chosen = np.random.default_rng(3).integers(0, 2, SCAN).astype(bool)
    chosen.flat[4] = False
    for region in (np.s_[1:4, ::2], chosen, (np.array([1, 3]), np.array([5, 0]))):
        marked = np.zeros(SCAN, bool)
        marked[region] = True
        assert data.run(total, region=region)["frames"] == marked.sum() == total.frames
        np.testing.assert_allclose(total.result, frames[marked].astype(np.float64).sum(0))


def test_partial_results(opened):
    data, frames, good = opened
    stack = np.random.default_rng(1).integers(0, 2, (2, *SIG))
    expected = np.einsum("abyx,kyx->kab", frames.astype(np.float64), stack)
    done = []

    def watch(now):
        assert now.valid.shape == SCAN and not now.valid[~good].any()
        np.testing.assert_allclose(now.result[:, now.valid], expected[:, now.valid], rtol=1e-6)
        done.append((now.valid.sum(), now.partitions_done, now.bytes_done))
    data.apply(stack, on_progress=watch, threads=1)
    assert done[-1][0] == 29 and done[-1][2] == frames.nbytes
    assert [number for _, number, _ in done] == list(range(1, len(done) + 1)) and len(done) >= 3


def test_passes_are_stopped(opened, penstock_package):
    p, (data, _, _) = penstock_package, opened
    total, calls = p.Sum(), []

    def no_more(now):
        calls.append(now)
        return False
    with pytest.raises(p.Cancelled) as error:
        data.run(total, on_progress=no_more, threads=1)
    assert error.value.kind == "cancelled" and isinstance(error.value, p.Error)
    assert len(calls) == 1 and 0 < total.frames < 29
    with pytest.raises(KeyError):
        data.run(total, on_progress=lambda now: {}["absent"])
    stop = p.Stop()
    with pytest.raises(p.Cancelled):
        data.run(total, stop=stop, threads=1, on_progress=lambda now: stop.request())
    assert stop.requested
    with pytest.raises(p.Cancelled):
        data.read(stop=stop)
    assert data.run(total)["frames"] == 30 and total.frames == 29
    late = data.run(total, deadline=1e-9)
    assert not late["complete"] and late["frames"] < 30


def test_control_c_ends_a_pass(opened, penstock_package):
    """Python handles the signal on the main thread, which waits for the pass, while the callback goes on."""
    data, _, _ = opened
    handled, calls, total = threading.Event(), [], penstock_package.Sum()

    def handler(number, frame):
        handled.set()
        raise KeyboardInterrupt

    def interrupt(now):
        calls.append(now)
        os.kill(os.getpid(), signal.SIGINT)
        assert handled.wait(60)
    former = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            data.run(total, on_progress=interrupt, threads=1)
    finally:
        signal.signal(signal.SIGINT, former)
    assert len(calls) == 1 and 0 < total.frames < 29


def test_threads_share_a_dataset(opened, penstock_package):
    p, (data, frames, good) = penstock_package, opened
    results = [None] * 6

    def work(number):
        results[number] = data.apply(np.full(SIG, number, np.int16), threads=1)[0]
    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, found in enumerate(results):
        np.testing.assert_allclose(found[good], number * frames[good].astype(np.float64).sum((1, 2)), rtol=1e-6)
    # One reduction in two passes: the one inside the other's callback.
    total = p.Sum()
    with pytest.raises(ValueError, match="one pass at a time"):
        data.run(total, on_progress=lambda now: data.run(total))
    with pytest.raises(ValueError, match="one pass at a time"):
        data.run([total, total])
    assert data.run(total, on_progress=lambda now: None if data.run(p.Sum()) else None)["complete"]


def test_results_are_read_when_they_stand_still(opened, penstock_package):
    p, (data, frames, good) = penstock_package, opened
    everything = [p.Masks(np.ones(SIG)), p.Sum(), p.Statistics(), p.Extremes(), p.Radial((12, 10)), p.CentreOfMass(SIG)]
    names = ["result", "result", "mean", "minimum", "sums", "rows"]
    for reduction, name in zip(everything, names):
        if name not in ("mean", "minimum"):  # these have no frames, and so no shape, before a pass
            with pytest.raises(ValueError, match="before the first pass"):
                getattr(reduction, name)
    for name in ("pixels", "sums"):
        with pytest.raises(ValueError):
            getattr(p.Radial((12, 10)), name)
    assert p.Sum().frames == 0 and p.Statistics().mean.size == 0
    np.testing.assert_array_equal(p.Histogram(3, 0, 9).counts, [0, 0, 0])

    read = []

    def from_outside(now):
        for reduction, name in zip(everything, names):
            assert getattr(reduction, name).size > 0  # in the callback they may be
            try:
                read.append(others.submit(getattr, reduction, name).result(timeout=60))
            except ValueError as error:
                read.append(str(error))
    with concurrent.futures.ThreadPoolExecutor(1) as others:
        data.run(everything, on_progress=from_outside, threads=1)
    assert read and all("a pass is changing these results" in str(text) for text in read)
    np.testing.assert_allclose(everything[0].result[0][good], frames[good].sum((1, 2), dtype=np.float64), rtol=1e-6)


def test_errors(opened, penstock_package, tmp_path):
    p, (data, _, _) = penstock_package, opened
    with pytest.raises(p.Error) as error:
        p.Masks("disk:900,900,2", SIG)
    assert error.value.kind == "invalid argument" and "selects no pixel" in str(error.value)
    with pytest.raises(p.Error) as error:
        data.run(p.Masks(np.ones((3, 3))))
    assert "24" in str(error.value)
    with pytest.raises(ValueError, match=r"\(3, 3\)"):
        data.apply(np.ones((3, 3)))
    with pytest.raises(ValueError, match="shape"):
        p.Masks("full")
    with pytest.raises(p.Error) as error:
        p.open("/nonexistent")
    assert error.value.kind == "not found" and "/nonexistent" in str(error.value)
    again = pickle.loads(pickle.dumps(error.value))  # as from another machine
    assert isinstance(again, p.Error) and again.kind == "not found" and str(again) == str(error.value)
    with pytest.raises(p.Error) as error:
        data.frame(0, 4)
    assert error.value.kind == "not found"
    with pytest.raises(IndexError):
        data.frame(30)
    with pytest.raises(p.Error):
        p.open(data.path, backend="telepathy")
    with pytest.raises(IndexError):
        data.run(p.Sum(), region=np.s_[9, 9])


def test_closed_datasets(opened, penstock_package):
    with penstock_package.open(opened[0].path) as data:
        assert data.sum_frames().shape == SIG
    with pytest.raises(ValueError, match="closed"):
        data.sum_frames()
    assert data.shape == (*SCAN, *SIG)


def test_damage_is_an_error(penstock_package, tmp_path):
    p = penstock_package
    synthetic.make_dataset(tmp_path / "scan", scan=SCAN, sig=SIG)
    block = next(path for path in (tmp_path / "scan/data.zarr/real/c").rglob("*") if path.is_file())
    block.chmod(0o644)
    with open(block, "r+b") as file:
        file.seek(65536 + 1000)
        file.write(b"\x55\xaa")
    data = p.open(tmp_path / "scan")
    for work in (lambda: data.run(p.Sum()), lambda: data.frame(1), lambda: data[1:3], lambda: np.asarray(data)):
        with pytest.raises(p.Error) as error:
            work()
        assert error.value.kind == "corrupt" and str(block) in str(error.value)


def test_the_documentation_is_there(penstock_package):
    p = penstock_package
    for name in p.__all__:
        assert getattr(p, name).__doc__, name
    for name in ("run", "apply", "read", "frame", "components", "summarize", "partitions"):
        assert getattr(p.Dataset, name).__doc__, name


def test_debians_interpreter_takes_it(opened):
    """Debian's python3-numpy is another version than that of the tests."""
    data, frames, _ = opened
    if subprocess.run(["/usr/bin/python3", "-c", "import numpy"], capture_output=True, check=False).returncode:
        pytest.skip("SKIPPED: /usr/bin/python3 has no numpy")
    script = ("import sys, numpy, penstock; data = penstock.open(sys.argv[1]); "
              "print(numpy.__version__, data.apply(numpy.ones(data.signal_shape, int))[0, 1, 1], data[1, 1, 3, 4])")
    done = subprocess.run(["/usr/bin/python3", "-c", script, data.path], capture_output=True, text=True, check=False,
                          env={"PYTHONPATH": str(python_folder()), "PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stderr
    _, total, pixel = done.stdout.split()
    assert float(total) == pytest.approx(float(frames[1, 1].sum(dtype=np.float64)), rel=1e-6)
    assert float(pixel) == frames[1, 1, 3, 4] and sys.executable != "/usr/bin/python3"
