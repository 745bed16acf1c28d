"""Directories through a mount: names and attributes at once (readdirplus), as the store has them."""

import os
import stat

import pytest

from mount_store import master, places, store
from mounting import is_face, mounted, need_fuse

need_fuse()

NOW = ("--settle-time", "0")
COUNT = 20_000
FIELDS = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks", "st_mtime_ns",
          "st_ctime_ns")


def attributes(status):
    return tuple(getattr(status, field) for field in FIELDS)


def look_at(folder):
    """What ls -lU does: each entry as soon as its name is there."""
    with os.scandir(folder) as entries:
        return {entry.name: (entry.inode(), attributes(entry.stat(follow_symlinks=False)))
                for entry in entries}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many") / "store"
    (folder / "many").mkdir(parents=True)
    for number in range(COUNT):
        path = folder / f"many/file_{number:06d}"
        if number % 5000 == 1:
            path.mkdir()
        elif number % 5000 == 2:
            path.symlink_to("elsewhere")
        elif number % 5000 == 3:
            os.mkfifo(path)
        else:
            path.write_bytes(bytes(number % 7))
            if number % 100 == 0:
                os.chmod(path, 0o604)
                os.utime(path, ns=(1, 1_600_000_000_123_456_789 + number))
    return folder


@pytest.mark.parametrize("settle", ["0", "86400"], ids=["cached", "read through"])
def test_a_large_directory_with_its_attributes(penstock, many, places, settle):
    point, cache = places
    with mounted(penstock, many, point, cache, "--settle-time", settle) as mount:
        expected = look_at(many / "many")
        assert len(expected) == COUNT
        before = questions(mount)
        assert look_at(point / "many") == expected
        # A batch of entries is one question to the store, not one for each.
        assert questions(mount) - before < COUNT / 5
        # What the kernel gives back is counted as it was given.
        drop_kernel_caches()
        assert look_at(point / "many") == expected
        assert sorted(os.listdir(point / "many")) == sorted(expected)
        some = point / "many/file_000100"
        assert attributes(os.stat(some)) == expected["file_000100"][1]
        assert some.read_bytes() == bytes(100 % 7)


def questions(mount):
    """How often the store was asked for names or attributes."""
    latency = mount.status()["latency"]["upstream_metadata"]
    return latency["count"]


def drop_kernel_caches():
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("2")
    except OSError:
        pass  # who is not root keeps them


def test_datasets_with_their_faces(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache, *NOW):
        for folder, _, _ in os.walk(master):
            below = os.path.relpath(folder, master)
            expected = look_at(folder)
            shown = look_at(point / below)
            for name, (inode, status) in shown.items():
                # The number in the listing is the one of the file.
                assert inode == status[FIELDS.index("st_ino")]
                if name not in expected or is_face(point / below / name):
                    continue
                assert (inode, status) == expected[name], name
            assert expected.keys() <= shown.keys()


def dots(folder):
    """The entries that scandir keeps to itself."""
    import ctypes  # pylint: disable=import-outside-toplevel

    class Entry(ctypes.Structure):
        _fields_ = [("inode", ctypes.c_uint64), ("offset", ctypes.c_int64),
                    ("length", ctypes.c_uint16), ("type", ctypes.c_uint8),
                    ("name", ctypes.c_char * 256)]

    libc = ctypes.CDLL(None, use_errno=True)
    libc.opendir.restype = ctypes.c_void_p
    libc.readdir.restype = ctypes.POINTER(Entry)
    libc.readdir.argtypes = libc.closedir.argtypes = [ctypes.c_void_p]
    directory = libc.opendir(os.fsencode(folder))
    found = {}
    while entry := libc.readdir(directory):
        if entry.contents.name in (b".", b".."):
            found[entry.contents.name] = entry.contents.inode
    libc.closedir(directory)
    return found


def test_dots_have_the_numbers_of_their_directories(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache):
        for folder in ("proposal", "proposal/scan/data.zarr"):
            os.stat(point / folder)
            assert dots(point / folder) == {b".": os.stat(master / folder).st_ino,
                                            b"..": os.stat((master / folder).parent).st_ino}


def test_a_listing_that_is_rewound_is_made_anew(penstock, store, places):
    point, cache = places
    with mounted(penstock, store, point, cache):
        descriptor = os.open(point / "proposal", os.O_RDONLY | os.O_DIRECTORY)
        assert os.listdir(descriptor) == ["scan"]
        (store / "proposal/later").touch()
        assert sorted(os.listdir(descriptor)) == ["later", "scan"]  # listdir rewinds
        (store / "proposal/later").unlink()
        assert os.listdir(descriptor) == ["scan"]
        os.close(descriptor)


def test_entries_that_go_while_they_are_listed(penstock, store, places):
    point, cache = places
    folder = store / "many"
    folder.mkdir()
    for number in range(3000):
        (folder / str(number)).touch()
    with mounted(penstock, store, point, cache, *NOW):
        with os.scandir(point / "many") as entries:
            names = [next(entries).name]
            gone = {str(number) for number in range(0, 3000, 2)}
            for name in gone:
                (folder / name).unlink()
            names += [entry.name for entry in entries]
        # The listing is that of the open; what has gone is not there any more when it is looked at.
        assert len(names) == len(set(names)) == 3000
        left = set(names) - gone
        assert all(stat.S_ISREG(os.lstat(point / "many" / name).st_mode) for name in left)
        with pytest.raises(FileNotFoundError):
            os.lstat(point / "many/2998")
