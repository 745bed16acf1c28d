"""Extended attributes through a mount: the store's own user.*, and penstock's beside them."""

import datetime
import errno
import os
import re
import subprocess

import pytest

from mount_store import BLOCK, master, places, read_all, store
from mounting import mounted, need_fuse, penstock_attributes, wait_for

need_fuse()

NOW = ("--settle-time", "0")
BINARY = bytes(range(256)) * 4


@pytest.fixture
def described(store):
    for path in ("notes.txt", "proposal", "proposal/scan", BLOCK.format(0)):
        mode = os.stat(store / path).st_mode
        os.chmod(store / path, mode | 0o200)
        try:
            os.setxattr(store / path, "user.sample", b"graphene")
        except OSError as failure:
            if failure.errno != errno.ENOTSUP:
                raise
            pytest.skip("SKIPPED FOR WANT OF EXTENDED ATTRIBUTES: the file system of the tests has none")
        os.chmod(store / path, mode)
    os.setxattr(store / "notes.txt", "user.binary", BINARY)
    os.setxattr(store / "notes.txt", "user.empty", b"")
    # Ours are not the store's to say.
    os.setxattr(store / "notes.txt", "user.penstock.state", b"complete 99/99")
    os.setxattr(store / "notes.txt", "user.penstock.invented", b"x")
    return store


def refused(path, name):
    with pytest.raises(OSError) as failure:
        os.getxattr(path, name)
    return failure.value.errno


@pytest.mark.parametrize("options", [NOW, ("--settle-time", "86400")], ids=["cached", "read through"])
def test_those_of_the_store_are_shown(penstock, described, places, options):
    point, cache = places
    with mounted(penstock, described, point, cache, *options):
        for path in ("notes.txt", "proposal", "proposal/scan", BLOCK.format(0)):
            assert os.getxattr(point / path, "user.sample") == b"graphene"
            assert "user.sample" in os.listxattr(point / path)
        notes = point / "notes.txt"
        assert os.getxattr(notes, "user.binary") == BINARY
        assert os.getxattr(notes, "user.empty") == b""
        assert set(os.listxattr(notes)) == {"user.sample", "user.binary", "user.empty"}
        assert "invented" not in penstock_attributes(notes)
        assert refused(notes, "user.penstock.invented") == errno.ENODATA
        assert refused(notes, "user.absent") == errno.ENODATA
        assert b"99" not in (os.getxattr(notes, "user.penstock.state")
                             if options == NOW else b"")
        # A change is seen at once; another file has its own.
        os.setxattr(described / "notes.txt", "user.sample", b"gold")
        assert os.getxattr(notes, "user.sample") == b"gold"
        os.removexattr(described / "notes.txt", "user.sample")
        assert refused(notes, "user.sample") == errno.ENODATA
        # What no mount of penstock has.
        for name in ("security.selinux", "system.posix_acl_access", "trusted.overlay.opaque"):
            assert refused(notes, name) == errno.EOPNOTSUPP
        assert os.listxattr(point / "link", follow_symlinks=False) == []
        # A buffer that is too short.
        listed = subprocess.run(["getfattr", "--absolute-names", "-d", notes],
                                capture_output=True, text=True, check=True).stdout
        assert "user.binary=" in listed and "user.empty" in listed


def test_copies_take_them_along(penstock, described, places, tmp_path):
    point, cache = places
    with mounted(penstock, described, point, cache, *NOW):
        subprocess.run(["cp", "--preserve=xattr", point / "notes.txt", tmp_path / "copy"], check=True)
    assert os.getxattr(tmp_path / "copy", "user.binary") == BINARY
    # What penstock says of a replica is not true of a copy.
    assert set(os.listxattr(tmp_path / "copy")) == {"user.sample", "user.binary", "user.empty"}


def test_who_has_a_file_open_does_not_see_those_of_another(penstock, described, places):
    point, cache = places
    with mounted(penstock, described, point, cache, *NOW):
        with open(point / "notes.txt", "rb") as file:
            (described / "new").write_text("another file")
            os.setxattr(described / "new", "user.sample", b"silver")
            os.rename(described / "new", described / "notes.txt")
            with pytest.raises(OSError) as failure:
                os.getxattr(file.fileno(), "user.sample")
            assert failure.value.errno == errno.ENODATA
        # The kernel believes a name for a second.
        wait_for(lambda: "user.sample" in os.listxattr(point / "notes.txt"))
        assert os.getxattr(point / "notes.txt", "user.sample") == b"silver"


def as_time(text):
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)
    return datetime.datetime.strptime(text.decode(), "%Y-%m-%dT%H:%M:%SZ").replace(
        tzinfo=datetime.timezone.utc)


def test_when_a_block_was_verified(penstock, master, places):
    point, cache = places
    name = "user.penstock.verified-at"
    now = lambda: datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    with mounted(penstock, master, point, cache, *NOW) as mount:
        block = point / BLOCK.format(0)
        assert refused(block, name) == errno.ENODATA
        began = now()
        read_all(point)
        assert wait_for(lambda: os.getxattr(block, "user.penstock.state") == b"complete 4/4")
        first = as_time(os.getxattr(block, name))
        assert began <= first <= now() and "verified-at" in penstock_attributes(block)
        pid = mount.pid()
    with mounted(penstock, master, point, cache, *NOW) as mount:
        assert mount.pid() != pid
        assert as_time(os.getxattr(block, name)) == first  # it was written down
        wait_for(lambda: now() > first)
        penstock("warm", "--verify", point / "proposal/scan")
        second = as_time(os.getxattr(block, name))
        assert first < second <= now()
        wait_for(lambda: now() > second)
        penstock("scrub", point, "--rate", "0")
        third = as_time(os.getxattr(block, name))
        assert second < third <= now()
    with mounted(penstock, master, point, cache, *NOW):
        assert as_time(os.getxattr(block, name)) == third
        penstock("evict", point)
        assert refused(block, name) == errno.ENODATA


def test_what_is_pinned(penstock, master, places):
    point, cache = places
    name = "user.penstock.pinned"
    with mounted(penstock, master, point, cache, *NOW):
        block = point / BLOCK.format(0)
        assert refused(block, name) == errno.ENODATA
        penstock("pin", point / "proposal/scan", "--for", "7d", "--owner", "alice", "--reason", "a paper")
        for path in (block, point / "proposal/scan"):
            assert re.fullmatch(rb"1 until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ by alice: a paper",
                                os.getxattr(path, name)), os.getxattr(path, name)
            assert "pinned" in penstock_attributes(path)
        assert refused(point / "notes.txt", name) == errno.ENODATA
        penstock("unpin", point / "proposal/scan")
        assert refused(block, name) == errno.ENODATA
        penstock("pin", point / "proposal/scan", "--blocks", "1-1", "--owner", "bob")
        assert refused(block, name) == errno.ENODATA
        assert os.getxattr(point / BLOCK.format(1), name).startswith(b"2 by bob")
        assert refused(point / "proposal/scan", name) == errno.ENODATA  # not all of it
