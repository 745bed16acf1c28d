"""Three nodes and a store as network namespaces on a bridge, the store behind a link of 80 Mbit/s:
together the nodes take from it what one of them would."""

import contextlib
import os
import subprocess
import threading

import pytest

from mounting import assert_same_tree, mounted, need_fuse
from remote_stores import NginxStore
from synthetic import make_dataset
from test_mount_peers import PATIENT, SHAPE, size_of, write_key

need_fuse()

NODES = 3
SUBNET = f"10.213.{os.getpid() % 250}"


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          check=False)


def must(*command):
    done = run(*command)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


class Network:
    """`prefix(n)` runs a command in the namespace n; 0 is the store's."""

    def __init__(self):
        # Names of interfaces have 15 characters at most.
        self.name = f"ps{os.getpid() % 1_000_000}"
        self.spaces = []

    def open(self):
        must("ip", "link", "add", f"{self.name}b", "type", "bridge")
        must("ip", "address", "add", f"{SUBNET}.254/24", "dev", f"{self.name}b")
        must("ip", "link", "set", f"{self.name}b", "up")
        for number in range(NODES + 1):
            space = f"{self.name}n{number}"
            inside, outside = f"{self.name}i{number}", f"{self.name}o{number}"
            must("ip", "netns", "add", space)
            self.spaces.append(space)
            must("ip", "link", "add", outside, "type", "veth", "peer", "name", inside)
            must("ip", "link", "set", inside, "netns", space)
            must("ip", "link", "set", outside, "master", f"{self.name}b", "up")
            must("ip", "-n", space, "link", "set", "lo", "up")
            must("ip", "-n", space, "address", "add", f"{self.address(number)}/24", "dev", inside)
            must("ip", "-n", space, "link", "set", inside, "up")
        must("ip", "netns", "exec", self.spaces[0], "tc", "qdisc", "add", "dev", f"{self.name}i0",
             "root", "tbf", "rate", "80mbit", "burst", "128kb", "latency", "200ms")

    def address(self, number):
        return f"{SUBNET}.{number + 1}"

    def prefix(self, number):
        # Not `ip netns exec`, in whose mount namespace the mount would be hidden.
        return ("nsenter", f"--net=/run/netns/{self.spaces[number]}")

    def close(self):
        for space in self.spaces:
            run("ip", "netns", "del", space)
        run("ip", "link", "del", f"{self.name}b")


@pytest.fixture
def network():
    network = Network()
    try:
        network.open()
    except OSError as failure:
        network.close()
        pytest.skip(f"SKIPPED FOR WANT OF NETWORK NAMESPACES: NODES WERE NOT TESTED: {failure}")
    yield network
    network.close()


def in_namespace(penstock, prefix):
    """The penstock command as the fixture, in a namespace."""
    def command(*arguments, status=0, timeout=300):
        done = subprocess.run([*prefix, str(penstock.binary), *map(str, arguments)],
                              capture_output=True, text=True, timeout=timeout, check=False)
        assert status is None or done.returncode == status, done.stderr
        return done
    command.binary = penstock.binary
    return command


def test_the_link_of_the_store_carries_the_dataset_once(penstock, network, tmp_path):
    store = NginxStore(tmp_path / "store", host=network.address(0), prefix=network.prefix(0))
    make_dataset(store.root / "scan", **SHAPE)
    blocks = [path for path in (store.root / "scan/data.zarr/real/c").rglob("*") if path.is_file()]
    key = write_key(tmp_path / "key")
    peers = tmp_path / "nodes"
    names = [f"{network.address(number + 1)}:7411" for number in range(NODES)]
    peers.write_text("\n".join(names))
    store.start()
    try:
        for sharing in (True, False):
            with contextlib.ExitStack() as stack:
                nodes = []
                for number, name in enumerate(names):
                    # (The path of a socket in it has 107 characters at most.)
                    folder = tmp_path / f"{number}{'s' if sharing else ''}"
                    folder.mkdir()
                    options = ("--peers", peers, "--peer-key", key, "--peer-listen",
                               "0.0.0.0:7411", "--peer-name", name) if sharing else ()
                    nodes.append(stack.enter_context(mounted(
                        in_namespace(penstock, network.prefix(number + 1)), store.address,
                        folder / "mnt", folder / "cache", *options, *PATIENT)))
                before = store.bytes_read("/real/c/")
                threads = [threading.Thread(
                    target=lambda node=node: penstock("warm", node.point / "scan", timeout=300))
                    for node in nodes]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                taken = store.bytes_read("/real/c/") - before
                assert taken == (1 if sharing else NODES) * size_of(blocks)
                for node in nodes:
                    assert_same_tree(store.root / "scan/data.zarr/real",
                                     node.point / "scan/data.zarr/real")
                    assert node.counter("upstream_errors") == 0
    finally:
        store.close()
