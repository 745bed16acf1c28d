"""What a mount shows of itself: status with rates, latencies, metrics, locations, the access log."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request

import pytest

from mount_store import BLOCK, master, places, store
from mounting import mounted, need_fuse, penstock_attributes, wait_for

need_fuse()

# Bytes of frames of the blocks; a head of 64 KiB, the index and its padding come to that.
SERVED = "--no-passthrough"


def sizes(master):
    return [(master / BLOCK.format(block)).stat().st_size for block in range(3)]


def samples(text):
    """{name with labels: value} of a page for Prometheus."""
    values = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
    return values


def test_status_tells_of_hits_latency_and_the_daemon(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache, SERVED) as mount:
        size = sizes(master)[0]
        (point / BLOCK.format(0)).read_bytes()
        (point / "notes.txt").read_bytes()
        wait_for(lambda: os.getxattr(point / BLOCK.format(0), "user.penstock.state").startswith(b"complete"))
        status = mount.status()
        counters = status["counters"]
        assert counters["hit_bytes"] + counters["missed_bytes"] == size
        assert counters["missed_reads"] > 0 and counters["plain_opens"] == 1
        reads = status["latency"]["upstream_read"]
        assert reads["count"] >= 4  # extents
        assert 0 < reads["p50_seconds"] <= reads["p90_seconds"] <= reads["p99_seconds"] <= reads["max_seconds"]
        assert sum(count for _, count in reads["buckets"]) == reads["count"]
        assert status["latency"]["upstream_metadata"]["count"] > 0
        process = status["process"]
        assert process["threads"] == len(os.listdir(f"/proc/{status['pid']}/task"))
        assert process["open_files"] > 5 and process["resident_bytes"] > 1 << 20
        assert status["uptime_seconds"] > 0
        text = penstock("status", point).stdout
        assert re.search(r"daemon +process \d+, up .*, \d+ threads, \d+ of \d+ descriptors", text)
        assert re.search(r"store reads +p50 .*, p90 .*, p99 .*, max .* of \d+ calls", text)
        assert "of bytes from the cache" in text


def test_watch_prints_json_lines_with_rates(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache, SERVED) as mount:
        watch = subprocess.Popen([penstock.binary, "status", cache, "--watch", "0.2", "--json"],
                                 stdout=subprocess.PIPE, text=True)
        try:
            first = json.loads(watch.stdout.readline())
            assert first["rates"] is None
            penstock("warm", point)
            fetched = 0.0
            while fetched < sum(sizes(master)) - 1:
                line = json.loads(watch.stdout.readline())
                rates = line["rates"]
                assert rates["seconds"] > 0.05
                fetched += rates["fetched_bytes_per_second"] * rates["seconds"]
                assert "count" in rates["latency"]["upstream_read"]
            assert fetched == pytest.approx(sum(sizes(master)))
        finally:
            watch.send_signal(signal.SIGINT)
            watch.communicate(timeout=60)
        assert watch.returncode == 0
        assert mount.counter("fetched_bytes") == sum(sizes(master))


def test_watch_in_a_pipe_prints_plain_lines(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache):
        with subprocess.Popen([penstock.binary, "status", "--watch=0.2", cache], stdout=subprocess.PIPE,
                              text=True) as watch:
            for _ in range(2):
                line = watch.stdout.readline()
                assert re.fullmatch(r"\S+Z hits \S+ \S+ misses \S+ \S+ fetched \S+ \S+ opens \S+/s cached \S+ \S+"
                                    r" store-p99 .* errors \S+/s\n", line), line
            watch.terminate()
        assert "\x1b" not in line


def test_watch_redraws_a_terminal(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache):
        leader, follower = os.openpty()
        with subprocess.Popen([penstock.binary, "status", "--watch", cache], stdout=follower) as watch:
            os.close(follower)
            shown = b""
            while shown.count(b"\x1b[H") < 2:
                shown += os.read(leader, 65536)
            watch.terminate()
        os.close(leader)
        assert shown.startswith(b"\x1b[2J") and b"mountpoint" in shown


@pytest.mark.parametrize("arguments, words", [
    (("--watch", "0"), "interval"), (("--watch", "-1"), "interval"), ((), "of which mount")])
def test_watch_refuses(penstock, tmp_path, arguments, words):
    path = [tmp_path] if arguments else []
    done = penstock("status", *path, *arguments, status=2)
    assert words in done.stderr


def get(address, path="/metrics"):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return answer.read().decode()


def test_metrics_over_http(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache, SERVED, "--metrics", "0") as mount:
        address = mount.status()["metrics_address"]
        assert address.startswith("127.0.0.1:")
        (point / BLOCK.format(0)).read_bytes()
        size = sizes(master)[0]
        label = f'{{mount="{point}"}}'
        wait_for(lambda: samples(get(address))["penstock_cache_fetched_bytes_total" + label] == size)
        values = samples(get(address))
        assert values["penstock_cache_bytes" + label] == size
        assert values["penstock_cache_blocks" + label] == 1
        assert values["penstock_cache_datasets" + label] == 1
        for call in ("read", "metadata"):
            count = values[f'penstock_upstream_latency_seconds_count{{mount="{point}",call="{call}"}}']
            last = values[f'penstock_upstream_latency_seconds_bucket{{mount="{point}",call="{call}",le="+Inf"}}']
            assert count == last > 0
        with pytest.raises(urllib.error.HTTPError) as failure:
            get(address, "/")
        assert failure.value.code == 404
        with pytest.raises(urllib.error.HTTPError) as failure:
            urllib.request.urlopen(f"http://{address}/metrics", data=b"x", timeout=30)
        assert failure.value.code == 405
        # A client that says nothing, or no end of it, is got rid of.
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), timeout=30) as silent:
            assert "penstock_cache_bytes" in get(address)
            assert silent.recv(1) == b""
        with socket.create_connection((host, int(port)), timeout=30) as talker:
            talker.sendall(b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 2000)
            assert talker.recv(100).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("address", [":0", "127.0.0.1:0", "[::1]:0"])
def test_metrics_on_a_named_address(penstock, master, places, address):
    point, cache = places
    if address.startswith("[") and not pathlib.Path("/proc/net/if_inet6").exists():
        pytest.skip("SKIPPED FOR WANT OF IPv6")
    with mounted(penstock, master, point, cache, "--metrics", address) as mount:
        bound = mount.status()["metrics_address"]
        assert bound.startswith(address.removesuffix("0") if address != ":0" else "127.0.0.1:")
        assert "penstock_mount_info" in get(bound)


def test_metrics_are_off_by_default_and_bad_addresses_are_refused(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache) as mount:
        assert mount.status()["metrics_address"] == ""
    for address in ("nowhere:x", "127.0.0.1:99999", "example.org:80"):
        done = penstock("mount", master, point, "--cache", cache, "--metrics", address, status=2)
        assert "address for metrics" in done.stderr and not os.path.ismount(point)


def test_metrics_file(penstock, master, places, tmp_path):
    point, cache = places
    file = tmp_path / "textfile" / "penstock.prom"
    file.parent.mkdir()
    with mounted(penstock, master, point, cache, "--metrics-file", file, "--metrics", "0") as mount:
        assert os.listdir(file.parent) == [file.name]
        names = {name.split("{")[0] for name in samples(file.read_text())}
        assert names == {name.split("{")[0] for name in samples(get(mount.status()["metrics_address"]))}
        assert file.stat().st_mode & 0o777 == 0o644
    assert os.listdir(file.parent) == []
    done = penstock("mount", master, point, "--cache", cache, "--metrics-file", tmp_path / "none/x.prom",
                    status=1)
    assert "none" in done.stderr and not os.path.ismount(point)


def located(penstock, *paths):
    return [json.loads(line) for line in penstock("locate", *paths, "--json").stdout.splitlines()]


def test_locate(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache):
        here = socket.gethostname()
        (dataset,) = located(penstock, point)
        assert dataset["dataset"] == "proposal/scan" and dataset["nodes"] == [here]
        assert [block["nodes"][0]["state"] for block in dataset["blocks"]] == ["absent"] * 3
        # 16 x 16 frames of 128 KiB in blocks of 12 MiB: 6 rows each.
        assert [block["rows"] for block in dataset["blocks"]] == [[0, 6], [6, 12], [12, 16]]
        assert [block["columns"] for block in dataset["blocks"]] == [[0, 16]] * 3
        assert [block["frames"] for block in dataset["blocks"]] == [[0, 96], [96, 192], [192, 256]]
        assert [block["bytes"] for block in dataset["blocks"]] == sizes(master)
        assert [block["path"] for block in dataset["blocks"]] == [BLOCK.format(block) for block in range(3)]
        (point / BLOCK.format(1)).read_bytes()
        wait_for(lambda: os.getxattr(point / BLOCK.format(1), "user.penstock.state") == b"complete 4/4")
        (block,) = located(penstock, point / BLOCK.format(1))[0]["blocks"]
        assert block["block"] == 1
        assert block["nodes"] == [{"node": here, "state": "complete", "extents_present": 4, "extents": 4}]
        text = penstock("locate", point / "proposal/scan").stdout
        assert text.startswith("proposal/scan\nblock")
        assert re.search(rf"^ +1 +6:12 +0:16 +12\.\d MiB +{here} +- +{BLOCK.format(1)}$", text, re.MULTILINE)
        assert "no dataset here" in penstock("locate", point / "raw", status=1).stderr


def test_attributes(penstock, master, places):
    point, cache = places
    with mounted(penstock, master, point, cache):
        generation = located(penstock, point)[0]["generation"].encode()
        block, dataset = point / BLOCK.format(2), point / "proposal/scan"
        assert penstock_attributes(block) == {
            "state": "absent 0/3", "dataset": "proposal/scan", "generation": generation.decode(), "block": "2"}
        assert os.getxattr(dataset, "user.penstock.state") == b"absent 0/3"
        assert os.getxattr(dataset, "user.penstock.generation") == generation
        block.read_bytes()
        wait_for(lambda: os.getxattr(block, "user.penstock.state") == b"complete 3/3")
        assert os.getxattr(dataset, "user.penstock.state") == b"partial 1/3"
        penstock("warm", point)
        assert os.getxattr(dataset, "user.penstock.state") == b"complete 3/3"


def test_access_log(penstock, master, places, tmp_path):
    point, cache = places
    log = tmp_path / "access.jsonl"

    def lines(count):
        return wait_for(lambda: len(found := log.read_text().splitlines()) >= count
                        and [json.loads(line) for line in found])

    with mounted(penstock, master, point, cache, "--access-log", log) as mount:
        assert log.stat().st_mode & 0o777 == 0o640
        with open(point / BLOCK.format(0), "rb"):
            first = lines(1)
        assert first == [{"time": first[0]["time"], "path": BLOCK.format(0), "uid": os.getuid(),
                          "pid": first[0]["pid"], "command": first[0]["command"], "mode": "served"}]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first[0]["time"])
        assert first[0]["command"] == pathlib.Path("/proc/self/comm").read_text().strip()
        with open(point / "notes.txt", "rb"):
            assert lines(2)[1]["mode"] == "plain"
        if mount.status()["passthrough"]:
            penstock("warm", point)
            with open(point / BLOCK.format(1), "rb"):
                assert lines(3)[2]["mode"] == "passthrough"
        # Moved away by logrotate, then SIGHUP.
        log.rename(tmp_path / "access.jsonl.1")
        os.kill(mount.pid(), signal.SIGHUP)
        wait_for(log.exists)
        with open(point / "raw", "rb"):
            assert [each["path"] for each in lines(1)] == ["raw"]
        assert mount.status()["access_log_drops"] == 0
        mount.wait_for_log("log files are opened again")


def test_access_log_rotates_by_size(penstock, master, places, tmp_path):
    point, cache = places
    log = tmp_path / "access.jsonl"
    with mounted(penstock, master, point, cache, "--access-log", log, "--access-log-size", "1K"):
        old = pathlib.Path(f"{log}.1")
        wait_for(lambda: (point / "notes.txt").read_bytes() and old.exists())
        assert {json.loads(line)["path"] for line in old.read_text().splitlines()} == {"notes.txt"}


def test_check(penstock, store, places, tmp_path):
    point, cache = places
    with mounted(penstock, store, point, cache, "--upstream-timeout", "1") as mount:
        done = penstock("status", cache, "--check")
        assert done.stdout.startswith("healthy: the store answered within ")
        store.rename(tmp_path / "elsewhere")
        done = penstock("status", cache, "--check", status=1)
        assert done.stdout.startswith("not healthy: ") and "store cannot be reached" in done.stdout
        report = json.loads(penstock("status", cache, "--check", "--json", status=1).stdout)
        assert report["healthy"] is False and len(report["problems"]) == 1 and report["store_seconds"] is None
        (tmp_path / "elsewhere").rename(store)
        assert json.loads(penstock("status", cache, "--check", "--json").stdout)["store_seconds"] >= 0
        pid = mount.pid()
    done = penstock("status", cache, "--check", status=1)
    assert "daemon cannot be reached" in done.stderr and pid
