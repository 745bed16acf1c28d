"""Reductions written in Python, beside the built-in ones in one pass, against NumPy."""

import gc
import threading
import traceback

import numpy as np
import pytest

import synthetic

SCAN, SIG = (40, 30), (24, 20)
LOST = (4, 77, 901)


@pytest.fixture(scope="module", params=["uint16", "float32"])
def opened(request, tmp_path_factory, penstock_package):
    """Blocks of five rows of the scan."""
    options = dict(scan=SCAN, sig=SIG, dtype=request.param, missing=LOST)
    path = tmp_path_factory.mktemp("reductions") / "scan"
    synthetic.make_dataset(path, block_bytes=150 * 24 * 20 * np.dtype(request.param).itemsize, **options)
    good = np.ones(SCAN, bool)
    good[np.unravel_index(LOST, SCAN)] = False
    return penstock_package.open(path), synthetic.frames(**options), good


@pytest.fixture(scope="module")
def brightest(penstock_package):
    """The brightest value of each pixel, and the frames that were seen, in the order of merging."""

    class Brightest(penstock_package.FrameReduction):
        def begin(self, plan):
            self.plan, self.numbers = plan, []
            self.image = np.full(plan.signal_shape, -np.inf)

        def make_partial(self):
            return {"image": np.full(self.plan.signal_shape, -np.inf), "numbers": []}

        def process(self, partial, tile):
            np.maximum(partial["image"], tile.frames.max(axis=0), out=partial["image"])
            partial["numbers"] += tile.numbers.tolist()

        def merge(self, partial):
            np.maximum(self.image, partial["image"], out=self.image)
            self.numbers += partial["numbers"]

        def finish(self):
            return self.image.copy()

    return Brightest


class Mean:
    """Not a subclass, with immutable partials, and a result whose last digits depend on the order."""

    def make_partial(self):
        return 0.0, 0

    def process(self, partial, tile):
        assert len(tile.frames) == len(tile.numbers)
        return partial[0] + np.sqrt(np.abs(tile.frames)).sum(dtype=np.float32).item() / 3, partial[1] + tile.frames.size

    def merge(self, partial):
        self.sums = (*getattr(self, "sums", ()), partial)

    def finish(self):
        total = 0.0
        for value, _ in self.sums:
            total += value
        return total


def test_beside_the_built_in_ones(opened, penstock_package, brightest):
    data, frames, good = opened
    mine, total, masks = brightest(), penstock_package.Sum(), penstock_package.Masks("disk:12,10,5", SIG)
    progress = []

    def watch(now):
        progress.append((now.frames_done, int(now.valid.sum()), now.result.max()))

    summary = data.run([mine, total, masks], threads=2, on_progress=watch)
    np.testing.assert_array_equal(mine.result, frames[good].max(0))
    assert mine.numbers == np.flatnonzero(good).tolist()
    assert mine.plan.scan_shape == SCAN and mine.plan.signal_shape == SIG and mine.plan.dtype == data.dtype
    assert mine.plan.good_pixels is None
    np.testing.assert_array_equal(total.result, data.sum_frames())
    np.testing.assert_array_equal(masks.result, data.apply("disk:12,10,5"))
    assert summary["frames"] == 1200 and len(progress) == summary["partitions"] == 8
    assert progress[-1] == (1200, good.sum(), frames[good].max()) and progress == sorted(progress)


def test_the_same_bytes_on_every_run(opened):
    data, _, _ = opened
    results = set()
    for threads in (1, 2, 5, 5, 5):
        mine = Mean()
        data.run(mine, threads=threads)
        results.add(mine.result)
    assert len(results) == 1
    assert sum(count for _, count in mine.sums) == (1200 - 3) * 480


def test_regions_and_views(opened, penstock_package, brightest):
    data, frames, good = opened
    mine, total = brightest(), penstock_package.Sum()
    chosen = np.random.default_rng(3).integers(0, 2, SCAN).astype(bool)
    view = penstock_package.View(crop=np.s_[4:24, 2:18], bin=2)
    data.run([total, mine], region=chosen, view=view)
    used = frames[chosen & good]
    seen = used[:, 4:24, 2:18].reshape(-1, 10, 2, 8, 2).sum((2, 4))
    assert mine.plan.signal_shape == (10, 8)
    np.testing.assert_allclose(mine.result, seen.max(0), rtol=1e-6)
    assert mine.numbers == np.flatnonzero(chosen & good).tolist()
    np.testing.assert_allclose(total.result, seen.astype(np.float64).sum(0), rtol=1e-6)
    shifts = np.zeros((*SCAN, 2))
    shifts[..., 0] = 1
    data.run(mine, view=penstock_package.View(shifts=shifts))
    moved = np.zeros_like(frames)
    moved[..., :-1, :] = frames[..., 1:, :]
    np.testing.assert_array_equal(mine.result, moved[good].max(0))


def test_marked_pixels_are_told(tmp_path, penstock_package, brightest):
    synthetic.make_dataset(tmp_path / "scan", scan=(3, 4), sig=SIG, marked=(5, 47))
    mine = brightest()
    penstock_package.open(tmp_path / "scan").run(mine)
    expected = np.ones(SIG, bool)
    expected.flat[[5, 47]] = False
    np.testing.assert_array_equal(mine.plan.good_pixels, expected)


def test_pixels_may_be_kept_and_not_written(opened):
    data, frames, good = opened

    class Keeper:
        def __init__(self):
            self.kept = []

        def make_partial(self):
            return []

        def process(self, partial, tile):
            with pytest.raises(ValueError):
                tile.frames[0] = 1
            with pytest.raises(ValueError):
                tile.frames.flags.writeable = True
            partial.append((tile.numbers, tile.frames[:, 3:5]))

        def merge(self, partial):
            self.kept += partial

    keeper = Keeper()
    data.run(keeper, threads=3)
    gc.collect()
    numbers = np.concatenate([n for n, _ in keeper.kept])
    np.testing.assert_array_equal(numbers, np.flatnonzero(good))
    np.testing.assert_array_equal(np.concatenate([f for _, f in keeper.kept]), frames[good][:, 3:5])


class Failing(Mean):
    def __init__(self, method, frame=0):
        self.method, self.frame = method, frame

    def fail(self, method):
        if method == self.method:
            raise LookupError(f"no {method} today")

    def begin(self, plan):
        self.fail("begin")

    def make_partial(self):
        self.fail("make_partial")
        return super().make_partial()

    def process(self, partial, tile):
        if self.frame in tile.numbers:
            self.fail("process")
        return super().process(partial, tile)

    def merge(self, partial):
        self.fail("merge")
        super().merge(partial)

    def finish(self):
        self.fail("finish")
        return super().finish()


@pytest.mark.parametrize("method", ["begin", "make_partial", "process", "merge", "finish"])
def test_exceptions_come_out_as_they_are(opened, penstock_package, method):
    data, _, _ = opened
    total = penstock_package.Sum()
    with pytest.raises(LookupError, match=f"no {method} today") as raised:
        data.run([total, Failing(method, frame=333)], threads=3)
    text = "".join(traceback.format_exception(raised.value))
    assert f'raise LookupError(f"no {{method}} today")' in text
    if method != "finish":
        note = raised.value.__notes__[0]
        assert note.startswith(f"in {method} of Failing") and note.endswith(str(data.path))
    if method == "process":
        first, last = map(int, note.split("frames ")[1].split()[0].split("-"))
        assert first <= 333 <= last
    data.run(total)  # fit for use again
    np.testing.assert_array_equal(total.result, data.sum_frames())


def test_passes_that_end_early(opened, penstock_package, brightest):
    data, frames, good = opened
    mine = brightest()
    with pytest.raises(penstock_package.Cancelled):
        data.run(mine, threads=1, on_progress=lambda now: now.partitions_done < 2)
    assert mine.numbers == np.flatnonzero(good.ravel()[:300]).tolist()
    np.testing.assert_array_equal(mine.result, frames[:10][good[:10]].max(0))
    with pytest.raises(ZeroDivisionError):
        data.run(mine, on_progress=lambda now: 1 // 0)
    stop = penstock_package.Stop()
    stop.request()
    with pytest.raises(penstock_package.Cancelled):
        data.run(mine, stop=stop)
    assert mine.numbers == []
    assert not data.run(mine, deadline=1e-9)["complete"]


def test_one_pass_at_a_time(opened, penstock_package, brightest):
    data, _, _ = opened
    mine = brightest()
    with pytest.raises(ValueError, match="one pass at a time"):
        data.run([mine, mine])
    inner = []

    def again(now):
        with pytest.raises(ValueError, match="one pass at a time"):
            data.run(mine)
        other = penstock_package.Sum()  # others may
        data.run(other)
        inner.append(other.frames)

    data.run(mine, on_progress=again)
    assert set(inner) == {1197}
    with pytest.raises(TypeError, match="no process"):
        data.run(object.__new__(type("Half", (), {"make_partial": print})))


def test_several_passes_at_once(opened, brightest):
    data, frames, good = opened
    mine = [brightest() for _ in range(4)]
    threads = [threading.Thread(target=data.run, args=(one,), kwargs={"threads": 2}) for one in mine]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in mine:
        np.testing.assert_array_equal(one.result, frames[good].max(0))


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_through_dask(opened, penstock_package, scheduler):
    pytest.importorskip("dask")
    data, _, _ = opened
    mine = Mean()
    data.run(mine)
    delayed = penstock_package.reduce_with_dask(data.path, Mean())
    if scheduler == "threads":
        assert delayed.compute(scheduler="threads", num_workers=3) == mine.result
    else:
        assert delayed.compute(scheduler="processes", num_workers=2) == mine.result
    with pytest.raises(LookupError, match="no process today"):
        penstock_package.reduce_with_dask(data.path, Failing("process", 500)).compute(scheduler=scheduler)
