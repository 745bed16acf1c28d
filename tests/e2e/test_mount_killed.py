"""kill -9 of the daemon at any moment: what is read is right, what was kept is kept.

PENSTOCK_MOUNT_KILLS=200 makes a campaign of it; PENSTOCK_SEED repeats the choices of a run.
"""

import os
import random
import signal
import threading
import time

from mount_store import BLOCK, master, places, store
from mounting import Mount, need_fuse, replicas, wait_for

need_fuse()

KILLS = int(os.environ.get("PENSTOCK_MOUNT_KILLS", "4"))
SEED = int(os.environ.get("PENSTOCK_SEED", str(random.SystemRandom().randrange(1 << 32))))
FILES = [BLOCK.format(0), BLOCK.format(1), BLOCK.format(2), "raw", "notes.txt"]


def test_killed_again_and_again(penstock, master, places):
    point, cache = places
    expected = {name: (master / name).read_bytes() for name in FILES}
    numbers = random.Random(SEED)
    mount = Mount(penstock, master, point, cache, "--settle-time", "0", "--cache-size", "30M")
    wrong = []

    def read(seed, stopping):
        """Until the daemon is gone: errors are no wrong bytes."""
        own = random.Random(seed)
        while not stopping.is_set():
            name = own.choice(FILES)
            at, size = own.randrange(len(expected[name])), own.choice([100, 70_000, 3_000_000])
            try:
                with open(point / name, "rb", buffering=0) as file:
                    # A read that the kernel had to ask for in parts ends where the daemon ended.
                    got = os.pread(file.fileno(), size, at)
                    if got != expected[name][at:at + len(got)]:
                        wrong.append((name, at, size))
            except OSError:
                time.sleep(0.005)

    try:
        for kill in range(KILLS):
            mount.start()
            if kill == 0:
                penstock("pin", point / "proposal/scan", "--blocks", "2", "--reason", "to stay")
            stopping = threading.Event()
            readers = [threading.Thread(target=read, args=(f"{SEED} {kill} {i}", stopping))
                       for i in range(2)]
            pid = mount.pid()
            for reader in readers:
                reader.start()
            time.sleep(numbers.uniform(0, 0.4))
            if numbers.random() < 0.3:
                penstock("evict", point / "proposal/scan", status=None)
            os.kill(pid, signal.SIGKILL)
            stopping.set()
            for reader in readers:
                reader.join(60)
                assert not reader.is_alive(), f"PENSTOCK_SEED={SEED}: a reader hangs after kill {kill}"
            assert not wrong, f"PENSTOCK_SEED={SEED}, kill {kill}: {wrong[0]}"
        mount.start()
        assert "to stay" in penstock("pins", cache).stdout
        for name in FILES:
            assert (point / name).read_bytes() == expected[name]
        wait_for(lambda: mount.status()["inventory_done"])
        # What the daemon says it holds is what lies there, once nothing is being fetched any more.
        status = mount.status()
        assert len(replicas(cache)) == status["cached_blocks"] + status["other_files"]["files"]
        wait_for(lambda: abs(mount.status()["cached_bytes"] - sum(
            path.stat().st_blocks * 512 for path in replicas(cache))) < 64 << 10)
        assert status["counters"]["damaged_cache_extents"] == 0
        mount.stop()
    finally:
        mount.clear()
