"""A store that is away: what the cache has is listed, opened and read as before, also by a new daemon;
the rest is EIO at once; what comes back is believed at once."""

import errno
import hashlib
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import time

import numpy as np
import pytest

from mounting import Mount, is_mounted, mounted, need_fuse, wait_for
from remote_stores import DirectoryStore, NginxStore, S3Store
from stopping import stop
from synthetic import frames, make_dataset

need_fuse()

# Three blocks.
SHAPE = dict(scan=(6, 8), sig=(64, 64), block_bytes=128 << 10)
BLOCK = "proposal/scan/data.zarr/real/c/{}/0/0/0"
TIMEOUT = int(os.environ.get("PENSTOCK_STORE_TIMEOUT", "3"))  # longer for builds that are slow


class Renamed(DirectoryStore):
    pass


class Emptied(DirectoryStore):
    """An export that was unmounted: the folder is there, and empty."""

    covered = False

    def vanish(self):
        subprocess.run(["mount", "-t", "tmpfs", "none", str(self.root)], check=True)
        self.covered = True

    def come_back(self):
        # (Who looks at it right now holds it for a moment.)
        assert wait_for(lambda: subprocess.run(["umount", str(self.root)], check=False,
                                               capture_output=True).returncode == 0)
        self.covered = False

    def close(self):
        if self.covered:
            subprocess.run(["umount", "-l", str(self.root)], check=False)


class Hung(NginxStore):
    """The server takes connections and does not answer."""

    def processes(self):
        master = self.process.pid
        children = pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return [master, *map(int, children)]

    def vanish(self):
        for pid in self.processes():
            os.kill(pid, signal.SIGSTOP)

    def come_back(self):
        for pid in self.processes():
            os.kill(pid, signal.SIGCONT)

    def close(self):
        if self.process:
            self.come_back()
        self.stop()


class HungMount(DirectoryStore):
    """A network file system whose server does not answer: every call into it hangs."""

    def __init__(self, folder, penstock):
        super().__init__(folder)
        self.mount = Mount(penstock, self.root, self.folder / "exported", self.folder / "lower",
                           "--no-faces")
        self.address = str(self.mount.point)
        self.pid = None

    def start(self):
        self.mount.start()

    def vanish(self):
        self.pid = self.mount.pid()
        stop(self.pid)

    def come_back(self):
        os.kill(self.pid, signal.SIGCONT)
        self.pid = None

    def close(self):
        if self.pid:
            self.come_back()
        self.mount.clear()


KINDS = {"renamed": Renamed, "emptied": Emptied, "hung-mount": HungMount,
         "http-stopped": NginxStore, "http-hung": Hung, "s3-stopped": S3Store}


@pytest.fixture
def make_store(penstock, tmp_path, monkeypatch):
    made = []

    def make(kind):
        folder = tmp_path / "served"
        store = HungMount(folder, penstock) if kind == "hung-mount" else KINDS[kind](folder)
        made.append(store)
        make_dataset(store.root / "proposal/scan", **SHAPE)
        store.put("proposal/notes.txt", b"a file beside the dataset\n")
        store.put("elsewhere/unread", b"nobody has read it" * 1000)
        if store.kind == "directory":
            os.symlink("proposal/notes.txt", store.root / "link")
        store.start()
        # Over HTTP a file is one second old before it counts as left alone.
        begun = time.time()
        wait_for(lambda: store.kind == "directory" or time.time() > begun + 2)
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        return store

    yield make
    for store in made:
        store.close()


@pytest.fixture
def places(tmp_path):
    return tmp_path / "mnt", tmp_path / "cache"


def options_of(store):
    return (*store.options, "--upstream-timeout", TIMEOUT, "--settle-time", "0")


def seen_below(point, skip=()):
    """What a program sees: of every name its attributes, and the digest of what it holds."""
    seen = {}
    for folder, folders, files in os.walk(point, onerror=raise_it):
        for name in (*folders, *files):
            path = pathlib.Path(folder) / name
            relative = str(path.relative_to(point))
            status = os.lstat(path)
            found = (stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_uid)
            if stat.S_ISLNK(status.st_mode):
                found += (os.readlink(path),)
            elif stat.S_ISREG(status.st_mode):
                found += (status.st_size, status.st_mtime_ns)
                if relative not in skip:
                    found += (hashlib.sha1(path.read_bytes()).hexdigest(),)
            seen[relative] = found
    return seen


def raise_it(error):
    raise error


def presence(mount):
    return mount.status()["store_presence"]


def fails_with(attempt):
    with pytest.raises(OSError) as failure:
        attempt()
    return failure.value.errno


def fill(penstock, mount, store):
    """Everything but elsewhere/unread gets into the cache; what a program sees then."""
    point = mount.point
    penstock("warm", point / "proposal")
    seen = seen_below(point, skip=("elsewhere/unread",))
    assert {"proposal/scan/data.nxs", "proposal/scan/data.npy", "proposal/scan/data.raw",
            "proposal/scan/nexus.json", BLOCK.format(2)} <= set(seen)
    for block in range(3):
        assert (point / BLOCK.format(block)).read_bytes() == (
            store.root / BLOCK.format(block)).read_bytes()
    wait_until_written(mount)
    return seen


def wait_until_written(mount):
    def is_done():
        status = mount.status()
        return (status["store_presence"]["unwritten"] == 0 and status["datasets"]
                and status["datasets"][0]["complete_blocks"] == 3)
    wait_for(is_done)


def go_away(mount, store):
    store.vanish()

    def is_away():
        # Nobody notices before somebody asks.
        try:
            os.listdir(mount.point / "proposal")
        except OSError:
            pass
        return presence(mount)["state"] == "away"
    wait_for(is_away)


def check_away(mount, seen):
    point = mount.point
    assert seen_below(point, skip=("elsewhere/unread",)) == seen
    assert fails_with((point / "elsewhere/unread").read_bytes) == errno.EIO
    assert fails_with(lambda: os.stat(point / "elsewhere/never seen")) == errno.EIO
    assert np.array_equal(np.load(point / "proposal/scan/data.npy", mmap_mode="r").reshape(
        SHAPE["scan"] + SHAPE["sig"]), frames(SHAPE["scan"], SHAPE["sig"]))
    told = presence(mount)
    assert told["state"] == "away" and told["reason"]
    text = mount.penstock("status", mount.cache).stdout
    assert "away since" in text
    done = mount.penstock("status", mount.cache, "--check", status=1)
    assert "the store is away" in done.stdout


@pytest.mark.parametrize("kind", ["http-stopped", "http-hung", "s3-stopped"])
def test_a_daemon_ends_well_while_it_asks_for_a_store_that_is_away(penstock, make_store, places, kind):
    store = make_store(kind)
    point, cache = places
    mount = Mount(penstock, store.address, point, cache)
    command = [penstock.binary, "mount", store.address, point, "--cache", cache, "--reserve", "0", "--foreground",
               *options_of(store)]
    with subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: is_mounted(point) and (cache / "control.sock").exists())
            os.listdir(point / "proposal")
            go_away(mount, store)
            mount.stop()
            assert process.wait(timeout=120) == 0
        finally:
            process.kill()
            mount.clear()


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_cache_has_is_there_without_the_store(penstock, make_store, places, kind):
    store = make_store(kind)
    point, cache = places
    mount = Mount(penstock, store.address, point, cache, *options_of(store))
    try:
        mount.start()
        seen = fill(penstock, mount, store)
        assert presence(mount)["state"] == "there"
        go_away(mount, store)
        check_away(mount, seen)
        # The next daemon, while the mount stays.
        pid = mount.pid()
        penstock("restart", point)
        assert mount.pid() != pid
        check_away(mount, seen)
        # One that was killed.
        os.kill(mount.pid(), signal.SIGKILL)
        wait_for(lambda: fails_with_or_none(lambda: os.listdir(point)) == errno.ENOTCONN)
        mount.start()
        check_away(mount, seen)
        log = mount.log()
        # Once by each daemon.
        assert 1 <= log.count("the store is away, ") <= 3, log
        store.come_back()
        wait_for(lambda: presence(mount)["state"] == "there")
        assert "the store is there again" in mount.log()
        # What nobody has read before can be read now.
        wait_for(lambda: fails_with_or_none((point / "elsewhere/unread").read_bytes) is None)
        assert (point / "elsewhere/unread").read_bytes() == b"nobody has read it" * 1000
        again = seen_below(point, skip=("elsewhere/unread",))
        if store.kind == "s3":  # which has been filled anew: other times
            again, seen = ({name: (found[:4], found[5:]) for name, found in each.items()}
                           for each in (again, seen))
        assert again == seen
        # No block was fetched again.
        assert mount.counter("fetched_bytes") == 0
        mount.stop()
    finally:
        mount.clear()


def fails_with_or_none(attempt):
    try:
        attempt()
        return None
    except OSError as error:
        return error.errno


@pytest.mark.parametrize("kind", ["renamed", "http-stopped", "s3-stopped"])
@pytest.mark.parametrize("change", ["replaced", "removed"])
def test_what_changed_meanwhile_is_seen(penstock, make_store, places, tmp_path, kind, change):
    store = make_store(kind)
    point, cache = places
    with mounted(penstock, store.address, point, cache, *options_of(store)) as mount:
        seen = fill(penstock, mount, store)
        old = (point / BLOCK.format(1)).read_bytes()
        go_away(mount, store)
        root = store.root if store.root.exists() else store.folder / "away"
        shutil.rmtree(root / "proposal/scan")
        if change == "replaced":
            # Of the same shape: the same names and sizes, other bytes.
            make_dataset(root / "proposal/scan", **SHAPE, missing=(3, 20))
        with open(point / BLOCK.format(1), "rb", buffering=0) as held:
            assert held.read() == old
            store.come_back()
            wait_for(lambda: presence(mount)["state"] == "there")
            if change == "removed":
                wait_for(lambda: fails_with_or_none(
                    lambda: os.stat(point / "proposal/scan")) == errno.ENOENT)
                assert os.listdir(point / "proposal") == ["notes.txt"]
                wait_for(lambda: fails_with_or_none(
                    lambda: os.stat(point / BLOCK.format(1))) == errno.ENOENT)
                # And so it is when the store is away again.
                wait_for(lambda: presence(mount)["unwritten"] == 0)
                go_away(mount, store)
                assert os.listdir(point / "proposal") == ["notes.txt"]
                assert fails_with((point / BLOCK.format(1)).read_bytes) == errno.EIO
                store.come_back()
                return
            new = (root if root.exists() else store.root) / BLOCK.format(1)
            assert new.read_bytes() != old
            wait_for(lambda: (point / BLOCK.format(1)).read_bytes() == new.read_bytes())
            # Whoever had it open has one of the two and no mixture.
            os.lseek(held.fileno(), 0, os.SEEK_SET)
            again = held.read()
            assert again in (old, new.read_bytes())
        wait_for(lambda: np.array_equal(
            np.load(point / "proposal/scan/data.npy").reshape(SHAPE["scan"] + SHAPE["sig"]),
            frames(SHAPE["scan"], SHAPE["sig"], missing=(3, 20))))
        assert seen_below(point, skip=("elsewhere/unread",)) != seen


def test_what_was_never_looked_up_is_remembered_with_the_blocks(penstock, make_store, places):
    """The blocks came in by `warm`, nobody has listed or opened anything."""
    store = make_store("renamed")
    point, cache = places
    expected = [(store.root / BLOCK.format(block)).read_bytes() for block in range(3)]
    mount = Mount(penstock, store.address, point, cache, *options_of(store))
    try:
        mount.start()
        penstock("warm", point / "proposal/scan")
        wait_until_written(mount)
        mount.stop()
        store.vanish()
        mount.start()
        for block in range(3):
            assert (point / BLOCK.format(block)).read_bytes() == expected[block]
        assert sorted(os.listdir(point / "proposal/scan/data.zarr/real/c")) == ["0", "1", "2"]
        assert np.array_equal(np.load(point / "proposal/scan/data.npy").reshape(
            SHAPE["scan"] + SHAPE["sig"]), frames(SHAPE["scan"], SHAPE["sig"]))
        assert presence(mount)["state"] == "away"
        mount.stop()
    finally:
        mount.clear()


def test_a_store_that_the_cache_does_not_know_is_an_error(penstock, make_store, places, tmp_path):
    store = make_store("renamed")
    point, cache = places
    with mounted(penstock, store.address, point, cache, *options_of(store)):
        os.listdir(point)
    store.vanish()
    point.mkdir(exist_ok=True)
    done = penstock("mount", tmp_path / "mistyped", point, "--cache", cache, status=1)
    assert "cannot be reached" in done.stderr
    done = penstock("mount", store.address, point, "--cache", tmp_path / "other cache", status=1)
    assert "cannot be reached" in done.stderr


def test_a_new_store_may_be_empty(penstock, places, tmp_path):
    (tmp_path / "store").mkdir()
    point, cache = places
    with mounted(penstock, tmp_path / "store", point, cache) as mount:
        assert os.listdir(point) == []
        assert fails_with(lambda: os.stat(point / "nothing")) == errno.ENOENT
        assert presence(mount)["state"] == "there"
        (tmp_path / "store/file").write_bytes(b"the first")
        wait_for(lambda: os.listdir(point) == ["file"])


def test_the_scrub_believes_nothing_of_a_store_that_is_away(penstock, make_store, places):
    store = make_store("emptied")
    point, cache = places
    with mounted(penstock, store.address, point, cache, *options_of(store)) as mount:
        seen = fill(penstock, mount, store)
        go_away(mount, store)
        penstock("scrub", point, "--detach")
        wait_for(lambda: mount.status()["scrub"]["state"] == "waiting")
        assert mount.counter("evicted_blocks") == 0
        check_away(mount, seen)
        store.come_back()
