"""Datasets as arrays, and passes over them."""

import concurrent.futures
import json
import math
import os
import pathlib
import typing

import numpy as np

from . import _penstock as _native
from . import reductions as _reductions
from .frame_reductions import Prepared, finished
from .indexing import FrameIndex
from .views import View


_CHUNK_BYTES = 64 << 20


class Axis(typing.NamedTuple):
    """Coordinates of an axis: start + index * step, in units."""

    name: str
    start: float
    step: float
    units: str


class Progress:
    """What a pass has done so far; given to on_progress, and worth keeping only there.

    frames_done, frames: of those selected. bytes_done. partitions_done, partitions.
    valid: bool, of the scan's shape: where results per frame are final.
    reductions: those of the pass; their results may be read now. result: that of the first one."""

    def __init__(self, native, scan_shape, reductions):
        self.frames_done, self.frames = native.frames_done, native.frames
        self.partitions_done, self.partitions = native.partitions_done, native.partitions
        self.bytes_done = native.bytes_done
        self.valid = np.frombuffer(native.done, bool).reshape(scan_shape)
        self.reductions = reductions

    @property
    def result(self):
        return finished(self.reductions[0])


class Dataset:
    """A dataset that is open for reading; penstock.open makes them. Several threads may use one at once.

    shape: scan_shape + signal_shape; dtype: of the stored pixels. generation: changes when the dataset is
    written anew. It is indexed as a NumPy array is, and becomes one by numpy.asarray; frames that are not
    valid read as zeros. Pickling it keeps its path and options: whoever unpickles it opens it again."""

    def __init__(self, path, backend="automatic", verify=True, use_pixel_mask=True, use_leases=True):
        self.path = os.fspath(path)
        self._options = dict(backend=backend, verify=verify, use_pixel_mask=use_pixel_mask, use_leases=use_leases)
        self._open()
        self.scan_shape = self._reader.scan_shape
        self.signal_shape = self._reader.signal_shape
        self.dtype = np.dtype(self._reader.dtype)
        self.generation = self._reader.generation

    def _open(self):
        self._process = os.getpid()
        self._opened = _native._Reader(os.path.abspath(self.path), **self._options)

    def close(self):
        """Gives back what a mount has lent; it cannot be read from afterwards. So does leaving `with`."""
        self._opened = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def _reader(self):
        if self._opened is None:
            raise ValueError(f"{self.path} has been closed")
        # After a fork what a mount lends, and locks that other threads held, are the parent's.
        if self._process != os.getpid():
            self._open()
        return self._opened

    shape = property(lambda self: self.scan_shape + self.signal_shape)
    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))
    nbytes = property(lambda self: self.size * self.dtype.itemsize)
    frame_count = property(lambda self: math.prod(self.scan_shape))

    @property
    def state(self):
        """"sealed", or "growing" while it is being written: opened anew later, it has more frames."""
        return self._reader.state

    @property
    def image_key(self):
        """Of the scan's shape, int64: 0 where a frame may be used; 1, 2: flat and dark; 3: not received."""
        return self._reader.image_key().reshape(self.scan_shape)

    @property
    def valid(self):
        """Of the scan's shape, bool: image_key is 0."""
        return self.image_key == 0

    @property
    def pixel_mask(self):
        """(rows, columns), int64, bits as NXdetector has them; None where the dataset has none."""
        return self._reader.pixel_mask()

    @property
    def nexus(self):
        """The sidecar nexus.json, as dicts and lists."""
        return json.loads(pathlib.Path(self.path, "nexus.json").read_text(encoding="utf-8"))

    @property
    def axes(self):
        """An Axis for each of `shape`, None where its coordinates are not known."""
        known = self.nexus["entry1"]["penstock"].get("axes", {})
        names = ("axis_m", "axis_k", "axis_j", "axis_i")[-self.ndim:]
        return [Axis(name, known[name]["start"], known[name]["step"], known[name].get("step@units", ""))
                if name in known else None for name in names]

    def __repr__(self):
        return f"<penstock.Dataset {self.path} {self.shape} {self.dtype}>"

    def __len__(self):
        return self.shape[0]

    def __reduce__(self):
        return _reopen, (os.path.abspath(self.path), self._options, self.generation)

    # Frames.

    def frame(self, *position):
        """One frame, (rows, columns): frame(n) in scan order, or frame(row, column).

        penstock.Error: 'not found' for a frame that image_key marks, 'corrupt' where its bytes contradict
        their checksum. IndexError outside of the scan."""
        if len(position) == 1:
            index = range(self.frame_count)[position[0]]
        else:
            index = int(np.ravel_multi_index([range(n)[i] for n, i in zip(self.scan_shape, position, strict=True)],
                                             self.scan_shape))
        return np.frombuffer(self._reader.frame(index), self.dtype).reshape(self.signal_shape)

    def read(self, region=None, view=None, threads=0, stop=None, on_progress=None):
        """The frames of a region in scan order, (n, rows, columns), of the type that the view shows.

        region, view, threads, stop, on_progress: as run takes them. Frames that are not valid are zeros."""
        selection = self._selection(region)
        if selection is None:
            selection = np.ones(self.scan_shape, np.uint8)
        shape, dtype = self.seen(view)
        frames = np.zeros((int(np.count_nonzero(selection)), *shape), dtype)
        if len(frames):
            self._reader.read_into(frames.reshape(-1).view(np.uint8),
                                   self._wanted(selection, view, threads, stop, on_progress, ()))
        return frames

    def __getitem__(self, key):
        """As of a NumPy array: the scan's axes take whatever NumPy takes, those of a frame integers and
        slices. Only frames that are asked for are read."""
        return FrameIndex(key, self.scan_shape, self.signal_shape).read(self)

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("the frames are read into an array of their own: copy=False cannot be")
        array = self[...]
        return array if dtype is None else array.astype(dtype, copy=False)

    def seen(self, view=None):
        """(rows, columns) and dtype of the frames that a view shows; penstock.Error where it does not fit."""
        if view is None:
            return self.signal_shape, self.dtype
        rows, columns, dtype = self._reader.seen(view)
        return (rows, columns), np.dtype(dtype)

    def chunks(self, frames=None, view=None, threads=0):
        """Goes over the scan: (region, frames) for each part, in scan order, while the next one is read.

        frames: about so many in a part, and no more than a block has; without it about 64 MiB. region indexes
        arrays of the scan's shape: `result[region] = function(part)`; part is (n, rows, columns), or
        (scan rows of it, scan columns of it, rows, columns) where region is a pair of slices."""
        if frames is None:
            (rows, columns), dtype = self.seen(view)
            frames = max(_CHUNK_BYTES // (rows * columns * dtype.itemsize), 1)
        parts = self.partitions(frames)
        with concurrent.futures.ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(self.read, parts[0], view, threads)
            for number, region in enumerate(parts):
                part = coming.result()
                if number + 1 < len(parts):
                    coming = ahead.submit(self.read, parts[number + 1], view, threads)
                yield region, part.reshape(*_lengths(region), *part.shape[1:])

    # Passes.

    def _selection(self, region):
        if region is None:
            return None
        selection = np.zeros(self.scan_shape, np.uint8)
        selection[region] = 1
        return selection

    def _wanted(self, selection, view, threads, stop, on_progress, reductions, fast_order=False, deadline=0):
        watch = None
        if on_progress is not None:
            def watch(native):
                return on_progress(Progress(native, self.scan_shape, reductions))
        return dict(selection=selection, view=view, threads=threads, stop=stop, on_progress=watch,
                    fast_order=fast_order, deadline=deadline or 0)

    def run(self, reductions, region=None, view=None, threads=0, fast_order=False, deadline=None, stop=None,
            on_progress=None):
        """One pass over the frames for all reductions; a dict that says how it went: frames, frames_invalid,
        bytes, seconds, threads, complete, extents_verified, partitions, partitions_leased (read through
        descriptors of a mount).

        reductions: one or a list, of the built-in ones and of your own (FrameReduction). region: what indexes the scan in NumPy (slices, a bool array, arrays of
        indices); frames outside are not read. view: a View. threads: 0: one per processor of this process.
        fast_order: merge as parts are done, also where the last digits of float results then differ from run
        to run. deadline: seconds, after which nothing more is begun (complete is then False).
        stop: a penstock.Stop. on_progress(Progress): called after each part, of some 64 MiB; False ends the
        pass, and so does an exception, which is then raised; so does Ctrl-C.

        penstock.Error: of the dataset ('corrupt', 'i/o error'), of masks and views that do not fit; Cancelled
        after stop or False. Reductions then hold the partial result. ValueError for a reduction that takes
        part in another pass."""
        reductions = list(reductions) if isinstance(reductions, (list, tuple)) else [reductions]
        wanted = self._wanted(self._selection(region), view, threads, stop, on_progress, reductions, fast_order, deadline)
        with Prepared(reductions, self.path, self.scan_shape) as native:
            return self._reader.run(native, wanted)

    def apply(self, masks, view=None, **options):
        """Sums of frame * mask: (masks, scan rows, scan columns), as Masks has them, and takes masks.

        options: of run. Where a deadline came first, frames that are not done are 0 or NaN."""
        reduction = _reductions.Masks(masks, self.seen(view)[0])
        self.run(reduction, view=view, **options)
        return reduction.result

    def sum_frames(self, **options):
        """The sum over all frames, (rows, columns), int64 (exact) or float64. options: of run."""
        reduction = _native.Sum()
        self.run(reduction, **options)
        return reduction.result

    def centre_of_mass(self, selection="full", view=None, **options):
        """Rows and columns of the centres of mass, (2, scan rows, scan columns), float64, pixels."""
        reduction = _reductions.CentreOfMass(self.seen(view)[0], selection)
        self.run(reduction, view=view, **options)
        return np.stack([reduction.rows, reduction.columns])

    def components(self, count=10, oversampling=10, power_iterations=0, centre=True, seed=0, region=None, view=None,
                   threads=0, stop=None, on_progress=None):
        """Principal components by a randomised decomposition, in two passes, and two more for each power
        iteration: a dict of `components` (count, rows, columns), `loadings` (scan..., count), `mean`,
        `singular_values`, `explained_variance`, `explained_ratio`, all float64, and `frames`."""
        return _native._find_components(self._reader, count, oversampling, power_iterations, centre, seed,
                                        self._wanted(self._selection(region), view, threads, stop, on_progress, ()))

    def summarize(self, region=None, view=None, use_sidecar=True, histogram=True, threads=0, stop=None,
                  on_progress=None):
        """Statistics of all pixels of some frames, from the sidecar where those are exact: a dict of
        `minimum`, `maximum`, `sum`, `mean`, `standard_deviation`, `frame_minimum`, `frame_maximum` and
        `frame_sum` (of the scan's shape), `histogram`, `histogram_edges`, and where they came from."""
        return _native._summarize_region(self._reader, use_sidecar, histogram,
                                         self._wanted(self._selection(region), view, threads, stop, on_progress, ()))

    def partitions(self, frames=None):
        """Regions that cut the scan into whole blocks, or runs of about so many frames of one: a list of what
        `region` takes, in scan order. What is computed for them apart, on many machines, touches no
        block twice."""
        parts = []
        for first, last in self._reader.blocks():
            step = last - first if frames is None else max(int(frames), 1)
            for begin in range(first, last, step):
                parts.append(self._region_of(begin, min(begin + step, last)))
        return parts

    def _region_of(self, first, last):
        if len(self.scan_shape) == 1:
            return (slice(first, last),)
        columns = self.scan_shape[1]
        if first // columns == (last - 1) // columns:
            row = first // columns
            return slice(row, row + 1), slice(first - row * columns, last - row * columns)
        if first % columns == 0 and last % columns == 0:
            return slice(first // columns, last // columns), slice(0, columns)
        return np.unravel_index(np.arange(first, last), self.scan_shape)


def _lengths(region):
    if isinstance(region[0], slice):
        return [part.stop - part.start for part in region]
    return region[0].shape


def open(path, **options):
    """Opens a dataset directory, or one on a penstock mount, as a Dataset.

    backend: "automatic", "mmap", "direct" or "pread". verify: hold every extent against its checksum when it
    is touched for the first time (on a mount the cache daemon does). use_pixel_mask: leave out the pixels
    that pixel_mask marks. use_leases: read what a mount has cached through its descriptors.
    penstock.Error: 'not found', 'corrupt', 'unsupported'."""
    return Dataset(path, **options)


def _reopen(path, options, generation):
    dataset = Dataset(path, **options)
    if dataset.generation != generation:
        raise ValueError(f"{path} has been written anew since: generation {dataset.generation}, not {generation}")
    return dataset
