"""Masks: from text, arrays and sparse matrices to what the extension takes."""

import numpy as np

from . import _penstock as _native


def native_masks(masks, shape=None):
    """A native list of masks. `shape`: of the frames; without it that of the arrays among them."""
    if isinstance(masks, _native._Masks):
        return masks
    if not isinstance(masks, (list, tuple)):
        masks = [masks]
    if shape is None:
        shapes = [mask.shape[-2:] for mask in masks if isinstance(mask, np.ndarray)]
        if not shapes:
            raise ValueError("text and sparse matrices need the shape of the frames: shape=data.signal_shape")
        shape = shapes[0]
    shape = tuple(int(length) for length in shape)
    if len(shape) != 2:
        raise ValueError(f"frames have two axes, not the shape {shape}")
    stack = _native._Masks.from_arrays(None, None, shape, "")
    for number, mask in enumerate(masks):
        stack.extend(_one_native(mask, shape, number))
    return stack


def _one_native(mask, shape, number):
    if isinstance(mask, str):
        return _native._Masks.from_text(mask, shape)
    if hasattr(mask, "tocsr"):
        matrix = mask.tocsr()
        return _native._Masks.from_csr(
            np.ascontiguousarray(matrix.indptr, np.int64), np.ascontiguousarray(matrix.indices, np.int64),
            _real(matrix.data), _imaginary(matrix.data), matrix.shape, shape, f"mask{number}")
    array = np.asarray(mask)
    if array.ndim not in (2, 3) or array.shape[-2:] != shape:
        raise ValueError(f"mask {number} has the shape {array.shape}, the frames {shape}")
    return _native._Masks.from_arrays(_real(array), _imaginary(array), shape, f"mask{number}")


def _real(array):
    return np.ascontiguousarray(np.real(array), np.float64)


def _imaginary(array):
    return np.ascontiguousarray(array.imag, np.float64) if np.iscomplexobj(array) else None


def optional_masks(mask, shape):
    return None if mask is None else native_masks(mask, shape)


def mask_stack(masks, shape=None):
    """The weights of masks as an array (masks, rows, columns), float64 or complex128.

    masks, shape: as Masks takes them."""
    return native_masks(masks, shape).dense()
