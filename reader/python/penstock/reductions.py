"""The reductions whose arguments need Python's help; Sum, Statistics and Extremes need none."""

from . import _penstock as _native
from .masks import native_masks, optional_masks


class Masks(_native._MaskReduction):
    """Sums of frame * mask over the pixels of every frame: virtual detectors.

    masks: one or a list of
      text as `penstock apply --mask` takes it ("disk:64,64,20", "lattice:...", "aperture.npy"),
      arrays (rows, columns) or (n, rows, columns): bool, integer, float or complex,
      scipy.sparse matrices or arrays with a row per mask and a column per pixel.
    shape: (rows, columns) of the frames, `data.signal_shape` or that of a view; may be left out where one
      of the masks is an array.

    result: (masks, scan rows, scan columns), or (masks, frames) for a series. complex128 where a mask is
    complex; int64 and exact where data and all masks are integer (as values: 1.0 is one); otherwise float64,
    relative error of the order of 1e-7 of the sum of the absolute terms. 0 or NaN for frames that are not
    valid, not selected or not done.
    names: of the masks."""

    def __init__(self, masks, shape=None):
        super().__init__(native_masks(masks, shape))


class CentreOfMass(_native._CentreOfMass):
    """The centre of mass of every frame.

    shape: (rows, columns) of the frames. selection: a mask, the pixels that count and their weights.
    rows, columns: float64, of the scan's shape, pixels; NaN where a frame is not valid, not selected or has
    no intensity. intensity: the weighted sum, as Masks gives it."""

    def __init__(self, shape, selection="full"):
        super().__init__(native_masks(selection, shape))


class Histogram(_native._Histogram):
    """How often values occur over all frames; exact.

    bins, low, high: as numpy.histogram takes them; the last bin has its upper bound. region: a mask; pixels
    with a weight other than 0 count. shape: (rows, columns) of the frames, for a region that is text.
    counts: (bins,) int64. edges: (bins + 1,) float64. below, above, not_numbers: what is in no bin."""

    def __init__(self, bins, low, high, region=None, shape=None):
        super().__init__(bins, low, high, optional_masks(region, shape))


class Radial(_native._Radial):
    """Sums of every frame over rings about a centre, and over sectors of them.

    centre: (row, column), pixels. inner, outer: pixels; outer 0: up to the furthest corner. selection: a mask;
    pixels with a weight other than 0 count. shape: (rows, columns) of the frames, for a selection that is text.
    sums: (scan..., rings), with sectors (scan..., sectors, rings); int64 and exact for integer data.
    means: sums by pixels, float64. pixels: of each bin, int64. radii: (rings,) the middle of each, pixels."""

    def __init__(self, centre, inner=0, outer=0, rings=256, sectors=1, selection=None, shape=None):
        super().__init__(tuple(centre), inner, outer, rings, sectors, optional_masks(selection, shape))
