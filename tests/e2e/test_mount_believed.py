"""Large directories through a mount: the second look at their entries asks nobody, and what has changed
is seen all the same, by the promises of docs/cachefs.md."""

import os
import shutil
import time

import pytest

from mounting import mounted, need_fuse, wait_for
from remote_stores import NginxStore, S3Store
from test_mount_listing import FIELDS, attributes, look_at, questions

need_fuse()

COUNT = 2000
# An hour: what is seen earlier was not waited for.
OPTIONS = ("--settle-time", "0", "--attribute-timeout", "3600")


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "store" / "many"
    folder.mkdir(parents=True)
    for number in range(COUNT):
        (folder / f"file_{number:04d}").write_bytes(bytes(number % 7))
    (folder / "link").symlink_to("file_0000")
    (tmp_path / "store/notes.txt").write_text("a store that is empty is away")
    return tmp_path / "store"


@pytest.fixture
def places(tmp_path):
    return tmp_path / "mnt", tmp_path / "cache"


def look_by_name(folder):
    """What find and du do: all names first."""
    return {name: attributes(os.lstat(folder / name)) for name in os.listdir(folder)}


def until_believed(point):
    """The directory is listed and looked at after it was left alone for long enough. (What the kernel was
    told before that, for a second, is over by then.)"""
    store = point.parent / "store"
    wait_for(lambda: time.time() - os.stat(store / "many").st_ctime > 3.5)
    look_by_name(point / "many")


def test_the_second_look_asks_nobody(penstock, store, places):
    point, cache = places
    with mounted(penstock, store, point, cache, *OPTIONS) as mount:
        until_believed(point)
        expected = look_by_name(store / "many")
        before = questions(mount)
        assert look_by_name(point / "many") == expected
        assert {name: found[1] for name, found in look_at(point / "many").items()} == expected
        assert questions(mount) - before < COUNT / 40


def test_not_where_it_is_switched_off(penstock, store, places):
    point, cache = places
    with mounted(penstock, store, point, cache, "--settle-time", "0", "--attribute-timeout", "0"):
        look_by_name(point / "many")
        some = point / "many/file_0004"
        os.truncate(store / "many/file_0004", 17)
        wait_for(lambda: os.stat(some).st_size == 17)


def test_names_that_come_go_and_are_replaced_are_seen(penstock, store, places):
    point, cache = places
    with mounted(penstock, store, point, cache, *OPTIONS):
        until_believed(point)
        (store / "new").write_bytes(b"another file")
        os.rename(store / "new", store / "many/file_0001")
        wait_for(lambda: os.stat(point / "many/file_0001").st_size == 12)
        assert (point / "many/file_0001").read_bytes() == b"another file"

        until_believed(point)
        (store / "many/file_0002").unlink()
        wait_for(lambda: not os.path.exists(point / "many/file_0002"))
        (store / "many/file_0002").write_bytes(b"again")
        wait_for(lambda: os.path.exists(point / "many/file_0002"))

        until_believed(point)
        shutil.rmtree(store / "many")
        wait_for(lambda: not os.path.exists(point / "many/file_0003"))


def test_an_open_sees_what_the_store_has(penstock, store, places):
    point, cache = places
    with mounted(penstock, store, point, cache, *OPTIONS):
        until_believed(point)
        # In place: the directory does not change.
        (store / "many/file_0005").write_bytes(b"longer than it was")
        (store / "many/file_0006").write_bytes(b"123456")
        os.truncate(store / "many/file_0008", 0)
        with open(point / "many/file_0005", "rb") as file:
            assert file.read() == b"longer than it was"
            assert os.fstat(file.fileno()).st_size == 18
        assert (point / "many/file_0006").read_bytes() == b"123456"
        assert (point / "many/file_0008").read_bytes() == b""
        # Replaced and removed, before anybody has looked at the directory.
        (store / "new").write_bytes(b"replaced")
        os.rename(store / "new", store / "many/file_0010")
        assert (point / "many/file_0010").read_bytes() == b"replaced"
        (store / "many/file_0011").unlink()
        with pytest.raises(FileNotFoundError):
            open(point / "many/file_0011", "rb")


def test_a_file_that_is_open_is_seen_to_grow(penstock, store, places):
    point, cache = places
    with mounted(penstock, store, point, cache, *OPTIONS):
        until_believed(point)
        with open(point / "many/file_0013", "rb") as file:
            assert file.read() == bytes(13 % 7)
            with open(store / "many/file_0013", "ab") as log:
                log.write(b"and more")
            wait_for(lambda: os.fstat(file.fileno()).st_size == 13 % 7 + 8)
            assert wait_for(file.read) == b"and more"


def test_the_next_daemon_keeps_the_promise(penstock, store, places):
    point, cache = places
    with mounted(penstock, store, point, cache, *OPTIONS):
        until_believed(point)
        penstock("restart", point)
        (store / "new").write_bytes(b"another file")
        os.rename(store / "new", store / "many/file_0001")
        (store / "many/file_0002").unlink()
        wait_for(lambda: os.stat(point / "many/file_0001").st_size == 12)
        wait_for(lambda: not os.path.exists(point / "many/file_0002"))


@pytest.fixture(params=[NginxStore, S3Store], ids=["json", "s3"])
def remote(request, tmp_path, monkeypatch):
    store = request.param(tmp_path / "remote")
    for number in range(300):
        store_file = store.root / f"many/file_{number:03d}"
        store_file.parent.mkdir(exist_ok=True)
        store_file.write_bytes(bytes(number % 7))
        os.utime(store_file, (1_600_000_000 + number,) * 2)
    (store.root / "many/below").mkdir()
    (store.root / "many/below/file").write_bytes(b"x")
    store.start()
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    yield store
    store.close()


@pytest.mark.parametrize("look", [look_by_name, look_at], ids=["find", "ls -l"])
def test_a_listing_over_the_network_answers_for_its_entries(penstock, remote, places, look):
    point, cache = places
    names = [f"file_{number:03d}" for number in range(0, 300, 50)] + ["below"]
    with mounted(penstock, remote.address, point, cache, *remote.options, *OPTIONS):
        asked = {name: attributes(os.stat(point / "many" / name)) for name in names}
    with mounted(penstock, remote.address, point, cache, *remote.options, *OPTIONS) as mount:
        before = questions(mount)
        found = look(point / "many")
        assert len(found) == 301
        # Not one for each.
        assert questions(mount) - before < 30
        # It says the same as the server says of each by itself.
        for name in names:
            shown = found[name] if look is look_by_name else found[name][1]
            assert shown == asked[name], name
        size = FIELDS.index("st_size")
        assert os.stat(point / "many/file_006").st_size == 6 and asked["file_050"][size] == 1
        # An open asks the server, and reads what it has.
        remote.put("many/file_004", b"written anew")
        assert (point / "many/file_004").read_bytes() == b"written anew"
        assert os.stat(point / "many/file_004").st_size == 12
        remote.remove("many/file_005")
        with pytest.raises(FileNotFoundError):
            open(point / "many/file_005", "rb")
