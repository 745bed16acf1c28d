"""A cache directory with a million replicas: when a daemon is ready, what it takes, when it answers."""

import json
import socket
import time

from benchmarks.measure import Row, Table

REPLICAS = 1_000_000
READY_SECONDS, RESIDENT_MIB, STATUS_MILLISECONDS = 2.0, 500.0, 50.0


def run(bench):
    cache, store, mount = bench.work / "large-cache", bench.work / "empty-store", bench.work / "index-mount"
    store.mkdir(), mount.mkdir()
    # The replica files are holes: they take inodes and no room.
    bench.run(bench.penstock.parents[2] / "tests/penstock_make_replicas", cache, "--count", str(REPLICAS))
    ready, resident, answers, commands = [], [], [], []
    for _ in range(bench.repeats):
        begin = time.monotonic()
        bench.run(bench.penstock, "mount", store, mount, "--cache", cache, "--reserve", "0")
        ready.append(time.monotonic() - begin)
        try:
            status = json.loads(bench.run(bench.penstock, "status", cache, "--json").stdout)
            assert status["cached_blocks"] == REPLICAS
            answers.append(_answer(cache) * 1e3)
            commands.append(bench.timed(bench.penstock, "status", cache, "--json") * 1e3)
            while not status["inventory_done"]:
                time.sleep(0.5)
                status = json.loads(bench.run(bench.penstock, "status", cache, "--json").stdout)
            resident.append(status["process"]["resident_bytes"] / (1 << 20))
        finally:
            bench.run(bench.penstock, "unmount", cache)
    def row(name, values, limit):
        return Row(name, "limit", values, [limit] * bench.repeats)

    rows = [row("ready, s", ready, READY_SECONDS), row("memory, MiB", resident, RESIDENT_MIB),
            row("answer with all datasets, ms", answers, STATUS_MILLISECONDS),
            row("penstock status --json, ms", commands, STATUS_MILLISECONDS)]
    return [Table(f"a cache of {REPLICAS} replicas: ratios below 1 keep the limit", rows, unit="of the limit")]


def _answer(cache):
    begin = time.monotonic()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(cache / "control.sock"))
        client.sendall(b'{"command":"status"}\n')
        answer = b""
        while not answer.endswith(b"\n"):
            answer += client.recv(1 << 20)
    return time.monotonic() - begin
