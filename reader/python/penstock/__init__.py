"""Penstock datasets as arrays, and reductions over their frames.

    import penstock
    data = penstock.open("/data/scan_0042")              # a directory, or one on a penstock mount
    data.shape, data.dtype                               # (256, 256, 256, 256), uint16
    data[10, 20], data[10:20, ::2], numpy.asarray(data)  # frames, as NumPy arrays
    images = data.apply(["disk:128,128,20", "annulus:128,128,40,100", array, sparse_matrix])

    total, centres = penstock.Sum(), penstock.CentreOfMass(data.signal_shape)
    data.run([total, centres])                           # any number of reductions, one pass
    total.result, centres.rows

    class Mine(penstock.FrameReduction): ...             # your own: make_partial, process, merge, finish
    data.run([Mine(), total])

    penstock.to_dask("/data/scan_0042")                  # a dask array with a chunk per block
    penstock.apply_with_dask("/data/scan_0042", masks)   # masks, with a task per block

Axes are (scan rows, scan columns, rows, columns), or (frames, rows, columns) for a series. Lengths and
positions are pixels, (row, column); the centre of the first pixel is (0, 0). Results are NumPy arrays of
their own: int64 where they are exact, otherwise float64, or complex128 for complex masks. Frames that
image_key marks (`data.valid` is False) are 0 or NaN there.

A Dataset may be used by several threads at once. A reduction takes part in one pass at a time; its results
may be read after the pass, and by the pass's on_progress. Python's lock is released while bytes are read.

Errors are penstock.Error, with their `kind`; penstock.Cancelled where a pass was stopped. Arguments of a wrong
type or shape are TypeError or ValueError.
"""

from ._penstock import Cancelled, Error, Extremes, Reduction, Statistics, Stop, Sum, __version__
from .dask_arrays import apply_with_dask, reduce_with_dask, to_dask
from .dataset import Axis, Dataset, Progress, open
from .frame_reductions import FrameReduction, Plan, Tile
from .masks import mask_stack
from .reductions import CentreOfMass, Histogram, Masks, Radial
from .views import View

__all__ = ["Axis", "Cancelled", "CentreOfMass", "Dataset", "Error", "Extremes", "FrameReduction", "Histogram", "Masks",
           "Plan", "Progress", "Radial", "Reduction", "Statistics", "Stop", "Sum", "Tile", "View", "apply_with_dask",
           "mask_stack", "open", "reduce_with_dask", "to_dask"]
