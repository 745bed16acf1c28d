"""`penstock watch FOLDER --to STORE`: acquisitions become datasets once they are finished."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time

import numpy as np
import pytest
import zarr

from acquisitions import frames, hdr_text, mib_bytes, write_mib
from waiting import wait_for

QUIET = 0.4


class Watch:
    def __init__(self, penstock, folder, *options, quiet=QUIET, env=None):
        self.folder, self.store = folder / "in", folder / "store"
        self.status_file, self.metrics_file = folder / "status.json", folder / "penstock.prom"
        self.folder.mkdir(exist_ok=True)
        self.log = open(folder / "log", "a+")
        self.process = subprocess.Popen(
            [str(penstock.binary), "watch", self.folder, "--to", self.store, "--quiet", str(quiet),
             "--rescan", "2", "--status-file", self.status_file, "--metrics-file",
             self.metrics_file, *map(str, options)],
            stderr=self.log, env={**os.environ, "JOURNAL_STREAM": self.journal_stream(), **(env or {})})

    def journal_stream(self):
        """As systemd names the stream that it gave to a service."""
        status = os.fstat(self.log.fileno())
        return f"{status.st_dev}:{status.st_ino}"

    def read_status(self):
        """None before it was written for the first time."""
        with contextlib.suppress(FileNotFoundError):
            return json.loads(self.status_file.read_text())
        return None

    def status(self):
        return wait_for(self.read_status)

    def metrics(self):
        with contextlib.suppress(FileNotFoundError):
            return self.metrics_file.read_text()
        return ""

    def open(self, name):
        """The acquisition that is neither done nor forgotten whose source has this name."""
        for one in self.status()["open"]:
            if one["source"].endswith(name):
                return one
        return None

    def dataset(self, name):
        return wait_for(lambda: (self.store / name / "nexus.json").exists() and self.store / name)

    def stop(self, number=signal.SIGTERM, status=0):
        self.process.send_signal(number)
        assert self.process.wait(120) == status
        self.log.seek(0)
        return self.log.read()


@pytest.fixture
def watch(penstock, tmp_path):
    started = []

    def start(*options, **more):
        started.append(Watch(penstock, tmp_path, *options, **more))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def stored(dataset):
    return zarr.open_array(dataset / "data.zarr/real", mode="r")[...]


def run_until_idle(penstock, tmp_path, *options, status=0):
    (tmp_path / "in").mkdir(exist_ok=True)
    return penstock("watch", tmp_path / "in", "--to", tmp_path / "store", "--quiet", 0.1,
                    "--until-idle", "--status-file", tmp_path / "status.json", *options,
                    status=status)


def test_finished_acquisitions_are_taken_and_growing_ones_are_not(watch, tmp_path):
    stack = frames(12)
    write_mib(tmp_path / "in/before.mib", stack, columns=4)
    service = watch()
    np.testing.assert_array_equal(stored(service.dataset("before")).reshape(12, 8, 6), stack)

    # Written in pieces; the header, which tells of all frames, is there from the start.
    folder = service.folder / "session 1"
    folder.mkdir()
    (folder / "scan.hdr").write_text(hdr_text(12, 4))
    data = mib_bytes(stack)
    with open(folder / "scan.mib", "wb") as file:
        for i in range(6):
            file.write(data[i * len(data) // 6:(i + 1) * len(data) // 6])
            file.flush()
            time.sleep(QUIET / 3)
            assert not (service.store / "session 1").exists()
    np.testing.assert_array_equal(stored(service.dataset("session 1/scan")).reshape(12, 8, 6), stack)
    wait_for(lambda: service.status()["ingested"] == 2)
    wait_for(lambda: "penstock_watch_ingested_total 2" in service.metrics())
    service.stop()


def test_an_interrupted_scan_fails_until_its_frames_come(watch, tmp_path):
    stack = frames(12)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/scan.hdr").write_text(hdr_text(12, 4))
    (tmp_path / "in/scan.mib").write_bytes(mib_bytes(stack[:7]))
    service = watch()
    failed = wait_for(lambda: (found := service.open("scan.hdr")) and found["state"] == "failed" and found)
    assert "fewer frames" in failed["reason"]
    failures = service.status()["failures"]
    time.sleep(4 * QUIET)
    assert service.status()["failures"] == failures  # not tried again for nothing
    (tmp_path / "in/scan.mib").write_bytes(mib_bytes(stack))
    np.testing.assert_array_equal(stored(service.dataset("scan")).reshape(12, 8, 6), stack)
    wait_for(lambda: service.status()["acquisitions"]["failed"] == 0)
    service.stop()


def test_without_its_mark_an_acquisition_is_waited_for_longer(watch, tmp_path):
    write_mib(tmp_path / "in/scan.mib", frames(4))
    # So long that the state in between is seen.
    service = watch(quiet=3)
    waiting = wait_for(lambda: (found := service.open("scan.mib")) and
                       "hdr" in found.get("reason", "") and found)
    assert waiting["state"] == "waiting" and not (service.store / "scan").exists()
    service.dataset("scan")
    service.stop()


def test_a_restart_takes_only_what_is_new(penstock, tmp_path):
    write_mib(tmp_path / "in/a.mib", frames(4), columns=2)
    run_until_idle(penstock, tmp_path)
    before = (tmp_path / "store/a/nexus.json").stat()
    shutil.rmtree(tmp_path / "store/.penstock")  # nothing is remembered there
    write_mib(tmp_path / "in/b.mib", frames(4, seed=2), columns=2)
    run_until_idle(penstock, tmp_path)
    after = (tmp_path / "store/a/nexus.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert (tmp_path / "store/b/nexus.json").exists()
    assert json.loads((tmp_path / "status.json").read_text())["ingested"] == 1


def test_rules(penstock, tmp_path):
    (tmp_path / "profile.json").write_text('{"sample/name": "gold"}')
    rules = [
        {"match": "*/calibration/*", "ignore": True},
        {"match": "raw/*.bin", "format": "raw", "sig_shape": [8, 6], "dtype": "uint16",
         "scan_shape": "2,3", "sync_offset": 0, "profile": str(tmp_path / "profile.json")},
        {"match": "*.mib", "comment": "the rest", "missing": "zero", "block_size": "64K",
         "name": "{format}/{date}/{folder}-{name}"},
    ]
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    write_mib(tmp_path / "in/day/calibration/flat.mib", frames(4), columns=2)
    scan = write_mib(tmp_path / "in/day/scan.mib", frames(4), columns=2)
    os.utime(scan.with_suffix(".hdr"), (1_700_000_000,) * 2)
    os.utime(scan, (1_700_000_000,) * 2)
    (tmp_path / "in/raw").mkdir()
    frames(6).tofile(tmp_path / "in/raw/x.bin")
    (tmp_path / "in/raw/x.log").write_text("no rule for this")
    run_until_idle(penstock, tmp_path, "--rules", tmp_path / "rules.json")
    found = sorted(str(p.parent.relative_to(tmp_path / "store"))
                   for p in (tmp_path / "store").rglob("nexus.json"))
    assert found == ["mib/2023-11-14/day-scan", "raw/x"]
    assert stored(tmp_path / "store/raw/x").shape == (2, 3, 8, 6)
    nexus = json.loads((tmp_path / "store/raw/x/nexus.json").read_text())
    assert nexus["entry1"]["sample"]["name"] == "gold"


@pytest.mark.parametrize("text, expected", [
    ("{", "not JSON"),
    ("{}", "not a list of rules"),
    ('[{"scan_shape": [2, 2]}]', "key 'match'"),
    ('[{"match": "*"}, {"match": "*", "scan_shap": 1}]', "rule 2, key 'scan_shap'"),
    ('[{"match": "*", "missing": "maybe"}]', "key 'missing'"),
    ('[{"match": "*", "replace": "yes"}]', "key 'replace'"),
    ('[{"match": "*", "sync_offset": "two"}]', "key 'sync_offset'"),
    ('[{"match": "*", "scan_shape": [2.5, 2]}]', "key 'scan_shape'"),
    ('[{"match": "*", "scan_shape": "0,2"}]', "rule 1"),
    ('[{"match": "*", "name": "{nam}"}]', "key 'name'"),
    ('[{"match": "*", "profile": "/does/not/exist"}]', "/does/not/exist"),
])
def test_bad_rules_are_refused_with_file_and_key(penstock, tmp_path, text, expected):
    (tmp_path / "rules.json").write_text(text)
    (tmp_path / "in").mkdir()
    done = penstock("watch", tmp_path / "in", "--to", tmp_path / "store", "--rules",
                    tmp_path / "rules.json", status=None)
    assert done.returncode in (1, 2)
    assert expected in done.stderr and "rules.json" in done.stderr


def test_reload_by_hangup(watch, tmp_path):
    rules = tmp_path / "rules.json"
    rules.write_text('[{"match": "*.npy"}]')
    write_mib(tmp_path / "in/scan.mib", frames(4), columns=2)
    service = watch("--rules", rules)
    wait_for(lambda: service.status()["rule_count"] == 1)
    rules.write_text("broken")
    service.process.send_signal(signal.SIGHUP)
    assert "not JSON" in wait_for(lambda: service.status().get("rules_error"))
    assert not (service.store / "scan").exists()
    rules.write_text('[{"match": "*.mib"}, {"match": "*.npy"}]')
    service.process.send_signal(signal.SIGHUP)
    service.dataset("scan")
    wait_for(lambda: "rules_error" not in service.status())
    service.stop()


def test_stopped_in_the_middle_it_continues(penstock, watch, tmp_path):
    stack = frames(800, 64, 64)
    write_mib(tmp_path / "in/big.mib", stack, columns=20)
    rules = tmp_path / "rules.json"
    rules.write_text('[{"match": "*", "block_size": "1M"}]')
    service = watch("--rules", rules, "--jobs", 1)
    wait_for(lambda: list(service.store.glob(".big.ingest/**/c/*/0/0/0")))
    service.stop()
    assert not (service.store / "big").exists() or (service.store / "big/nexus.json").exists()
    run_until_idle(penstock, tmp_path, "--rules", rules)
    np.testing.assert_array_equal(stored(tmp_path / "store/big").reshape(stack.shape), stack)
    assert not [p for p in (tmp_path / "store").iterdir() if "ingest" in p.name]


def test_one_failure_does_not_stop_the_others(penstock, tmp_path):
    write_mib(tmp_path / "in/good.mib", frames(4), columns=2)
    (tmp_path / "in/bad.mib").write_bytes(b"MQ1,nonsense" * 50)
    (tmp_path / "in/notes.txt").write_text("hello")
    run_until_idle(penstock, tmp_path, status=1)
    status = json.loads((tmp_path / "status.json").read_text())
    assert (tmp_path / "store/good/nexus.json").exists()
    assert status["acquisitions"]["failed"] == 1 and status["unknown_files"] == 1


def test_the_service_manager_is_told(watch, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(120)
        service = watch(env={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"})
        told = ""
        while "READY=1" not in told or "WATCHDOG=1" not in told:
            told += listener.recv(4096).decode() + "\n"
        log = service.stop()
        while "STOPPING=1" not in told:
            told += listener.recv(4096).decode() + "\n"
    assert "STATUS=watching" in told
    assert log.startswith("<6>")
