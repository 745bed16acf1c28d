"""A daemon is replaced by another while files are open: readers notice nothing, and what goes wrong on the way
leaves the mount with one of the two."""

import contextlib
import json
import mmap
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from mount_store import BLOCK, EXTENT, master, places
from mounting import Mount, is_mounted, mounted, need_fuse, wait_for
from stopping import stop
from test_mount_descriptors import ACQUIRE, GRANTED, WAIT, ask, connect

need_fuse()

LISTED = 3000  # files of a directory, more than one answer of the kernel holds


@pytest.fixture(scope="module")
def store(master, tmp_path_factory):
    copy = tmp_path_factory.mktemp("handover") / "store"
    shutil.copytree(master, copy, symlinks=True)
    (copy / "many").mkdir()
    for number in range(LISTED):
        (copy / f"many/a-file-with-a-long-name-{number:05}").touch()
    return copy


class Readers:
    """Threads that read at random places until they are stopped, and compare."""

    def __init__(self):
        self.stopping = threading.Event()
        self.failures = []
        self.rounds = {}
        self.threads = []

    def add(self, name, read, expected, end=None, most=65536):
        """`read(size, offset)` has to give what stands in `expected`, up to `end`."""
        def work():
            chance = random.Random(name)
            while not self.stopping.is_set():
                offset = chance.randrange((end or len(expected)) - 1)
                size = min(most, (end or len(expected)) - offset)
                try:
                    if read(size, offset) != expected[offset:offset + size]:
                        raise AssertionError(f"wrong bytes at {offset}")
                except Exception as failure:  # pylint: disable=broad-except
                    self.failures.append((name, offset, repr(failure)))
                    return
                self.rounds[name] = self.rounds.get(name, 0) + 1
                time.sleep(0.002)
        self.rounds[name] = 0
        self.threads.append(threading.Thread(target=work))

    def all_go_on(self):
        """Every reader has read some more, or failed."""
        before = dict(self.rounds)
        wait_for(lambda: self.failures or all(self.rounds[name] > count + 2 for name, count in before.items()))
        assert not self.failures

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self.threads), "a reader hangs"


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def mounts_at(point):
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return sum(line.split()[4] == str(point) for line in file)


def replace(penstock, mount, *options, status=0):
    return penstock("mount", mount.store, mount.point, "--cache", mount.cache, "--reserve", "0", *mount.options,
                    "--replace", *options, status=status)


@pytest.mark.parametrize("options", [(), ("--no-passthrough",), ("--settle-time", 0)])
def test_readers_go_on(penstock, store, places, options):
    point, cache = places
    block = [(store / BLOCK.format(number)).read_bytes() for number in range(3)]
    raw = (store / "raw").read_bytes()
    with contextlib.ExitStack() as stack, mounted(penstock, store, point, cache, *options) as mount:
        def opened(name):
            fd = os.open(point / name, os.O_RDONLY)
            stack.callback(os.close, fd)
            return fd

        # One block whole, opened anew where the kernel serves it then; one in part; one by a lease.
        first = opened(BLOCK.format(0))
        assert os.pread(first, len(block[0]), 0) == block[0]
        wait_for(lambda: b"complete" in os.getxattr(point / BLOCK.format(0), "user.penstock.state"))
        whole = opened(BLOCK.format(0))
        part = opened(BLOCK.format(1))
        assert os.pread(part, EXTENT, 0) == block[1][:EXTENT]
        passthrough = mount.status()["passthrough"]
        connection = connect(point)
        outcome, _, size, _, leased = ask(connection, ACQUIRE, b"proposal/scan", 2, WAIT)
        assert outcome == GRANTED and size == len(block[2])
        stack.callback(os.close, leased[0])
        plain = opened("raw")
        face = opened("proposal/scan/data.npy")
        hdf5 = opened("proposal/scan/data.nxs")
        in_face = os.pread(face, 2 * EXTENT, 0)
        in_hdf5 = os.pread(hdf5, 2 * EXTENT, 0)
        maps = {name: mmap.mmap(fd, 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
                for name, fd in (("whole", whole), ("part", part), ("raw", plain))}
        numbers = {name: os.stat(point / name).st_ino
                   for name in (BLOCK.format(0), BLOCK.format(1), "raw", "proposal/scan/data.npy", "many")}
        listing = stack.enter_context(os.scandir(point / "many"))
        names = [next(listing).name for _ in range(10)]
        wait_for(lambda: mount.status()["inventory_done"])
        # Each extent is fetched once, by whichever daemon.
        fetched = 0

        readers = Readers()
        readers.add("opened early", lambda size, at: os.pread(first, size, at), block[0])
        readers.add("whole", lambda size, at: os.pread(whole, size, at), block[0])
        readers.add("part", lambda size, at: os.pread(part, size, at), block[1], end=EXTENT)
        readers.add("mapped whole", lambda size, at: maps["whole"][at:at + size], block[0])
        readers.add("mapped part", lambda size, at: maps["part"][at:at + size], block[1], end=EXTENT)
        readers.add("lease", lambda size, at: os.pread(leased[0], size, at), block[2])
        readers.add("plain", lambda size, at: os.pread(plain, size, at), raw)
        readers.add("mapped plain", lambda size, at: maps["raw"][at:at + size], raw)
        readers.add("face", lambda size, at: os.pread(face, size, at), in_face)
        readers.add("HDF5", lambda size, at: os.pread(hdf5, size, at), in_hdf5)

        def read_by_name(size, at):
            with open(point / BLOCK.format(0), "rb", buffering=0) as file:
                return os.pread(file.fileno(), size, at)
        readers.add("new opens", read_by_name, block[0])
        with readers:
            readers.all_go_on()
            for turn in range(5):
                pid = mount.pid()
                fetched += mount.counter("fetched_bytes")
                if turn % 2:
                    replace(penstock, mount)
                else:
                    penstock("restart", point)
                assert mount.pid() != pid
                wait_for(lambda pid=pid: gone(pid))
                assert mounts_at(point) == 1
                readers.all_go_on()
                assert numbers == {name: os.stat(point / name).st_ino for name in numbers}
                assert os.fstat(whole).st_ino == numbers[BLOCK.format(0)]
                names += [next(listing).name for _ in range(200)]
                assert mount.status()["passthrough"] == passthrough
        assert not readers.failures
        names += [entry.name for entry in listing]
        assert sorted(names) == sorted(os.listdir(store / "many"))
        # What nobody had fetched is fetched by the last daemon, through a descriptor of the first.
        assert os.pread(part, len(block[1]), 0) == block[1]
        assert (point / BLOCK.format(2)).read_bytes() == block[2]
        fetched += mount.counter("fetched_bytes")
        # (Files that are no blocks count, too, where they are cached.)
        assert fetched <= sum(map(len, block)) + len(raw) + len((store / "notes.txt").read_bytes())
        assert not (passthrough and mount.counter("verification_failures"))
        for map_ in maps.values():
            map_.close()
        stack.close()
        mount.stop()
    assert not is_mounted(point)


def test_a_failing_successor_leaves_the_mount_as_it_was(penstock, store, places, tmp_path):
    point, cache = places
    block = (store / BLOCK.format(0)).read_bytes()
    with mounted(penstock, store, point, cache) as mount:
        pid = mount.pid()
        other = tmp_path / "other"
        other.mkdir()
        readers = Readers()
        with open(point / BLOCK.format(0), "rb", buffering=0) as file:
            readers.add("block", lambda size, at: os.pread(file.fileno(), size, at), block)
            with readers:
                readers.all_go_on()
                # Before anything is asked for.
                assert "no-such" in replace(penstock, mount, "--no-such-option", status=None).stderr
                # Refused by the daemon.
                done = Mount(penstock, other, point, cache)
                assert "another store" in replace(penstock, done, status=None).stderr
                done = Mount(penstock, store, tmp_path / "elsewhere", cache)
                assert "another mountpoint" in replace(penstock, done, status=None).stderr
                done = Mount(penstock, store, point, tmp_path / "empty")
                assert "no mount to replace" in replace(penstock, done, status=None).stderr
                assert mount.pid() == pid
                # When everything was given away already.
                done = replace(penstock, mount, "--access-log", tmp_path / "none/log", status=None)
                assert done.returncode != 0 and "none/log" in done.stderr
                readers.all_go_on()
                assert mount.pid() == pid
                mount.wait_for_log("goes on here")
                replace(penstock, mount)
                readers.all_go_on()
                assert mount.pid() != pid
        assert mounts_at(point) == 1


class Fake:
    """A successor that stops where it is told to."""

    def __init__(self, mount, **changes):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(120)
        self.socket.connect(str(mount.cache / "control.sock"))
        self.descriptors = []
        self.send({"command": "handover", "state_version": 2, "store": str(mount.store),
                   "mountpoint": str(mount.point), "cache": str(mount.cache), **changes})

    def send(self, message):
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self):
        data, descriptors, _, _ = socket.recv_fds(self.socket, 65536, 4)
        self.descriptors += descriptors
        return json.loads(data) if data else None

    def die(self):
        self.socket.close()
        for descriptor in self.descriptors:
            os.close(descriptor)


@pytest.mark.parametrize("dies_after", ["asking", "state", "released"])
def test_a_successor_that_dies(penstock, store, places, dies_after):
    point, cache = places
    block = (store / BLOCK.format(0)).read_bytes()
    with mounted(penstock, store, point, cache) as mount, open(point / BLOCK.format(0), "rb") as file:
        readers = Readers()
        readers.add("block", lambda size, at: os.pread(file.fileno(), size, at), block)
        with readers:
            readers.all_go_on()
            pid = mount.pid()
            for _ in range(1 if dies_after == "released" else 2):
                fake = Fake(mount)
                if dies_after != "asking":
                    assert fake.receive() == {"phase": "state"} and len(fake.descriptors) == 2
                if dies_after == "released":
                    fake.send({"phase": "understood"})
                    assert fake.receive() == {"phase": "released"}
                fake.die()
                readers.all_go_on()
                wait_for(lambda: (cache / "control.sock").exists())
                assert mount.pid() == pid
        mount.stop()


def test_a_successor_that_dies_with_the_mount(penstock, store, places):
    """What has it ends it; nothing hangs, and the next mount clears the place."""
    point, cache = places
    with mounted(penstock, store, point, cache) as mount:
        with open(point / BLOCK.format(1), "rb", buffering=0) as file:
            pid = mount.pid()
            fake = Fake(mount)
            assert fake.receive() == {"phase": "state"}
            fake.send({"phase": "understood"})
            assert fake.receive() == {"phase": "released"}
            fake.send({"phase": "ready"})
            assert fake.receive() == {"phase": "take"}
            wait_for(lambda: gone(pid))
            fake.die()
            with pytest.raises(OSError):
                os.pread(file.fileno(), 4096, 0)
            with pytest.raises(OSError):
                os.listdir(point)
        mount.start()
        assert (point / "raw").read_bytes() == (store / "raw").read_bytes()
        assert mounts_at(point) == 1


def test_killed_while_it_takes_over(penstock, store, places):
    point, cache = places
    block = (store / BLOCK.format(0)).read_bytes()
    with mounted(penstock, store, point, cache) as mount:
        for milliseconds in (0, 20, 40, 60, 90):
            successor = subprocess.Popen(
                [penstock.binary, "mount", store, point, "--cache", cache, "--reserve", "0", *map(str, mount.options),
                 "--replace", "--foreground"], stderr=subprocess.DEVNULL)
            time.sleep(milliseconds / 1000)  # any moment will do
            successor.kill()
            successor.wait(60)
            # Somebody answers, or nobody and at once.
            try:
                assert (point / BLOCK.format(0)).read_bytes() == block
            except OSError:
                mount.start()
            assert mounts_at(point) == 1


def test_who_may_not(penstock, store, places, tmp_path):
    point, cache = places
    os.chmod(tmp_path, 0o755)
    with mounted(penstock, store, point, cache) as mount:
        fake = Fake(mount, state_version=99)
        refusal = fake.receive()
        assert refusal["kind"] == "unsupported" and "99" in refusal["error"]
        fake.die()
        if os.geteuid() == 0:
            ours, theirs = socket.socketpair()
            child = os.fork()
            if child == 0:
                with contextlib.suppress(BaseException):
                    # (Other users do not reach the directories of pytest; the socket itself is for everybody.)
                    os.chdir(cache)
                    os.setgroups([])
                    os.setgid(65534)
                    os.setuid(65534)
                    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                    connection.connect("control.sock")
                    connection.sendall(json.dumps({
                        "command": "handover", "state_version": 2, "store": str(store), "mountpoint": str(point),
                        "cache": str(cache)}).encode() + b"\n")
                    theirs.sendall(connection.recv(65536))
                os._exit(0)
            theirs.close()
            ours.settimeout(60)
            refusal = json.loads(ours.recv(65536))
            os.waitpid(child, 0)
            assert refusal["kind"] == "permission denied"
        assert (point / "notes.txt").read_text() == (store / "notes.txt").read_text()


def test_a_store_that_hangs_holds_no_restart_up(penstock, store, places, tmp_path):
    """The store is a mount itself, whose daemon is stopped."""
    point, cache = places
    with mounted(penstock, store, tmp_path / "below", tmp_path / "below-cache", "--no-faces") as lower:
        with mounted(penstock, tmp_path / "below", point, cache, "--upstream-timeout", "1") as mount:
            pid, below = mount.pid(), lower.pid()
            os.stat(point / "raw")
            stop(below)
            try:
                with pytest.raises(OSError):
                    (point / "notes.txt").read_bytes()
                replace(penstock, mount)
                assert mount.pid() != pid
                assert os.stat(point / "raw").st_size == (store / "raw").stat().st_size
            finally:
                os.kill(below, signal.SIGCONT)
            wait_for(lambda: mount.status()["store_presence"]["state"] == "there")
            assert (point / "raw").read_bytes() == (store / "raw").read_bytes()
            mount.stop()


def test_open_files_that_lost_their_names(penstock, store, places, tmp_path):
    """A file that is open and replaced in the store, and a dataset that is gone: what the cache has, and errors;
    never other bytes."""
    point, cache = places
    copy = tmp_path / "copy"
    shutil.copytree(store, copy, symlinks=True)
    block = (store / BLOCK.format(0)).read_bytes()
    with mounted(penstock, copy, point, cache, "--no-passthrough") as mount:
        with open(point / "notes.txt", "rb", buffering=0) as plain, \
                open(point / BLOCK.format(0), "rb", buffering=0) as part, \
                open(point / BLOCK.format(2), "rb", buffering=0) as nothing, \
                open(point / "proposal/scan/data.npy", "rb", buffering=0) as face:
            assert os.pread(part.fileno(), EXTENT, 0) == block[:EXTENT]
            header = os.pread(face.fileno(), 4096, 0)
            (copy / "new").write_text("another file of the same name\n")
            (copy / "new").rename(copy / "notes.txt")
            (copy / "proposal").rename(copy / "moved")
            penstock("restart", cache)
            with pytest.raises(OSError):
                os.pread(plain.fileno(), 4096, 0)
            assert os.pread(part.fileno(), EXTENT, 0) == block[:EXTENT]
            with pytest.raises(OSError):
                os.pread(nothing.fileno(), EXTENT, 0)
            assert os.pread(face.fileno(), 4096, 0) == header
        assert wait_for(lambda: (point / "notes.txt").read_text().startswith("another"))
        mount.stop()


def test_options_of_the_successor(penstock, store, places):
    point, cache = places
    with mounted(penstock, store, point, cache) as mount:
        replace(penstock, mount, "--upstream-timeout", "7", "--cache-size", "100M")
        status = mount.status()
        assert status["upstream_timeout_seconds"] == 7 and status["limit_bytes"] == 100 << 20
        penstock("restart", cache)
        assert mount.status()["upstream_timeout_seconds"] == 7
        mount.stop()
    penstock("restart", cache, status=1)


def test_passthrough_is_switched_off_and_on(penstock, store, places):
    """What the kernel serves goes on so, also where the daemon has changed its mind."""
    point, cache = places
    block = (store / BLOCK.format(0)).read_bytes()
    with mounted(penstock, store, point, cache) as mount:
        if not mount.status()["passthrough"]:
            pytest.skip("SKIPPED: the kernel does not pass reads through here")
        penstock("warm", point)
        with open(point / BLOCK.format(0), "rb", buffering=0) as passed:
            assert mount.counter("passthrough_opens") == 1
            replace(penstock, mount, "--no-passthrough")
            assert not mount.status()["passthrough"]
            assert passed.read() == block
            assert (point / BLOCK.format(0)).read_bytes() == block  # the kernel takes no other way for this file
            assert (point / BLOCK.format(1)).read_bytes() == (store / BLOCK.format(1)).read_bytes()
            assert mount.counter("passthrough_opens") == 1 and mount.counter("served_opens") == 1
            replace(penstock, mount)
            assert mount.status()["passthrough"]
            assert os.pread(passed.fileno(), EXTENT, 0) == block[:EXTENT]
        assert (point / BLOCK.format(0)).read_bytes() == block
        mount.stop()
    with mounted(penstock, store, point, cache, "--no-passthrough") as mount:
        mount.options = ()
        replace(penstock, mount, "--settle-time", 86400)
        status = mount.status()
        assert not status["passthrough"] and "began without it" in status["passthrough_reason"]
        assert (point / BLOCK.format(0)).read_bytes() == block
        mount.stop()


def test_the_service_manager_is_told(penstock, store, places, tmp_path):
    from test_mount_service import Manager, service
    point, cache = places
    manager = Manager(tmp_path / "notify")
    with service(penstock, manager, store, point, cache) as process:
        manager.until("READY")
        with subprocess.Popen([penstock.binary, "restart", point]) as restart:
            messages = manager.until("BARRIER")
            assert restart.wait(timeout=120) == 0
        assert process.wait(timeout=120) == 0
        (successor,) = (int(message["MAINPID"]) for message in messages if "MAINPID" in message)
        assert not any("STOPPING" in message for message in messages)
        manager.until("READY")
        mount = Mount(penstock, store, point, cache)
        assert mount.pid() == successor != process.pid and not gone(successor)
        mount.stop()
        assert manager.until("STOPPING")
