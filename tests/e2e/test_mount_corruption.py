"""Whatever is damaged, in the cache or in the store, comes out as the table in corruption.py says."""

import os
import random
import shutil

import pytest

from corruption import (REFETCHED, REFUSED, ROWS, STATE_ROWS, WRONG, Masters, Penstock, damage_file,
                        run_rows)

from mounting import Mount, assert_same_tree, need_fuse
from synthetic import make_dataset

need_fuse()

# "all" tries every row in both ways of serving.
ALL = os.environ.get("PENSTOCK_CORRUPTION") == "all"


@pytest.fixture(scope="module")
def masters(tmp_path_factory):
    return Masters(tmp_path_factory.mktemp("corruption") / "masters")


@pytest.mark.parametrize("options, rows", [((), ROWS if ALL else ROWS[::2]),
                                           (("--no-passthrough",), ROWS if ALL else ROWS[1::2])],
                         ids=["default", "served"])
def test_damaged_data(penstock, masters, tmp_path, options, rows):
    store = tmp_path / "store"
    store.mkdir()
    found = run_rows(rows, Penstock(penstock, store, tmp_path, *options), store, masters, seed=1)
    unexpected = [f"{row.where}, {row.damage}, {row.when}: {outcome}, not {row.expected}"
                  for row, outcome in zip(rows, found) if row.expected != outcome]
    assert not unexpected, "\n".join(unexpected)


def test_damaged_state(penstock, tmp_path):
    point, cache, store = tmp_path / "mnt", tmp_path / "cache", tmp_path / "store"
    (store / "proposal").mkdir(parents=True)
    make_dataset(store / "proposal/scan", scan=(6, 6), sig=(64, 64), block_bytes=128 << 10)
    (store / "notes.txt").write_text("a file beside it\n")
    mount = Mount(penstock, store, point, cache, "--no-faces", "--settle-time", "0",
                  "--scrub-every", "0")
    numbers = random.Random(3)
    unexpected = []

    def what_comes(words):
        done = penstock("mount", *mount_arguments(mount), status=None)
        if done.returncode:
            return REFUSED if words in done.stderr else f"refused without a name: {done.stderr}"
        outcome = REFETCHED
        try:
            assert_same_tree(store, point)
            if mount.counter("fetched_bytes"):
                outcome = "fetched what was there"
        except AssertionError:
            outcome = WRONG
        mount.stop()
        return outcome

    try:
        mount.start()
        penstock("pin", point / "proposal")
        penstock("warm", point)
        penstock("scrub", cache, "--rate", "0")
        mount.stop()
        shutil.copytree(cache / "state", tmp_path / "older")
        # From here on the older state speaks of replicas that are other files now.
        mount.start()
        penstock("evict", point)
        penstock("warm", point)
        mount.stop()
        for row in STATE_ROWS if ALL else STATE_ROWS[:25:8] + STATE_ROWS[26::2]:
            paths = sorted(cache.glob(row.file))
            if not paths:  # RocksDB has a table only after it was opened twice
                mount.start()
                mount.stop()
                paths = sorted(cache.glob(row.file))
            path = paths[-1]
            kept = path.read_bytes() if path.is_file() else None
            if row.file == "state":
                shutil.rmtree(path)
                if row.damage == "stale":
                    shutil.copytree(tmp_path / "older", path)
            else:
                damage_file(path, row.damage, numbers)
            outcome = what_comes(str(cache) if row.file == "penstock-cache.json" else str(path))
            if outcome == REFUSED:
                path.write_bytes(kept)
            if outcome != row.expected:
                unexpected.append(f"{row.file}, {row.damage}: {outcome}, not {row.expected}")
        assert not unexpected, "\n".join(unexpected)
    finally:
        mount.clear()


def mount_arguments(mount):
    return (mount.store, mount.point, "--cache", mount.cache, "--reserve", "0", *mount.options)


def test_a_cache_whose_making_was_interrupted_is_made(penstock, tmp_path):
    """The marker was being written when the power failed."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "cache/penstock-cache.json.part.4711").write_text("{")
    mount = Mount(penstock, tmp_path / "store", tmp_path / "mnt", tmp_path / "cache")
    try:
        mount.start()
        mount.stop()
    finally:
        mount.clear()
