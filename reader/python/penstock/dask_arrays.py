"""Datasets and masks for Dask: a task per block, on however many machines. Dask is asked for only here."""

import collections
import copy
import threading

import numpy as np

from . import _penstock as _native
from .dataset import Dataset
from .frame_reductions import finished

# Open datasets of this process, so that its tasks share what was verified and leased.
_OPEN_AT_MOST = 16
_open_datasets = collections.OrderedDict()
_lock = threading.Lock()


def _opened(path, options, generation):
    key = (path, tuple(sorted(options.items())), generation)
    with _lock:
        if key in _open_datasets:
            _open_datasets.move_to_end(key)
            return _open_datasets[key]
    dataset = Dataset(path, **options)
    if dataset.generation != generation:
        raise ValueError(f"{path} has been written anew since the graph was made")
    with _lock:
        _open_datasets[key] = dataset
        while len(_open_datasets) > _OPEN_AT_MOST:
            _open_datasets.popitem(last=False)
    return dataset


def to_dask(path, chunk_frames=None, threads=1, **options):
    """A dask array over a dataset: shape and dtype of the Dataset, lazy, a chunk per block of it.

    chunk_frames: about so many frames in a chunk, and no more than a block has; a chunk is whole rows of the
    scan or part of one. threads: that read one chunk. options: of open. Frames that are not valid are zeros.
    `path` must lead to the dataset on every machine that computes. ImportError without dask; errors of open
    now, those of reading from compute()."""
    return _array_of_parts(path, options, chunk_frames, _read_part, dict(threads=threads), leading=(), trailing=True)


def apply_with_dask(path, masks, view=None, chunk_frames=None, threads=1, **options):
    """Dataset.apply as a dask array (masks, scan rows, scan columns), a task per block, which reads it and
    gives back the sums alone.

    masks, view: as Dataset.apply takes them; .npy and .npz files are read now. threads: of one task. The values are
    bit for bit those of Dataset.apply for integer data and masks, and otherwise within what Masks states.
    chunk_frames, options, errors: as for to_dask."""
    dataset = Dataset(path, **options)
    if not isinstance(masks, (list, tuple)):
        masks = [masks]
    masks = [_loaded(mask) for mask in masks]
    # No frame: what is left is the type, and whether the masks fit.
    nothing = dataset.apply(masks, view=view, region=np.zeros(dataset.scan_shape, bool))
    return _array_of_parts(path, options, chunk_frames, _apply_part, dict(masks=masks, view=view, threads=threads),
                           leading=(nothing.shape[0],), dtype=nothing.dtype, trailing=False)


def reduce_with_dask(path, reduction, view=None, threads=1, **options):
    """A reduction of your own (FrameReduction) over the whole scan as a dask Delayed: a task per block makes its
    partials, one more merges them in scan order and gives what finish returns.

    The bytes are those of Dataset.run. reduction: each task works on a copy of it, so that it and its partials must
    be fit for pickling where tasks run in other processes. It remains as it is. threads: of one task. path, options,
    errors: as for to_dask."""
    from dask.delayed import delayed
    dataset = Dataset(path, **options)
    source = dataset.__reduce__()[1]
    shared = delayed(reduction, traverse=False), delayed(view, traverse=False)
    parts = [delayed(_reduce_part)(source, region, *shared, threads) for region in dataset.partitions()]
    return delayed(_merge_parts)(shared[0], parts)


class _Collecting:
    """Keeps the partials of a reduction instead of merging them."""

    def __init__(self, reduction):
        self._reduction = reduction
        self.make_partial, self.process = reduction.make_partial, reduction.process
        self.plan, self.partials = None, []

    def begin(self, plan):
        self.plan = plan
        if hasattr(self._reduction, "begin"):
            self._reduction.begin(plan)

    def merge(self, partial):
        self.partials.append(partial)


def _reduce_part(source, region, reduction, view, threads):
    collecting = _Collecting(copy.deepcopy(reduction))
    _opened(*source).run(collecting, region=region, view=view, threads=threads)
    return collecting.plan, collecting.partials


def _merge_parts(reduction, parts):
    reduction = copy.deepcopy(reduction)
    if hasattr(reduction, "begin"):
        reduction.begin(parts[0][0])
    for _, partials in parts:
        for partial in partials:
            reduction.merge(partial)
    return finished(reduction)


def _loaded(mask):
    """A mask that needs no file."""
    if not isinstance(mask, str) or not mask.endswith((".npy", ".npz")):
        return mask
    if mask.endswith(".npy"):
        return np.load(mask)
    import scipy.sparse
    return scipy.sparse.load_npz(mask)


def _read_part(source, region, threads):
    dataset = _opened(*source)
    frames = dataset.read(region, threads=threads)
    return frames.reshape(*(part.stop - part.start for part in region), *dataset.signal_shape)


def _apply_part(source, region, masks, view, threads):
    return _opened(*source).apply(masks, view=view, region=region, threads=threads)[(slice(None), *region)]


def _array_of_parts(path, options, chunk_frames, work, arguments, leading, trailing, dtype=None):
    import dask.array
    from dask.delayed import delayed
    dataset = Dataset(path, **options)
    source = dataset.__reduce__()[1]
    shared = {name: delayed(value, traverse=False) for name, value in arguments.items()}
    rows = {}
    for region in _rectangles(dataset, chunk_frames):
        lengths = tuple(part.stop - part.start for part in region)
        shape = leading + lengths + (dataset.signal_shape if trailing else ())
        part = dask.array.from_delayed(delayed(work)(source, region, **shared), shape, dtype or dataset.dtype)
        rows.setdefault(region[0].start, []).append(part)
    axis = len(leading)
    if len(dataset.scan_shape) == 1:
        return dask.array.concatenate([part for row in rows.values() for part in row], axis)
    return dask.array.concatenate([dask.array.concatenate(row, axis + 1) for row in rows.values()], axis)


def _rectangles(dataset, chunk_frames):
    """Regions of slices: whole rows, or parts of one."""
    for block in dataset.partitions():
        frames = np.prod([part.stop - part.start for part in block])
        if chunk_frames is None or frames <= chunk_frames:
            yield block
        elif len(block) == 1:
            for first in range(block[0].start, block[0].stop, max(int(chunk_frames), 1)):
                yield (slice(first, min(first + max(int(chunk_frames), 1), block[0].stop)),)
        else:
            rows, columns = block
            width = columns.stop - columns.start
            high = max(int(chunk_frames) // width, 1)
            wide = width if chunk_frames >= width else max(int(chunk_frames), 1)
            for row in range(rows.start, rows.stop, high):
                for column in range(columns.start, columns.stop, wide):
                    yield slice(row, min(row + high, rows.stop)), slice(column, min(column + wide, columns.stop))
