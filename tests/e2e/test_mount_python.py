"""The Python package on a mount: the same numbers as from the store, read through the daemon's descriptors."""

import numpy as np

from mounting import mounted, need_fuse, wait_for
from synthetic import frames, make_dataset

need_fuse()

SHAPE = dict(scan=(8, 8), sig=(128, 128), block_bytes=1 << 20)


def test_masks_and_arrays_through_the_mount(penstock, penstock_package, tmp_path):
    p, expected = penstock_package, frames(**SHAPE)
    (tmp_path / "store").mkdir()
    make_dataset(tmp_path / "store/scan", **SHAPE)
    stack = np.random.default_rng(1).integers(-3, 4, (2, 128, 128))
    sums = np.einsum("abyx,kyx->kab", expected.astype(np.int64), stack)
    with mounted(penstock, tmp_path / "store", tmp_path / "mnt", tmp_path / "cache") as mount:
        path = mount.point / "scan"
        data = p.open(path)
        np.testing.assert_array_equal(data.apply(stack), sums)
        np.testing.assert_array_equal(data[2:5, 3], expected[2:5, 3])
        np.testing.assert_array_equal(p.apply_with_dask(path, stack).compute(scheduler="threads"), sums)

        def leased():
            masks = p.Masks(stack)
            done = p.open(path).run(masks)
            np.testing.assert_array_equal(masks.result, sums)
            return done["partitions_leased"] == done["partitions"]
        assert wait_for(leased)
        data.close()
        p.dask_arrays._open_datasets.clear()
        assert wait_for(lambda: mount.status()["leases"] == 0)
