"""penstock mount in the foreground under a service manager: notifications, watchdog, reload."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import pytest

from conftest import ROOT
from mount_store import master, places, store
from mounting import assert_same_tree, is_mounted, need_fuse, wait_for

need_fuse()


class Manager:
    """The notify socket of systemd."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(120)
        self.path = path

    def receive(self):
        return dict(line.split("=", 1) for line in self.socket.recv(65536).decode().splitlines())

    def until(self, name):
        """Messages up to the first that sets `name`, that one included."""
        messages = []
        while not messages or name not in messages[-1]:
            messages.append(self.receive())
        return messages


@contextlib.contextmanager
def service(penstock, manager, master, point, cache, *options, watchdog=None, under=()):
    point.mkdir(exist_ok=True)
    environment = {**os.environ, "NOTIFY_SOCKET": str(manager.path)}
    environment.pop("WATCHDOG_PID", None)
    if watchdog:
        environment["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
    process = subprocess.Popen([*under, penstock.binary, "mount", master, point, "--cache", cache, "--reserve", "0",
                                "--foreground", *options], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=120)
        if is_mounted(point):
            subprocess.run(["umount", "-l", str(point)], check=False)


def test_ready_reload_stopping(penstock, master, places, tmp_path):
    point, cache = places
    manager = Manager(tmp_path / "notify")
    log = tmp_path / "access.jsonl"
    with service(penstock, manager, master, point, cache, "--access-log", log) as process:
        (first,) = manager.until("READY")
        assert first["READY"] == "1" and first["STATUS"].startswith(f"{master} on {point}: 0 blocks")
        assert is_mounted(point) and os.listdir(point)  # ready means that it answers
        log.rename(tmp_path / "old")
        process.send_signal(signal.SIGHUP)
        reloading, ready = manager.until("RELOADING") + manager.until("READY")
        assert reloading["RELOADING"] == "1" and int(reloading["MONOTONIC_USEC"]) > 0
        assert ready == {"READY": "1"} and is_mounted(point)
        wait_for(log.exists)
        process.terminate()
        assert manager.until("STOPPING")[-1]["STOPPING"] == "1"
        assert process.wait(timeout=120) == 0
    assert not is_mounted(point)


def test_watchdog_is_fed_while_the_mount_lives(penstock, master, places, tmp_path):
    point, cache = places
    manager = Manager(tmp_path / "notify")
    with service(penstock, manager, master, point, cache, watchdog=0.5) as process:
        manager.until("READY")
        for _ in range(3):
            assert manager.until("WATCHDOG")[-1] == {"WATCHDOG": "1"}
        # A daemon that is stopped says nothing more.
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        manager.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                manager.socket.recv(65536)
        with pytest.raises(BlockingIOError):
            manager.socket.recv(65536)
        manager.socket.settimeout(120)
        process.send_signal(signal.SIGCONT)
        manager.until("WATCHDOG")


def test_watchdog_is_fed_while_the_store_stalls(penstock, places, tmp_path, store):
    """A store that does not answer is no reason to kill the daemon: the store is itself a mount here, whose
    daemon is stopped."""
    point, cache = places
    below, below_cache = tmp_path / "below", tmp_path / "below-cache"
    below.mkdir()
    manager = Manager(tmp_path / "notify")
    with service(penstock, Manager(tmp_path / "other"), store, below, below_cache) as lower:
        wait_for(lambda: is_mounted(below))
        with service(penstock, manager, below, point, cache, "--upstream-timeout", "1", watchdog=0.5):
            manager.until("READY")
            lower.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, lower.pid, os.WSTOPPED)
            try:
                with pytest.raises(OSError):
                    (point / "raw").read_bytes()
                for _ in range(3):
                    manager.until("WATCHDOG")
            finally:
                lower.send_signal(signal.SIGCONT)
            wait_for(lambda: (point / "raw").stat().st_size == 3_000_001)


def test_unmounting_from_outside_ends_the_service(penstock, master, places, tmp_path):
    point, cache = places
    manager = Manager(tmp_path / "notify")
    with service(penstock, manager, master, point, cache) as process:
        manager.until("READY")
        subprocess.run(["umount", str(point)], check=True)
        manager.until("STOPPING")
        assert process.wait(timeout=120) == 0


@pytest.mark.parametrize("to_journal", [True, False])
def test_log_lines_for_the_journal(penstock, master, places, tmp_path, to_journal):
    point, cache = places
    point.mkdir()
    log = tmp_path / "stderr"
    with open(log, "wb") as stream:
        status = os.fstat(stream.fileno())
        # systemd names the stream that it gave; another one is not the journal.
        name = f"{status.st_dev}:{status.st_ino + (not to_journal)}"
        with subprocess.Popen([penstock.binary, "mount", master, point, "--cache", cache, "--foreground"],
                              stderr=stream, env={**os.environ, "JOURNAL_STREAM": name}) as process:
            wait_for(lambda: "is mounted on" in log.read_text())
            process.terminate()
        lines = log.read_text().splitlines()
    assert lines and all(line.startswith("<6>") == to_journal for line in lines), lines


def passthrough_and_view(penstock, cache):
    status = json.loads(penstock("status", cache, "--json").stdout)
    return status["passthrough"], status["read_only_view"]


def test_what_the_unit_leaves_to_the_daemon_is_enough(penstock, master, places, tmp_path):
    """With the capabilities of the unit, and without new privileges, the mount is as good as with all."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("SKIPPED FOR WANT OF ROOT OR setpriv")
    unit = (ROOT / "tools/systemd/penstock-mount@.service.in").read_text()
    (capabilities,) = re.findall(r"^CapabilityBoundingSet=(.+)$", unit, re.MULTILINE)
    kept = ",".join("+" + name.removeprefix("CAP_").lower() for name in capabilities.split())
    point, cache = places
    (tmp_path / "all").mkdir()
    with service(penstock, (manager := Manager(tmp_path / "all/notify")), master, tmp_path / "all/mnt",
                 tmp_path / "all/cache"):
        manager.until("READY")
        expected = passthrough_and_view(penstock, tmp_path / "all/cache")
    manager = Manager(tmp_path / "notify")
    with service(penstock, manager, master, point, cache, under=(
            "setpriv", "--no-new-privs", "--bounding-set", f"-all,{kept}")) as process:
        manager.until("READY")
        bounding = re.search(r"^CapBnd:\s+(\w+)$", pathlib.Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
        # (The tests' own root may have fewer.)
        assert 0 < bin(int(bounding[1], 16)).count("1") <= len(capabilities.split())
        penstock("warm", point)
        assert_same_tree(master, point)
        assert passthrough_and_view(penstock, cache) == expected
    assert not is_mounted(point)


def test_a_mount_name_space_of_its_own_hides_the_mount(penstock, master, places, tmp_path):
    """Why the unit has none of the options that give a service one."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("SKIPPED FOR WANT OF ROOT OR unshare")
    point, cache = places
    manager = Manager(tmp_path / "notify")
    with service(penstock, manager, master, point, cache, under=(
            "unshare", "--mount", "--propagation", "slave")) as process:
        manager.until("READY")
        assert str(point) in pathlib.Path(f"/proc/{process.pid}/mountinfo").read_text()
        assert not is_mounted(point) and os.listdir(point) == []
