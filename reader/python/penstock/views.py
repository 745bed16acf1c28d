"""What a pass sees in place of the stored frames."""

import numpy as np

from . import _penstock as _native

_NO_BOUND = 2**63 - 1


class View(_native._View):
    """Frames corrected, moved back, cropped and binned, in this order.

    dark, gain: (rows, columns), corrected = (frame - dark) * gain.
    dead: (rows, columns), other than 0: the mean of the good corrected pixels in the smallest square about it.
    shifts: (scan rows, scan columns, 2) or (frames, 2), pixels: rows and columns by which the pattern of each
      frame is displaced (descan); seen(r, c) = corrected(r + row shift, c + column shift), linear between
      pixels, 0 beyond the frame.
    crop: a pair of slices without steps, with bounds that are not negative.
    bin: sums of bin x bin pixels.

    Masks and centres are in the coordinates of what is seen: `data.seen(view)` says its shape and type.
    8- and 16-bit integers stay integer and exact with whole dark values and shifts and neither gain nor dead
    pixels; otherwise they become float32, 32-bit ones float64. Immutable; several threads may use it.
    ValueError or penstock.Error for what does not fit the frames, the latter by the pass."""

    def __init__(self, dark=None, gain=None, dead=None, shifts=None, crop=None, bin=1):
        bounds = []
        for part in crop or ():
            if part.step not in (None, 1) or (part.start or 0) < 0 or (part.stop or 0) < 0:
                raise ValueError("crop takes slices with bounds from the first pixel on, and no steps")
            bounds += [part.start or 0, _NO_BOUND if part.stop is None else part.stop]
        if len(bounds) not in (0, 4):
            raise ValueError("crop takes two slices: rows and columns")
        if shifts is not None:
            shifts = np.asarray(shifts, np.float64)
            if shifts.ndim < 2 or shifts.shape[-1] != 2:
                raise ValueError(f"shifts are (scan..., 2), not {shifts.shape}")
            shifts = shifts.reshape(-1, 2)
        super().__init__(
            _real(dark), _real(gain), None if dead is None else np.ascontiguousarray(np.asarray(dead) != 0, np.uint8),
            None if shifts is None else _real(shifts[:, 0]), None if shifts is None else _real(shifts[:, 1]), bounds, bin)
        self._arguments = dict(dark=dark, gain=gain, dead=dead, shifts=shifts, crop=crop, bin=bin)

    def __reduce__(self):
        return _restore, (self._arguments,)


def _restore(arguments):
    return View(**arguments)


def _real(array):
    return None if array is None else np.ascontiguousarray(array, np.float64)
