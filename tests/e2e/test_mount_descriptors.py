"""The short-circuit socket of penstock mount: descriptors, leases, permissions."""

import errno
import os
import pathlib
import socket
import struct
import tempfile

import pytest

from mount_store import BLOCK, master, places, read_all, store
from mounting import assert_same_tree, mounted, need_fuse, wait_for

need_fuse()

# The short-circuit protocol, by hand (penstock/dataset/lease_protocol.h).
MAGIC = 0x6B6C5350
ACQUIRE, RELEASE, RESIDENCY = 1, 2, 3
GRANTED, NOT_RESIDENT, DENIED, NO_SUCH_BLOCK, BAD_REQUEST = range(5)
WAIT = 1


def connect(point):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(120)
    connection.connect(os.getxattr(point, "user.penstock.socket").decode())
    return connection


def ask(connection, operation, dataset=b"", block=0, flags=0, packet=None):
    if packet is None:
        packet = struct.pack("=IHHqII", MAGIC, 1, operation, block, flags, len(dataset)) + dataset
    connection.send(packet)
    data, descriptors, _, _ = socket.recv_fds(connection, 65536, 1)
    magic, outcome, _, lease, size = struct.unpack("=IHHQQ", data[:24])
    assert magic == MAGIC
    return outcome, lease, size, data[24:], descriptors


def test_short_circuit_descriptors(penstock, master, places):
    point, cache = places
    dataset = b"proposal/scan"
    assert len(struct.pack("=IHHqII", 0, 0, 0, 0, 0, 0)) == 24
    with mounted(penstock, master, point, cache, "--cache-size", "20M") as mount:
        assert os.getxattr(point / "proposal/scan", "user.penstock.dataset") == dataset
        with connect(point / "proposal/scan") as connection:
            assert ask(connection, ACQUIRE, dataset, 1)[0] == NOT_RESIDENT
            assert ask(connection, RESIDENCY, dataset)[3] == b"\0\0\0"
            outcome, lease, size, _, descriptors = ask(connection, ACQUIRE, dataset, 1, WAIT)
            assert outcome == GRANTED and len(descriptors) == 1
            expected = (master / BLOCK.format(1)).read_bytes()
            assert size == len(expected)
            assert os.pread(descriptors[0], size, 0) == expected
            assert ask(connection, RESIDENCY, dataset)[3] == b"\0\2\0"
            # It leads back to nothing writable.
            for change in (lambda: os.open(f"/proc/self/fd/{descriptors[0]}", os.O_RDWR),
                           lambda: os.fchmod(descriptors[0], 0o666)):
                with pytest.raises(OSError) as failure:
                    change()
                assert failure.value.errno == errno.EROFS
            # A leased block stays, whatever else is read.
            assert mount.status()["leases"] == 1
            read_all(point)
            assert ask(connection, RESIDENCY, dataset)[3][1] == 2
            # (The kernel gives up a file that was closed a moment later: until then its block
            # stays.)
            others = [ask(connection, RESIDENCY, dataset)[3][block] for block in (0, 2)]
            assert any(others)
            assert wait_for(lambda: penstock("evict", point) and
                            ask(connection, RESIDENCY, dataset)[3] == b"\0\2\0")
            assert ask(connection, RELEASE, block=lease)[0] == GRANTED
            assert ask(connection, RELEASE, block=lease)[0] == BAD_REQUEST
            assert wait_for(lambda: penstock("evict", point) and
                            ask(connection, RESIDENCY, dataset)[3] == b"\0\0\0")
            assert os.pread(descriptors[0], size, 0) == expected  # until it is closed
            os.close(descriptors[0])

            assert ask(connection, ACQUIRE, dataset, 3)[0] == NO_SUCH_BLOCK
            assert ask(connection, ACQUIRE, dataset, -1)[0] == NO_SUCH_BLOCK
            assert ask(connection, ACQUIRE, b"proposal/nothing", 0)[0] == NO_SUCH_BLOCK
            for packet in (b"", b"x", bytes(24), os.urandom(500),
                           struct.pack("=IHHqII", MAGIC, 1, ACQUIRE, 0, 0, 99) + dataset,
                           struct.pack("=IHHqII", MAGIC, 2, ACQUIRE, 0, 0, 13) + dataset,
                           struct.pack("=IHHqII", MAGIC, 1, 77, 0, 0, 13) + dataset,
                           struct.pack("=IHHqII", MAGIC, 1, ACQUIRE, 0, 0, 11) + b"../../../..",
                           struct.pack("=IHHqII", MAGIC, 1, ACQUIRE, 0, 0, 9) + b"/etc\0/abc"):
                if packet:
                    assert ask(connection, 0, packet=packet)[0] == BAD_REQUEST
        assert_same_tree(master, point)


@pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED: needs root to become another user")
def test_a_foreign_user_gets_no_descriptor(penstock, store):
    # Reachable by everybody, unlike the directories of pytest.
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        os.chmod(folder, 0o755)
        cache, point = pathlib.Path(folder) / "cache", pathlib.Path(folder) / "mnt"
        with mounted(penstock, store, point, cache):
            penstock("warm", point)

            def outcome_as(uid, gid, groups):
                reader, writer = os.pipe()
                child = os.fork()
                if child == 0:
                    try:
                        os.setgroups(groups)
                        os.setgid(gid)
                        os.setuid(uid)
                        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                            connection.settimeout(120)
                            connection.connect(str(cache / "short-circuit.sock"))
                            answer = ask(connection, ACQUIRE, b"proposal/scan", 0)
                            os.write(writer, bytes([answer[0], len(answer[4])]))
                    finally:
                        os._exit(0)
                os.close(writer)
                os.waitpid(child, 0)
                with os.fdopen(reader, "rb") as pipe:
                    return tuple(pipe.read())

            nobody = 65534
            assert outcome_as(nobody, nobody, []) == (GRANTED, 1)
            os.chmod(store / BLOCK.format(0), 0o400)  # the block itself
            assert outcome_as(nobody, nobody, []) == (DENIED, 0)
            os.chmod(store / BLOCK.format(0), 0o444)
            os.chmod(store / "proposal", 0o750)  # a directory above it
            assert outcome_as(nobody, nobody, []) == (DENIED, 0)
            os.chown(store / "proposal", 0, 4242)
            assert outcome_as(nobody, nobody, [4242]) == (GRANTED, 1)
            assert outcome_as(nobody, nobody, [4243]) == (DENIED, 0)
