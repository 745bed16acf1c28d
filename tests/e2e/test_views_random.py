"""Random views of random datasets, every operation in one pass, against NumPy in float64: types, lost frames,
marked pixels, blocks, compression and options in all combinations that turn up.

PENSTOCK_VIEW_ROUNDS=1000 makes a campaign of it (tools/soak); PENSTOCK_SEED repeats the choices of a run."""

import os

import numpy as np
import pytest
import scipy.sparse

import synthetic
from test_views import see

ROUNDS = int(os.environ.get("PENSTOCK_VIEW_ROUNDS", "15"))
SEED = int(os.environ.get("PENSTOCK_SEED", "20261122"))
TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]


def random_dataset(random, path):
    """Its frames, where they are valid, and where pixels are marked."""
    scan = tuple(int(n) for n in random.integers(1, 7, 2))
    signal = tuple(int(n) for n in random.choice([8, 12, 16, 20, 24, 30, 36, 60], 2))
    dtype = np.dtype(str(random.choice(TYPES)))
    missing = np.unique(random.integers(0, scan[0] * scan[1], random.integers(0, 3)))
    if len(missing) == scan[0] * scan[1]:
        missing = missing[:0]
    marked = np.zeros(signal, bool)
    if random.random() < 0.5:
        marked.flat[random.integers(0, marked.size, 5)] = True
    options = dict(scan=scan, sig=signal, dtype=dtype.name, missing=missing.tolist())
    synthetic.make_dataset(path, marked=np.flatnonzero(marked), compression="lz4" if random.random() < 0.15 else None,
                           block_bytes=dtype.itemsize * marked.size * int(random.integers(1, 12)), **options)
    good = np.ones(scan, bool)
    good.flat[missing] = False
    return synthetic.frames(**options), good, marked


def random_view(random, scan, signal, marked):
    view = {}
    if random.random() < 0.5:
        view["dark"] = random.integers(-20, 60, signal) if random.random() < 0.7 else random.uniform(-20, 60, signal)
    if random.random() < 0.4:
        view["gain"] = random.uniform(0.2, 3, signal)
    if random.random() < 0.4:
        view["dead"] = (random.random(signal) < 0.05) | (marked & (random.random() < 0.5))
    if random.random() < 0.4:
        shape = (*scan, 2)
        view["shifts"] = random.integers(-9, 9, shape) if random.random() < 0.6 else random.uniform(-9, 9, shape)
    size = int(random.choice([1, 2, 3, 4]))
    first = [int(random.integers(0, length // 2)) for length in signal]
    if random.random() < 0.5 or any(length % size for length in signal):
        view["crop"] = tuple(slice(a, a + (length - a) // size * size) for a, length in zip(first, signal))
    if size > 1:
        view["bin"] = size
    return view


def seen_frames(frames, marked, dark=0, gain=1, dead=None, shifts=None, crop=None, bin=1):
    """The frames as the view shows them, and which of their pixels count: see() with marked pixels."""
    seen = (frames.astype(np.float64) - dark) * gain
    left_out = marked if dead is None else marked & ~dead
    if dead is not None:
        source, unusable = seen.copy(), marked | dead
        for r, c in zip(*np.nonzero(dead)):
            reach = 1
            while unusable[square := np.s_[max(r - reach, 0):r + reach + 1, max(c - reach, 0):c + reach + 1]].all():
                reach += 1
            seen[..., r, c] = source[(..., *square)][..., ~unusable[square]].mean(-1)
    if shifts is not None:
        seen, left_out = np.where(left_out, 0, seen), np.zeros_like(left_out)
    seen = see(seen, shifts=shifts, crop=crop, bin=bin)
    left_out = left_out if crop is None else left_out[crop]
    return seen, ~left_out.reshape(left_out.shape[0] // bin, bin, -1, bin).any((1, 3))


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_every_operation_equals_numpy(penstock_package, tmp_path, seed):
    p, random = penstock_package, np.random.default_rng(seed)
    frames, good, marked = random_dataset(random, tmp_path / "scan")
    options = random_view(random, good.shape, marked.shape, marked)
    expected, counts = seen_frames(frames, marked, **options)
    absolute = dict(options, dark=-np.abs(options.get("dark", 0)))
    terms, _ = seen_frames(np.abs(frames.astype(np.float64)), marked, **absolute)
    data, view = p.open(tmp_path / "scan"), p.View(**options)
    shape, dtype = data.seen(view)
    assert shape == expected.shape[2:]
    exact = dtype.kind in "iu"
    bound = 0 if exact else 1e-6 * (terms.max() + 1e-30)

    weights = random.integers(-5, 6, (3, *shape))
    weights[2] *= random.random(shape) < 0.03
    masks = p.Masks([weights[:2], scipy.sparse.csr_array(weights[2].reshape(1, -1))], shape)
    waves, total, extremes, moments = p.Masks(weights[0] + 1j * weights[1]), p.Sum(), p.Extremes(), p.Statistics()
    data.run([masks, waves, total, extremes, moments], view=view, threads=int(random.integers(1, 4)))

    sums = np.einsum("abyx,kyx->kab", expected * counts, weights)
    of_sums = 0 if exact else 1e-12 + 1e-6 * np.einsum("abyx,kyx->kab", terms, np.abs(weights))[:, good]
    assert (np.abs(masks.result - sums)[:, good] <= of_sums).all()
    of_waves = np.abs(waves.result[0] - sums[0] - 1j * sums[1])[good]
    assert (of_waves <= (0 if exact else of_sums[0] + of_sums[1])).all()
    used = expected[good]
    assert (np.abs(np.nan_to_num(total.result) - used.sum(0) * counts) <= len(used) * bound).all()
    assert (np.abs(data.read(view=view).reshape(expected.shape) - expected)[good][:, counts] <= bound).all()
    if len(used) and counts.any():
        assert (np.abs(extremes.minimum - used.min(0))[counts] <= bound).all()
        assert (np.abs(extremes.maximum - used.max(0))[counts] <= bound).all()
        assert (np.abs(moments.std - used.std(0))[counts] <= 1e-6 * (terms.max() + 1e-30)).all()
        assert abs(data.summarize(view=view)["maximum"] - used[:, counts].max()) <= bound
