"""A daemon that has been used for long takes no more descriptors, threads and memory than one that has
been used for a while.

PENSTOCK_OPENS=100000 makes a campaign of it.
"""

import os
import socket

from mount_store import BLOCK, EXTENT, master
from mounting import mounted, need_fuse, wait_for
from test_mount_descriptors import ACQUIRE, GRANTED, RELEASE, ask, connect

need_fuse()

OPENS = int(os.environ.get("PENSTOCK_OPENS", "2000"))
NAMES = [BLOCK.format(0), BLOCK.format(1), BLOCK.format(2), "raw", "notes.txt",
         "proposal/scan/nexus.json", "proposal/scan/data.raw", "proposal/scan/data.nxs"]


def test_opens_leave_nothing_behind(penstock, master, tmp_path):
    point, cache = tmp_path / "mnt", tmp_path / "cache"
    expected = {name: (master / name).read_bytes()[:300] for name in NAMES[:6]}

    def use(count, mount):
        """Opens of all kinds; now and then the cache is emptied, and somebody goes away without
        releasing what he has."""
        for number in range(count):
            name = NAMES[number % len(NAMES)]
            with open(point / name, "rb", buffering=0) as file:
                got = os.pread(file.fileno(), 300, 0)
                assert got == expected.get(name, got), name
            if number % 50 == 0:
                os.listdir(point / "proposal/scan")
                with connect(point) as connection:
                    for block in range(3):
                        outcome, lease, _, _, descriptors = ask(connection, ACQUIRE, b"proposal/scan",
                                                                block)
                        if outcome == GRANTED:
                            os.close(descriptors[0])
                            if block == 0:
                                ask(connection, RELEASE, block=lease)
            if number % 500 == 250:
                penstock("evict", point / "proposal/scan")

    def usage(mount):
        def settled():
            status = mount.status()
            return status["leases"] == 0 and status
        return wait_for(settled)["process"]

    with mounted(penstock, master, point, cache, "--settle-time", "0", "--scrub-every", "0") as mount:
        use(min(OPENS, 1000), mount)
        before = usage(mount)
        use(OPENS, mount)
        after = usage(mount)
        print(f"{OPENS} opens: {before} before, {after} after")
        assert after["open_files"] <= before["open_files"] + 12, (before, after)
        assert after["threads"] <= before["threads"] + 8, (before, after)
        # Each thread that fetches keeps a buffer of one extent, whenever it is its turn first.
        assert after["resident_bytes"] <= before["resident_bytes"] + 12 * EXTENT, (before, after)
