"""penstock apply through a mount: the results are those of the store, cold and warm, and complete
blocks are read through descriptors of the daemon."""

import json

import numpy as np
import pytest

from mounting import mounted, need_fuse, wait_for
from synthetic import frames, make_dataset

need_fuse()

SHAPE = dict(scan=(16, 16), sig=(256, 256), block_bytes=12 << 20)


@pytest.mark.parametrize("options", [(), ("--no-passthrough",)], ids=["passthrough", "served"])
def test_apply_through_the_mount_equals_numpy(penstock, tmp_path, options):
    (tmp_path / "store").mkdir()
    make_dataset(tmp_path / "store/scan", **SHAPE)
    y, x = np.mgrid[:256, :256]
    disk = ((y - 128) ** 2 + (x - 128) ** 2 <= 60 ** 2).astype(np.int64)
    expected = np.einsum("abyx,yx->ab", frames(**SHAPE).astype(np.int64), disk)

    def apply(path, name, backend="automatic"):
        done = penstock("apply", path, "--mask", "disk:128,128,60", "--out", tmp_path / name,
                        "--no-pictures", "--json", "--backend", backend)
        np.testing.assert_array_equal(np.load(tmp_path / name), expected)
        return json.loads(done.stdout.splitlines()[-1])["partitions"]

    with mounted(penstock, tmp_path / "store", tmp_path / "mnt", tmp_path / "cache",
                 *options) as mount:
        apply(mount.point / "scan", "cold.npy")
        assert wait_for(lambda: apply(mount.point / "scan", "warm.npy")["leased"] == 3)
        assert wait_for(lambda: mount.status()["leases"] == 0)  # all given back
        for backend in ("mmap", "direct", "pread"):
            parts = apply(mount.point / "scan", f"{backend}.npy", backend)
            assert parts["total"] == parts["leased"] == 3
    apply(tmp_path / "store/scan", "store.npy")
