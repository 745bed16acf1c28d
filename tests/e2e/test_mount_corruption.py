"""Whatever is damaged, in the cache or in the store, comes out as the table in corruption.py says."""

import contextlib
import json
import os
import random
import shutil

import pytest

from corruption import (REFETCHED, REFUSED, ROWS, STATE_ROWS, WRONG, Masters, Penstock, damage_file,
                        run_rows)

from mounting import Mount, assert_same_tree, files_below, need_fuse
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
    unexpected, pins = [], None

    def what_comes(words):
        done = penstock("mount", *mount_arguments(mount), status=None)
        if done.returncode:
            return REFUSED if words in done.stderr else f"refused without a name: {done.stderr}"
        outcome = REFETCHED
        try:
            assert_same_tree(store, point)
            if mount.counter("fetched_bytes"):
                outcome = "fetched what was there"
            if json.loads(penstock("pins", point, "--json").stdout) != pins:
                outcome = "lost a pin"
        except AssertionError:
            outcome = WRONG
        mount.stop()
        return outcome

    try:
        mount.start()
        penstock("pin", point / "proposal")
        penstock("warm", point)
        pins = json.loads(penstock("pins", point, "--json").stdout)
        assert pins
        penstock("scrub", cache, "--rate", "0")
        mount.stop()
        shutil.copytree(cache / "state", tmp_path / "older")
        # From here on the older state speaks of replicas that are other files now.
        mount.start()
        penstock("evict", point)
        penstock("warm", point)
        mount.stop()
        for row in STATE_ROWS if ALL else STATE_ROWS[:25:8] + STATE_ROWS[26:46:4] + STATE_ROWS[46::2]:
            paths = sorted(cache.glob(row.file))
            if not paths:  # RocksDB has a table only after it was opened twice
                mount.start()
                mount.stop()
                paths = sorted(cache.glob(row.file))
            if not row.file.startswith("policy"):
                paths = paths[-1:]
            if row.damage.startswith("flip") and not all(path.stat().st_size for path in paths):
                continue  # a log in which nothing is yet
            kept = {path: path.read_bytes() for path in paths if path.is_file()}
            for path in paths:
                if path.is_dir():
                    shutil.rmtree(path)
                    if row.damage == "stale":
                        shutil.copytree(tmp_path / "older", path)
                elif path.name != "policy.json.damaged":
                    damage_file(path, row.damage, numbers)
            outcome = what_comes(str(cache) if row.file == "penstock-cache.json" else str(paths[0]))
            if outcome == REFUSED:
                for path, contents in kept.items():
                    path.write_bytes(contents)
            if outcome != row.expected:
                unexpected.append(f"{row.file}, {row.damage}: {outcome}, not {row.expected}")
        assert not unexpected, "\n".join(unexpected)
    finally:
        mount.clear()


def test_damaged_memory_of_a_store_that_is_away(penstock, tmp_path):
    """Of what was seen of it nothing is made up: it is as it was, or there is an error."""
    point, cache, store = tmp_path / "mnt", tmp_path / "cache", tmp_path / "store"
    (store / "proposal").mkdir(parents=True)
    make_dataset(store / "proposal/scan", scan=(6, 6), sig=(64, 64), block_bytes=128 << 10)
    mount = Mount(penstock, store, point, cache, "--no-faces", "--settle-time", "0", "--scrub-every", "0")
    names = files_below(store)
    expected = {name: (store / name).read_bytes() for name in names}
    numbers = random.Random(5)
    try:
        mount.start()
        penstock("warm", point)
        assert_same_tree(store, point)
        mount.stop()
        shutil.copytree(cache / "memory", tmp_path / "memory")
        for pattern in ("*.log", "*.sst", "MANIFEST-*", "known-store.json"):
            for damage in ("flip head", "flip tail", "zero") if ALL else ("flip tail",):
                shutil.rmtree(cache / "memory")
                shutil.copytree(tmp_path / "memory", cache / "memory")
                paths = sorted((cache / "memory").glob(pattern)) or sorted(cache.glob(pattern))
                paths = [path for path in paths if path.stat().st_size > 0]  # a new log is empty
                if not paths:
                    continue
                damage_file(paths[-1], damage, numbers)
                store.rename(tmp_path / "away")
                if penstock("mount", *mount_arguments(mount), status=None).returncode == 0:
                    for name in names:
                        with contextlib.suppress(OSError):
                            assert (point / name).read_bytes() == expected[name], (pattern, damage, name)
                    (tmp_path / "away").rename(store)
                    mount.stop()
                else:
                    (tmp_path / "away").rename(store)
                mount.start()
                assert_same_tree(store, point)
                mount.stop()
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
