"""Reductions that are written in Python."""

import threading
import typing

import numpy as np

from . import _penstock as _native


class Plan(typing.NamedTuple):
    """What a reduction may rely on during one pass.

    scan_shape; signal_shape and dtype of the frames that it will get, as the view shows them.
    good_pixels: bool, of signal_shape: False where pixel_mask leaves a pixel out; None where all are good."""

    scan_shape: tuple
    signal_shape: tuple
    dtype: np.dtype
    good_pixels: np.ndarray | None


class Tile(typing.NamedTuple):
    """Some frames to be processed.

    frames: (n, rows, columns), read-only; may be kept. Only frames that are valid and selected are in it.
    numbers: (n,) int64, which frames they are, in scan order; numpy.unravel_index(numbers, plan.scan_shape) are
    their positions."""

    frames: np.ndarray
    numbers: np.ndarray


class FrameReduction:
    """A reduction of your own: Dataset.run takes it beside the built-in ones, in the same pass.

        class Brightest(penstock.FrameReduction):
            def begin(self, plan):
                self.image = np.zeros(plan.signal_shape, plan.dtype)
            def make_partial(self):
                return np.zeros_like(self.image)
            def process(self, partial, tile):
                np.maximum(partial, tile.frames.max(axis=0), out=partial)
            def merge(self, partial):
                np.maximum(self.image, partial, out=self.image)
            def finish(self):
                return self.image

    The pass cuts the scan into runs of frames (some 64 MiB, never beyond a block). For each of them one thread calls
    make_partial, and process with its frames in scan order; merge then takes the partial into the result, strictly
    in scan order and one at a time. So the same input gives the same bytes on every run, whatever the number of
    threads. Several partials are under way at once: process and make_partial change nothing but the partial.

    Any object with these methods will do, it need not be a subclass. begin and finish may be left out. Python's lock
    is held in all of them; while frames are read, checked, decoded and copied it is not. An exception ends the pass
    and comes out of run as it is, with a note of the method, the frames and the dataset.

    result: what finish has returned after the last pass; of a pass that was cancelled or came to its deadline, for
    what was merged by then. In on_progress, Progress.result calls finish."""

    order_free = False
    """True where merge may take the partials in any order without a difference to the result: what is in memory is then
    processed first."""

    result = None

    def begin(self, plan):
        """Before the pass, with its Plan: forgets earlier results."""

    def make_partial(self):
        """What is collected over one run of frames; of any type."""
        raise NotImplementedError(f"{type(self).__name__} has no make_partial")

    def process(self, partial, tile):
        """Takes a Tile into the partial. What it returns, other than None, takes the partial's place."""
        raise NotImplementedError(f"{type(self).__name__} has no process")

    def merge(self, partial):
        """Takes a partial into the result. It is nobody else's afterwards."""
        raise NotImplementedError(f"{type(self).__name__} has no merge")

    def finish(self):
        """The result of what was merged so far. Called again in on_progress: it changes nothing."""


class _Worker:
    """What the native reduction calls."""

    def __init__(self, reduction, scan_shape):
        self.reduction = reduction
        self.scan_shape = scan_shape
        self.make_partial = reduction.make_partial
        self.merge = reduction.merge

    def begin(self, signal_shape, dtype, good_pixels):
        self.signal_shape, self.dtype = signal_shape, np.dtype(dtype)
        good = None if good_pixels is None else np.frombuffer(good_pixels, bool).reshape(signal_shape)
        self.plan = Plan(self.scan_shape, signal_shape, self.dtype, good)
        if hasattr(self.reduction, "begin"):
            self.reduction.begin(self.plan)

    def process(self, partial, pixels, numbers, count):
        rows, columns = self.signal_shape
        frames = np.frombuffer(pixels, self.dtype, count * rows * columns).reshape(count, rows, columns)
        return self.reduction.process(partial, Tile(frames, np.frombuffer(numbers, np.int64, count)))


_in_use = set()
_lock = threading.Lock()


class Prepared:
    """Native reductions of a pass: those that were given, and one for each that is written in Python. To be used in
    `with`, which sets their results; ValueError for one that takes part in another pass."""

    def __init__(self, reductions, path, scan_shape):
        self._python = [one for one in reductions if not isinstance(one, _native.Reduction)]
        for one in self._python:
            for method in ("make_partial", "process", "merge"):
                if not callable(getattr(one, method, None)):
                    raise TypeError(f"{type(one).__name__} is no reduction: it has no {method}")
        self.native = [one if isinstance(one, _native.Reduction) else
                       _native._PythonReduction(_Worker(one, scan_shape), bool(getattr(one, "order_free", False)),
                                                type(one).__name__, path)
                       for one in reductions]

    def __enter__(self):
        names = [id(one) for one in self._python]
        with _lock:
            if len(set(names)) < len(names) or _in_use.intersection(names):
                raise ValueError("a reduction takes part in one pass at a time, and once")
            _in_use.update(names)
        return self.native

    def __exit__(self, kind, error, _):
        try:
            if error is None or isinstance(error, _native.Cancelled):
                for one in self._python:
                    if hasattr(one, "finish"):
                        one.result = one.finish()
        finally:
            with _lock:
                _in_use.difference_update(id(one) for one in self._python)


def finished(reduction):
    """The result of a reduction as it is now."""
    if isinstance(reduction, _native.Reduction):
        return reduction.result
    finish = getattr(reduction, "finish", None)
    return finish() if finish is not None else getattr(reduction, "result", None)
