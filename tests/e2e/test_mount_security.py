"""What other users of the node, and names and links in the store, can do to a mount: nothing that they
could not do in the store."""

import contextlib
import errno
import json
import os
import pathlib
import shutil
import socket
import tempfile

import pytest

from as_user import NOBODY, as_user, need_root
from mount_store import BLOCK, digest, master, store
from mounting import mounted, need_fuse, replicas, wait_for
from test_mount_descriptors import ACQUIRE, GRANTED, WAIT, ask

need_fuse()
pytestmark = need_root


@pytest.fixture
def open_folder():
    """Reachable by everybody, unlike the directories of pytest."""
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        os.chmod(folder, 0o755)
        yield pathlib.Path(folder)


def read(path):
    return len(path.read_bytes())


@pytest.mark.parametrize("options", [(), ("--no-passthrough",)], ids=["default", "served"])
def test_modes_and_owners_hold_for_everybody(penstock, store, open_folder, options):
    point = open_folder / "mnt"
    block, notes = point / BLOCK.format(0), point / "notes.txt"
    (store / "private").mkdir(mode=0o700)
    (store / "private/list.txt").write_text("nobody's business\n")
    os.chmod(store / BLOCK.format(1), 0o400)
    os.chown(store / BLOCK.format(1), 4242, 4242)
    os.chmod(store / BLOCK.format(2), 0o040)
    os.chown(store / BLOCK.format(2), 0, 4242)
    with mounted(penstock, store, point, open_folder / "cache", "--settle-time", "0", *options):
        penstock("warm", point)
        assert as_user(lambda: read(block)) == block.stat().st_size
        assert as_user(lambda: read(notes)) == errno.EACCES  # 0640 of root
        assert as_user(lambda: read(point / BLOCK.format(1))) == errno.EACCES
        assert as_user(lambda: read(point / BLOCK.format(1)), uid=4242) > 0
        assert as_user(lambda: read(point / BLOCK.format(2))) == errno.EACCES
        assert as_user(lambda: read(point / BLOCK.format(2)), groups=[4242]) > 0
        assert as_user(lambda: os.listdir(point / "private")) == errno.EACCES
        assert as_user(lambda: read(point / "private/list.txt")) == errno.EACCES
        assert as_user(lambda: os.getxattr(point / "private/list.txt", "user.penstock.state").decode()
                       ) == errno.EACCES
        flags = pathlib.Path("/proc/self/mountinfo").read_text().split(f" {point} ")[1].split()[0]
        assert {"nosuid", "nodev", "ro"} <= set(flags.split(","))


def test_the_cache_directory_gives_nothing_away(penstock, store, open_folder):
    point, cache = open_folder / "mnt", open_folder / "cache"
    with mounted(penstock, store, point, cache, "--settle-time", "0"):
        penstock("warm", point)
        penstock("pin", point / "proposal")
        for name in ("blocks", "state", "sidecars", "quarantine"):
            assert as_user(lambda: os.listdir(cache / name)) == errno.EACCES
        for replica in replicas(cache):
            assert as_user(lambda: read(replica)) == errno.EACCES
        assert as_user(lambda: os.mkdir(cache / "new")) == errno.EACCES
        for name in ("policy.json", "penstock-cache.json", "lock", "penstock.log"):
            assert as_user(lambda: os.open(cache / name, os.O_WRONLY)) == errno.EACCES
            assert as_user(lambda: os.unlink(cache / name)) == errno.EACCES


def control(cache, request):
    lines = control_lines(cache, request)
    return lines[-1] if lines else None


def control_lines(cache, request):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(120)
        connection.connect(str(cache / "control.sock"))
        connection.sendall(request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n")
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
        return [json.loads(line) for line in answer.splitlines()]


def test_the_control_socket_obeys_root_alone(penstock, store, open_folder):
    point, cache = open_folder / "mnt", open_folder / "cache"
    with mounted(penstock, store, point, cache) as mount:
        penstock("warm", point)
        penstock("pin", point / "proposal", "--reason", "stays")
        pid = mount.pid()
        for command in ("warm", "evict", "pin", "unpin", "quota", "scrub", "unmount", "handover",
                        "bugreport", "nonsense"):
            for more in ({}, {"path": ""}, {"path": "proposal"}):
                answer = as_user(lambda: control(cache, {"command": command, **more}))
                assert answer["kind"] in ("permission", "permission denied"), (command, answer)
        assert as_user(lambda: control(cache, {"command": "status"}))["pid"] == pid
        for nonsense in (b"\n", b"{}\n", b"[]\n", b"{\"command\":7}\n", b"\xff\xfe\n", b"{" * 70_000):
            with contextlib.suppress(ConnectionError, BrokenPipeError):
                assert "error" in (control(cache, nonsense) or {"error": ""})
        assert mount.pid() == pid and "stays" in penstock("pins", cache).stdout
        assert mount.status()["datasets"][0]["complete_blocks"] == 3


def test_names_of_datasets_are_told_to_those_who_may_read_them(penstock, store, open_folder):
    """Others get the counts."""
    point, cache = open_folder / "mnt", open_folder / "cache"
    shutil.copytree(store / "proposal", store / "secret_proposal")
    os.chmod(store / "secret_proposal", 0o750)
    os.chown(store / "secret_proposal", 0, 4242)
    with mounted(penstock, store, point, cache) as mount:
        penstock("warm", point)
        os.listdir(point / "proposal/scan"), os.listdir(point / "secret_proposal/scan")
        penstock("pin", point / "secret_proposal")

        def told(**who):
            def ask_all():
                status = control(cache, {"command": "status"})
                return ([dataset["dataset"] for dataset in status["datasets"]], status["dataset_count"],
                        status["cached_blocks"], "secret" in json.dumps(status))
            return as_user(ask_all, **who)

        both = ["proposal/scan", "secret_proposal/scan"]
        assert told() == [["proposal/scan"], 2, 6, False]
        assert told(uid=0, gid=0) == told(groups=[4242]) == told(gid=4242) == [both, 2, 6, True]
        # It needs no store, and nobody who waits for it.
        store.rename(store.parent / "away")
        assert told() == [["proposal/scan"], 2, 6, False]
        (store.parent / "away").rename(store)
        wait_for(lambda: mount.status()["store_presence"]["state"] == "there")

        def located(path, **who):
            return as_user(lambda: control_lines(cache, {"command": "locate", "path": path}), **who)

        everything = located("")
        assert [line["dataset"] for line in everything[:-1]] == ["proposal/scan"]
        assert "secret" not in json.dumps(everything)
        assert [line.get("dataset") for line in located("", groups=[4242])[:-1]] == both
        # What is not there and what is not for him are the same to him.
        hidden, missing = located("secret_proposal/scan"), located("missing/scan")
        assert [line["kind"] for line in hidden + missing] == [hidden[0]["kind"]] * 2
        assert hidden[0]["error"].replace("secret_proposal", "missing") == missing[0]["error"]
        # Nor do the files of the cache directory tell.
        for path in cache.iterdir():
            if path.is_file() and path.name != "penstock-cache.json":
                assert as_user(lambda: read(path)) == errno.EACCES, path


OUTSIDE = ["..", "../..", "../secret", "/etc", "proposal/../../secret", "proposal/../..", "./..",
           "proposal//../../secret", "link/../../x", "a\0b", "x" * 5000]


def test_no_name_leads_out_of_the_store(penstock, store, open_folder):
    (store.parent / "secret").mkdir()
    (store.parent / "secret/file").write_text("secret")
    point, cache = open_folder / "mnt", open_folder / "cache"
    with mounted(penstock, store, point, cache, "--settle-time", "0") as mount:
        for path in OUTSIDE:
            for command in ("warm", "locate", "evict"):
                answer = control(cache, {"command": command, "path": path})
                assert "secret" not in json.dumps(answer).replace("../secret", ""), (command, path)
            assert mount.status()["other_files"]["files"] == 0 and replicas(cache) == [], path
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.settimeout(120)
                connection.connect(str(cache / "short-circuit.sock"))
                answer = ask(connection, ACQUIRE, path.encode(), 0, WAIT)
                assert answer[0] != GRANTED and not answer[4], path


def test_links_in_the_store_are_shown_and_not_followed(penstock, store, open_folder):
    """The reader follows them, with the reader's rights; the daemon, which is root, does not."""
    point, cache = open_folder / "mnt", open_folder / "cache"
    outside = open_folder / "outside"
    outside.mkdir()
    secret = outside / "secret"
    block = store / BLOCK.format(0)
    secret.write_bytes(block.read_bytes())  # even the right bytes
    os.chmod(secret, 0o600)
    block.unlink()
    os.symlink(secret, block)
    os.symlink(secret, store / "absolute")
    os.symlink("../" * 20 + str(secret).lstrip("/"), store / "relative")
    os.symlink(outside, store / "folder")
    moved = outside / "scan"
    (store / "proposal/scan2").mkdir()
    os.symlink(moved, store / "proposal/scan3")
    with mounted(penstock, store, point, cache, "--settle-time", "0") as mount:
        for name in (BLOCK.format(0), "absolute", "relative"):
            assert (point / name).is_symlink()
            assert os.readlink(point / name) == os.readlink(store / name)
            assert as_user(lambda: read(point / name)) == errno.EACCES
        assert os.path.realpath(point / "folder") == str(outside)
        penstock("warm", point, status=None)
        inodes = {os.stat(secret).st_ino}
        assert not [path for path in replicas(cache) if path.stat().st_size == secret.stat().st_size
                    and digest(path) == digest(secret) and path.stat().st_ino in inodes]

        def lease():
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.settimeout(120)
                connection.connect(str(cache / "short-circuit.sock"))
                return ask(connection, ACQUIRE, b"proposal/scan", 0, WAIT)[0]
        assert as_user(lease) != GRANTED
        assert mount.status()["datasets"][0]["complete_blocks"] <= 2
