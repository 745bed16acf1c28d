"""Files that are no blocks, through a mount: cached by extents, as the store has them at each open."""

import errno
import mmap
import os
import random
import shutil
import subprocess
import threading

import pytest

from mount_store import EXTENT, master, places, store
from mounting import assert_same_tree, flip_byte, mounted, need_fuse, replicas, wait_for
from test_mount_read_model import statx

need_fuse()

NOW = ("--settle-time", "0")
SERVING = pytest.mark.parametrize("options", [NOW, (*NOW, "--no-passthrough")],
                                  ids=["default", "served"])
SIZE = 2 * EXTENT + 54321


@pytest.fixture
def plain(tmp_path):
    """A store without datasets."""
    folder = tmp_path / "store"
    (folder / "below").mkdir(parents=True)
    (folder / "below/table.bin").write_bytes(random.Random(3).randbytes(SIZE))
    (folder / "notes.txt").write_text("one line\n")
    return folder


@SERVING
def test_fetched_once_and_kept_across_a_restart(penstock, plain, places, options):
    point, cache = places
    with mounted(penstock, plain, point, cache, *options) as mount:
        for _ in range(2):
            assert_same_tree(plain, point)
        assert mount.counter("fetched_file_bytes") == SIZE + 9
        assert wait_for(lambda: os.getxattr(point / "below/table.bin", "user.penstock.state")
                        == b"complete 3/3")
        assert mount.status()["other_files"] == {"files": 2, "bytes": SIZE + 9}
        assert mount.status()["cached_blocks"] == 0
    with mounted(penstock, plain, point, cache, *options) as mount:
        assert_same_tree(plain, point)
        assert mount.counter("fetched_file_bytes") == 0
        assert penstock("evict", point).stdout.endswith(
            ": 0 blocks and 2 other files evicted, 0 in use and kept\n")
        assert mount.status()["cached_bytes"] == 0 and replicas(cache) == []
        assert_same_tree(plain, point)


def test_files_still_being_written_are_read_through(penstock, plain, places):
    point, cache = places
    with mounted(penstock, plain, point, cache, "--settle-time", "3600") as mount:
        assert_same_tree(plain, point)
        with open(point / "notes.txt", "rb", buffering=0) as reader:
            assert reader.read() == b"one line\n"
            with open(plain / "notes.txt", "ab") as writer:
                writer.write(b"another\n")
            assert wait_for(lambda: reader.read()) == b"another\n"  # as tail -f does
        assert mount.status()["other_files"] == {"files": 0, "bytes": 0}
        assert mount.counter("fetched_file_bytes") == 0


@SERVING
@pytest.mark.parametrize("change", ["same size and time", "appended", "cut", "replaced"])
def test_every_open_sees_the_file_as_it_is(penstock, plain, places, options, change):
    point, cache = places
    path, shown = plain / "below/table.bin", point / "below/table.bin"
    with mounted(penstock, plain, point, cache, *options) as mount:
        for number in range(3):
            assert shown.read_bytes() == path.read_bytes()
            before = path.stat()
            if change == "same size and time":
                with open(path, "r+b") as file:
                    file.seek(number * EXTENT)
                    file.write(b"changed %d" % number)
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            elif change == "appended":
                with open(path, "ab") as file:
                    file.write(b"more")
            elif change == "cut":
                os.truncate(path, before.st_size - 2_000_000)
            else:
                (plain / "new").write_bytes(b"%d" % number * 100)
                os.rename(plain / "new", path)
        # What the kernel was told of the name may be a second old; an open is never.
        expected = path.read_bytes()
        with open(shown, "rb") as file:
            assert os.fstat(file.fileno()).st_size == len(expected)
            assert file.read() == expected
        # Of each file one state is kept.
        wait_for(lambda: mount.status()["other_files"]["files"] == 1)


COLD_OR_WARM = pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])


@SERVING
@COLD_OR_WARM
@pytest.mark.parametrize("name", ["notes.txt", "below/table.bin"])
def test_a_quiet_file_grows_for_those_who_have_it_open(penstock, plain, places, options, warm, name):
    point, cache = places
    path, shown = plain / name, point / name
    expected = path.read_bytes()
    with mounted(penstock, plain, point, cache, *options):
        if warm:
            penstock("warm", shown)
        with open(shown, "rb", buffering=0) as reader, open(shown, "rb", buffering=0) as another:
            assert reader.read() == expected
            for more in (b"another\n", random.Random(5).randbytes(EXTENT), b"the last one\n"):
                with open(path, "ab") as writer:
                    writer.write(more)
                expected += more
                got = b""
                while len(got) < len(more):
                    got += wait_for(reader.read)
                assert got == more
                assert os.fstat(reader.fileno()).st_size == len(expected)
            # Whoever begins to read now gets all of it.
            assert wait_for(lambda: os.fstat(another.fileno()).st_size == len(expected))
            assert another.read() == expected
            assert shown.read_bytes() == expected
            # It may shrink, too, now that it is the file as it is.
            os.truncate(path, 5)
            assert wait_for(lambda: os.fstat(another.fileno()).st_size == 5)
            assert os.pread(another.fileno(), 100, 0) == expected[:5]


@SERVING
def test_tail_follows_a_quiet_file(penstock, plain, places, options):
    point, cache = places
    with mounted(penstock, plain, point, cache, *options):
        for follow in ("-f", "-F"):
            with subprocess.Popen(["tail", "-n", "1", "-s", "0.1", follow, point / "notes.txt"],
                                  stdout=subprocess.PIPE, text=True) as tail:
                try:
                    assert tail.stdout.readline() == "one line\n"
                    for line in ("another\n", "and one more\n", "one line\n"):
                        with open(plain / "notes.txt", "a") as writer:
                            writer.write(line)
                        assert tail.stdout.readline() == line
                finally:
                    tail.kill()


@SERVING
@COLD_OR_WARM
def test_a_file_that_was_written_anew_has_not_grown(penstock, plain, places, options, warm):
    """It is longer than it was and has its inode number; who has it open keeps what he opened."""
    point, cache = places
    path, shown = plain / "notes.txt", point / "notes.txt"
    with mounted(penstock, plain, point, cache, *options):
        if warm:
            penstock("warm", shown)
        with open(shown, "rb", buffering=0) as reader:
            assert reader.read() == b"one line\n"
            path.write_text("another file of that name\n")
            assert wait_for(lambda: shown.read_bytes() == path.read_bytes())
            assert wait_for(lambda: os.stat(shown).st_size == 26)
            assert os.fstat(reader.fileno()).st_size == 9
            assert reader.read() == b""
            try:
                assert os.pread(reader.fileno(), 100, 0) == b"one line\n"
            except OSError as failure:  # that state is not kept any more
                assert failure.errno == errno.EIO


@SERVING
def test_it_grows_on_after_the_daemon_was_replaced(penstock, plain, places, options):
    point, cache = places
    path, shown = plain / "notes.txt", point / "notes.txt"
    with mounted(penstock, plain, point, cache, *options):
        with open(shown, "rb", buffering=0) as before, open(shown, "rb", buffering=0) as after:
            assert before.read() == b"one line\n"
            with open(path, "ab") as writer:
                writer.write(b"another\n")
            assert wait_for(before.read) == b"another\n"
            penstock("restart", point)
            with open(path, "ab") as writer:
                writer.write(b"the last one\n")
            assert wait_for(before.read) == b"the last one\n"
            assert wait_for(lambda: os.fstat(after.fileno()).st_size == 30)
            assert after.read() == b"one line\nanother\nthe last one\n"


def test_a_large_file_that_the_kernel_reads_ends_where_it_ended_when_opened(penstock, plain, places):
    """docs/cachefs.md says so."""
    point, cache = places
    path, shown = plain / "large", point / "large"
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    with mounted(penstock, plain, point, cache, *NOW) as mount:
        if not mount.status()["passthrough"]:
            pytest.skip("SKIPPED: the kernel has no FUSE passthrough (Linux 6.9)")
        penstock("warm", shown)
        with open(shown, "rb", buffering=0) as reader:
            with open(path, "ab") as writer:
                writer.write(b"another\n")
            assert wait_for(lambda: os.stat(shown).st_size == (64 << 20) + 8)
            assert os.fstat(reader.fileno()).st_size == 64 << 20
            assert os.pread(reader.fileno(), 100, 64 << 20) == b""
            with open(shown, "rb", buffering=0) as anew:
                assert os.pread(anew.fileno(), 100, 64 << 20) == b"another\n"


@SERVING
@pytest.mark.parametrize("change", ["replaced", "removed"])
def test_an_open_file_keeps_what_its_name_stood_for(penstock, plain, places, options, change):
    point, cache = places
    path, shown = plain / "below/table.bin", point / "below/table.bin"
    expected = path.read_bytes()
    with mounted(penstock, plain, point, cache, *options):
        with open(shown, "rb", buffering=0) as reader:
            assert os.pread(reader.fileno(), 100, 0) == expected[:100]
            if change == "replaced":
                (plain / "new").write_bytes(bytes(SIZE))
                os.rename(plain / "new", path)
            else:
                path.unlink()
            parts = [os.pread(reader.fileno(), 1 << 20, at) for at in range(0, SIZE, 1 << 20)]
            assert b"".join(parts) == expected
            assert os.fstat(reader.fileno()).st_size == SIZE
            _, links, _, _, _, size, *_ = statx(reader.fileno())  # not as the kernel remembers it
            assert size == SIZE and (links > 0 or change == "removed")
        if change == "replaced":
            assert shown.read_bytes() == bytes(SIZE)
        else:
            with pytest.raises(FileNotFoundError):
                shown.read_bytes()


@SERVING
def test_bytes_written_into_an_open_file_are_never_mixed_with_the_old(penstock, plain, places,
                                                                      options):
    point, cache = places
    path, shown = plain / "below/table.bin", point / "below/table.bin"
    for number in range(1, 6):
        path.write_bytes(bytes([number]) * SIZE)
        seen = set()
        with mounted(penstock, plain, point, cache, *options):
            with open(shown, "rb", buffering=0) as reader:
                seen.add(os.pread(reader.fileno(), 1, 0))
                with open(path, "r+b") as writer:
                    writer.write(bytes([number + 100]) * SIZE)
                for at in range(0, SIZE, 1 << 20):
                    try:
                        seen.update(bytes([byte])
                                    for byte in os.pread(reader.fileno(), 1 << 20, at))
                    except OSError as failure:
                        assert failure.errno == errno.EIO
        assert seen == {bytes([number])}


@SERVING
@pytest.mark.parametrize("state", ["kept", "lost"])
def test_damage_in_the_cache_never_reaches_a_reader(penstock, plain, places, options, state):
    point, cache = places
    with mounted(penstock, plain, point, cache, *options):
        penstock("warm", point)
    assert len(replicas(cache)) == 2
    for replica in replicas(cache):
        flip_byte(replica, 3)
    if state == "lost":
        shutil.rmtree(cache / "state")
    with mounted(penstock, plain, point, cache, *options):
        assert_same_tree(plain, point)


def test_two_thousand_small_files(penstock, tmp_path, places):
    point, cache = places
    many = tmp_path / "store"
    for number in range(2000):
        folder = many / f"{number % 20:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.json").write_text(f"{{\"number\": {number}}}" * (number % 50 + 1))
    with mounted(penstock, many, point, cache, *NOW) as mount:
        assert_same_tree(many, point)
        fetched = mount.counter("fetched_file_bytes")
        assert fetched == sum(path.stat().st_size for path in many.rglob("*.json"))
        assert_same_tree(many, point)
        assert mount.counter("fetched_file_bytes") == fetched
        wait_for(lambda: mount.status()["other_files"] == {"files": 2000, "bytes": fetched})
    with mounted(penstock, many, point, cache, *NOW) as mount:
        assert_same_tree(many, point)
        assert mount.counter("fetched_file_bytes") == 0


@SERVING
def test_threads_reading_a_cold_file_fetch_it_once(penstock, plain, places, options):
    point, cache = places
    expected = (plain / "below/table.bin").read_bytes()
    wrong = []

    def read_at_random(seed):
        numbers = random.Random(seed)
        with open(point / "below/table.bin", "rb", buffering=0) as file:
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                for _ in range(100):
                    at, size = numbers.randrange(SIZE), numbers.randrange(1, 200_000)
                    if os.pread(file.fileno(), size, at) != expected[at:at + size]:
                        wrong.append((at, size))
                    if mapped[at:at + 100] != expected[at:at + 100]:
                        wrong.append((at, "mapped"))

    with mounted(penstock, plain, point, cache, *options) as mount:
        threads = [threading.Thread(target=read_at_random, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert mount.counter("fetched_file_bytes") == SIZE


def test_sidecars_of_datasets_are_cached_too(penstock, store, places):
    point, cache = places
    with mounted(penstock, store, point, cache, *NOW) as mount:
        assert_same_tree(store, point)
        fetched = mount.counter("fetched_file_bytes"), mount.counter("fetched_bytes")
        assert_same_tree(store, point)
        assert fetched == (mount.counter("fetched_file_bytes"), mount.counter("fetched_bytes"))
        total = mount.status()
        assert total["cached_bytes"] == (total["other_files"]["bytes"]
                                         + total["datasets"][0]["bytes"])
