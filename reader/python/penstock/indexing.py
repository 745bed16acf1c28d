"""What an index in the manner of NumPy asks of the frames."""

import operator

import numpy as np

from . import _penstock as _native
from .views import View


class FrameIndex:
    """An index, cut into that of the scan and that of a frame."""

    def __init__(self, key, scan_shape, signal_shape):
        scan_axes = len(scan_shape)
        key = _without_ellipsis(key, scan_axes + len(signal_shape))
        scan_key, taken = [], 0
        while key and taken < scan_axes:
            scan_key.append(key.pop(0))
            taken += _axes_of(scan_key[-1])
        if taken > scan_axes:
            raise IndexError("a boolean array may index the axes of the scan, not those of a frame")
        # Numbers of frames, in the shape that they have in the result.
        self._frames = np.arange(np.prod(scan_shape, dtype=np.int64)).reshape(scan_shape)[tuple(scan_key)]
        self._scan_shape = scan_shape
        self._signal_shape = signal_shape
        self._signal_key = [_checked(part, length) for part, length in zip(key, signal_shape)]

    def read(self, dataset):
        frames = np.asarray(self._frames)
        wanted, places = np.unique(frames, return_inverse=True)
        region = np.unravel_index(wanted, self._scan_shape)
        window, rest = self._window()
        try:
            seen = dataset.read(region, None if window is None else View(crop=window))
        except _native.Error as error:  # pixels of a type that has no views
            if window is None or error.kind != "unsupported":
                raise
            seen = dataset.read(region)[(slice(None), *window)]
        in_order = len(wanted) == frames.size and bool((places.reshape(-1) == np.arange(frames.size)).all())
        result = seen if in_order else seen[places.reshape(-1)]
        result = result.reshape(*frames.shape, *seen.shape[1:])
        return result[(slice(None),) * frames.ndim + rest]

    def _window(self):
        """The smallest window of a frame that has all that is wanted of it, and the index in that."""
        window, rest = [], []
        for axis, length in enumerate(self._signal_shape):
            part = self._signal_key[axis] if axis < len(self._signal_key) else slice(None)
            if isinstance(part, int):
                window.append(slice(part, part + 1))
                rest.append(0)
                continue
            indices = range(length)[part]
            if len(indices) == 0:
                return None, tuple(self._signal_key)
            low, high = min(indices[0], indices[-1]), max(indices[0], indices[-1])
            window.append(slice(low, high + 1))
            rest.append(slice(None, None, indices.step))
        if window == [slice(0, length) for length in self._signal_shape]:
            return None, tuple(rest)
        return tuple(window), tuple(rest)


def _without_ellipsis(key, axes):
    key = list(key) if isinstance(key, tuple) else [key]
    if any(part is None for part in key):
        raise IndexError("new axes are none of the dataset's; index the array that it gives")
    places = [i for i, part in enumerate(key) if part is Ellipsis]
    if len(places) > 1:
        raise IndexError("an index has at most one ellipsis")
    taken = sum(_axes_of(part) for part in key if part is not Ellipsis)
    if taken > axes:
        raise IndexError(f"too many indices: the dataset has {axes} axes")
    if places:
        key[places[0]:places[0] + 1] = [slice(None)] * (axes - taken)
    return key


def _axes_of(part):
    array = None if isinstance(part, slice) else np.asarray(part)
    return array.ndim if array is not None and array.dtype == bool else 1


def _checked(part, length):
    if isinstance(part, slice):
        return part
    try:
        return range(length)[operator.index(part)]
    except TypeError:
        raise IndexError("the axes of a frame take integers and slices") from None
