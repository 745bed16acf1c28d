"""Nodes that share their caches: together they read the store once, and whatever a node does or
suffers, the others read right bytes in bounded time."""

import contextlib
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import threading
import time

import pytest

from mounting import Mount, assert_same_tree, flip_byte, need_fuse, replicas, wait_for, wait_for_end
from remote_stores import NginxStore, free_port
from synthetic import make_dataset

need_fuse()

# 16 blocks of 1 MiB of frames and what belongs to them, one extent each.
SHAPE = dict(scan=(32, 16), sig=(128, 128), block_bytes=1 << 20)
# For tests in which nobody is slow but the machine.
PATIENT = ("--peer-timeout", "60", "--upstream-timeout", "120")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = NginxStore(tmp_path_factory.mktemp("peers"))
    make_dataset(store.root / "scan", **SHAPE)
    store.start()
    yield store
    store.close()


@pytest.fixture
def blocks(store):
    folder = store.root / "scan/data.zarr/real/c"
    return sorted(path for path in folder.rglob("*") if path.is_file())


def size_of(blocks):
    return sum(block.stat().st_size for block in blocks)


def write_key(path, text=None):
    path.write_text((text or secrets.token_hex(32)) + "\n")
    path.chmod(0o600)
    return path


class Node(Mount):
    def __init__(self, penstock, address, folder, name, peers, key, *options):
        folder.mkdir()
        self.name = name
        super().__init__(penstock, address, folder / "mnt", folder / "cache", "--peers", peers,
                         "--peer-key", key, "--peer-listen", name, *options)

    def read(self, blocks, root):
        for block in blocks:
            assert (self.point / block.relative_to(root)).read_bytes() == block.read_bytes(), block

    def kill(self):
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)
        wait_for_end(pid)
        subprocess.run(["umount", "-l", str(self.point)], check=False)


@contextlib.contextmanager
def cluster(penstock, store, tmp_path, count, *options, keys=None, lists=None):
    """`count` nodes that know each other; `keys`, `lists`: by node, where they differ."""
    names = [f"127.0.0.1:{free_port()}" for _ in range(count)]
    shared = tmp_path / "nodes"
    shared.write_text("# all nodes\n" + "\n".join(names) + "\n")
    key = write_key(tmp_path / "key")
    nodes = []
    for number, name in enumerate(names):
        peers = shared
        if lists:
            peers = tmp_path / f"nodes{number}"
            peers.write_text("\n".join(lists(names)[number]))
        nodes.append(Node(penstock, store.address, tmp_path / f"node{number}", name, peers,
                          keys[number] if keys else key, *options))
    try:
        for node in nodes:
            node.start()
        yield nodes
    finally:
        for node in nodes:
            with contextlib.suppress(Exception):
                node.stop()
            node.clear()


def at_once(functions):
    failures = []

    def run(function):
        try:
            function()
        except BaseException as failure:  # told by the thread that waits
            failures.append(failure)
    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def test_three_nodes_read_the_store_once(penstock, store, blocks, tmp_path):
    before = store.bytes_read("/real/c/")
    with cluster(penstock, store, tmp_path, 3, *PATIENT) as nodes:
        at_once([lambda node=node: penstock("warm", node.point / "scan", timeout=300)
                 for node in nodes])
        counters = [node.status()["counters"] for node in nodes]
        size = size_of(blocks)
        assert store.bytes_read("/real/c/") - before == size
        assert sum(each["fetched_bytes"] for each in counters) == size
        assert sum(each["peer_fetched_bytes"] for each in counters) == 2 * size
        assert sum(each["peer_served_bytes"] for each in counters) == 2 * size
        assert all(each["fetched_bytes"] + each["peer_fetched_bytes"] == size for each in counters)
        for trouble in ("peer_failures", "peer_refusals", "peer_mismatches", "upstream_errors"):
            assert sum(each[trouble] for each in counters) == 0, trouble
        for node in nodes:
            assert_same_tree(store.root / "scan/data.zarr/real", node.point / "scan/data.zarr/real")
        assert store.bytes_read("/real/c/") - before == size


def test_a_node_that_dies_costs_nobody_a_read(penstock, store, blocks, tmp_path):
    with cluster(penstock, store, tmp_path, 3, *PATIENT) as nodes:
        nodes[0].read(blocks[:2], store.root)
        nodes[1].kill()
        at_once([lambda node=node: node.read(blocks, store.root) for node in (nodes[0], nodes[2])])
        assert nodes[0].counter("peer_failures") + nodes[2].counter("peer_failures") > 0
        assert nodes[0].counter("upstream_errors") == nodes[2].counter("upstream_errors") == 0
        # It returns, with what it had, and is asked again.
        nodes[1].start()
        served = nodes[1].counter("peer_served_bytes")

        def is_asked():
            penstock("evict", nodes[0].point / "scan", status=None)
            nodes[0].read(blocks, store.root)
            return nodes[1].counter("peer_served_bytes") > served
        wait_for(is_asked)


def test_another_key_is_refused(penstock, store, blocks, tmp_path):
    keys = [write_key(tmp_path / "one"), write_key(tmp_path / "two")]
    with cluster(penstock, store, tmp_path, 2, keys=keys) as nodes:
        at_once([lambda node=node: node.read(blocks, store.root) for node in nodes])
        for node in nodes:
            assert node.counter("peer_fetched_bytes") == node.counter("peer_served_bytes") == 0
            assert node.counter("fetched_bytes") == size_of(blocks)
            node.wait_for_log("--peer-key")


def test_whoever_has_no_key_gets_nothing(penstock, store, tmp_path):
    with cluster(penstock, store, tmp_path, 2) as nodes:
        host, port = nodes[0].name.split(":")
        request = b'{"dataset":"scan","generation":"","block":0,"extent":0}'
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(len(request).to_bytes(4, "little") + request)
                answer = b""
                while part := connection.recv(65536):
                    answer += part
                assert len(answer) < 100  # an alert of TLS
        shown = subprocess.run(["openssl", "s_client", "-connect", nodes[0].name], input=b"",
                               capture_output=True, check=False)
        assert b"no peer certificate available" in shown.stdout
        assert b"Cipher is (NONE)" in shown.stdout
        nodes[0].wait_for_log("is refused")


def test_wrong_bytes_of_a_node_are_refused_and_fetched_from_the_store(penstock, store, blocks,
                                                                     tmp_path):
    # (What the liar has in memory is right.)
    with cluster(penstock, store, tmp_path, 2, *PATIENT, "--recent", "0") as nodes:
        liar, reader = nodes
        penstock("warm", liar.point / "scan")
        for replica in replicas(liar.cache):  # below its feet: it gives them as they are
            flip_byte(replica, 70_000)
        reader.read(blocks, store.root)
        assert reader.counter("peer_mismatches") >= 1
        reader.wait_for_log("gave wrong bytes")
        # Nothing of it was kept either.
        wait_for(lambda: reader.status()["datasets"][0]["complete_blocks"] == len(blocks))
        reader.stop()
        reader.start()
        reader.read(blocks, store.root)
        penstock("verify", reader.point / "scan")


def test_a_node_that_stalls_is_left_after_its_time(penstock, store, blocks, tmp_path):
    with cluster(penstock, store, tmp_path, 2, "--peer-timeout", "1") as nodes:
        stalled, reader = nodes
        pid = stalled.pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            begin = time.monotonic()
            reader.read(blocks, store.root)
            # Four threads wait once, and then nobody for the next second and longer.
            assert time.monotonic() - begin < 60
            assert 1 <= reader.counter("peer_failures") <= 12
            assert reader.counter("timeouts") == 0
        finally:
            os.kill(pid, signal.SIGCONT)
        assert size_of(blocks) == reader.counter("fetched_bytes") + reader.counter(
            "peer_fetched_bytes")


def test_lists_that_differ_make_no_loops(penstock, store, blocks, tmp_path):
    def lists(names):
        # By the second list nearly all blocks belong to nodes that are not there.
        return [names, [names[1], *(f"127.0.0.1:{port}" for port in range(1, 21))]]
    with cluster(penstock, store, tmp_path, 2, *PATIENT, lists=lists) as nodes:
        nodes[0].read(blocks, store.root)
        assert nodes[0].counter("peer_refusals") > 0
        assert nodes[0].counter("fetched_bytes") + nodes[0].counter(
            "peer_fetched_bytes") == size_of(blocks)
        # What it refused it asked nobody for.
        assert nodes[1].counter("peer_failures") == 0
        nodes[1].read(blocks, store.root)


def test_a_list_that_grows_is_noticed(penstock, store, blocks, tmp_path):
    with cluster(penstock, store, tmp_path, 2, *PATIENT, lists=lambda names: [names[:1], names]) as nodes:
        nodes[0].read(blocks[:4], store.root)
        assert nodes[0].counter("peer_fetched_bytes") == 0
        both = (tmp_path / "nodes1").read_text()
        (tmp_path / "nodes0.new").write_text(both)
        (tmp_path / "nodes0.new").rename(tmp_path / "nodes0")

        def shares():
            penstock("evict", nodes[0].point / "scan", status=None)
            nodes[0].read(blocks, store.root)
            return nodes[0].counter("peer_fetched_bytes") > 0
        wait_for(shares)
        (tmp_path / "nodes0.new").write_text("not an address\n")
        (tmp_path / "nodes0.new").rename(tmp_path / "nodes0")
        wait_for(lambda: shares() and "stays as it was" in nodes[0].log())


def listening_ports(pid):
    inodes = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(fd))
    ports = []
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                ports.append(int(fields[1].rpartition(":")[2], 16))
    return ports


def test_nothing_listens_unless_it_is_told_to(penstock, store, tmp_path):
    key = write_key(tmp_path / "key")
    name = f"127.0.0.1:{free_port()}"
    peers = tmp_path / "nodes"
    peers.write_text(name + "\n")
    asks_only = Mount(penstock, store.address, tmp_path / "mnt", tmp_path / "cache", "--peers",
                      peers, "--peer-key", key)
    try:
        asks_only.start()
        assert listening_ports(asks_only.pid()) == []
    finally:
        asks_only.stop()
        asks_only.clear()
    with cluster(penstock, store, tmp_path, 1) as (node,):
        assert listening_ports(node.pid()) == [int(node.name.split(":")[1])]


@pytest.mark.parametrize("change, words", [
    (lambda options, _: options.pop("--peer-key"), "--peer-key"),
    (lambda options, _: options.pop("--peers"), "--peers"),
    (lambda options, key: key.chmod(0o640), "chmod 600"),
    (lambda options, key: key.write_text("short"), "too short"),
    (lambda options, _: options.update({"--peer-listen": "127.0.0.1:1"}), "not in the list"),
    (lambda options, _: options.update({"--peer-listen": "here"}), "HOST:PORT"),
    (lambda options, _: options["--peers"].write_text("a:1\na:1\n"), "listed twice")])
def test_options_that_cannot_be(penstock, store, tmp_path, change, words):
    name = f"127.0.0.1:{free_port()}"
    key = write_key(tmp_path / "key")
    peers = tmp_path / "nodes"
    peers.write_text(name + "\n")
    options = {"--peers": peers, "--peer-key": key, "--peer-listen": name}
    change(options, key)
    (tmp_path / "mnt").mkdir()
    refused = penstock("mount", store.address, tmp_path / "mnt", "--cache", tmp_path / "cache",
                       *[part for pair in options.items() for part in pair], status=None)
    assert refused.returncode in (1, 2) and words in refused.stderr, refused.stderr
