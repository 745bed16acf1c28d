"""The installed units under a real systemd: a mount, its automount, a watched folder."""

import json
import os
import pathlib
import subprocess
import time

import numpy as np
import pytest

from ingesting import make_frames, write_mib
from mount_store import BLOCK, master
from mounting import need_fuse
from systemd_machine import systemd_machine
from waiting import wait_for

need_fuse()

UNIT = "penstock-mount@scans"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def machine(penstock, tmp_path_factory, shared):
    with systemd_machine(tmp_path_factory.mktemp("machine"), shared) as up:
        build = pathlib.Path(penstock.binary).resolve().parents[2]
        subprocess.run(["cmake", "--install", build, "--prefix", "/usr"], check=True, capture_output=True,
                       env={**os.environ, "DESTDIR": str(up.root)})
        # (The units name the prefix that the build was configured with.)
        up.run("sh", "-c", "mkdir -p /usr/local/bin && ln -sf /usr/bin/penstock /usr/local/bin/penstock")
        up.run("systemctl", "daemon-reload")
        yield up


@pytest.fixture
def unit(machine, master, shared, tmp_path):
    """The mount as a service; what is shared lies on a disk, so that it may pass through."""
    place = shared / tmp_path.name
    place.mkdir()
    subprocess.run(["cp", "-a", master, place / "store"], check=True)
    (place / "mnt").mkdir()
    machine.write("/etc/penstock/scans.conf", f"store = {place / 'store'}\nmountpoint = {place / 'mnt'}\n"
                                              f"cache = {place / 'cache'}\nreserve = 0\n")
    machine.write(f"/etc/systemd/system/{UNIT}.service.d/test.conf",
                  "[Service]\nWatchdogSec=3\nRestartSec=100ms\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", UNIT)
    yield place
    machine.run("systemctl", "stop", UNIT)
    machine.run("systemctl", "reset-failed", status=None)


def main_pid(machine):
    return int(machine.show(UNIT, "MainPID"))


def status_of(machine, place):
    return json.loads(machine.run("penstock", "status", place / "cache", "--json"))


def sum_of(machine, path):
    return machine.run("sha1sum", path).split()[0]


def test_started_and_stopped(machine, unit):
    assert machine.show(UNIT, "ActiveState") == "active"
    assert machine.show(UNIT, "StatusText").startswith(f"{unit / 'store'} on {unit / 'mnt'}")
    # Everybody sees the mount, not the service alone.
    block = unit / "mnt" / BLOCK.format(1)
    assert sum_of(machine, block) == sum_of(machine, unit / "store" / BLOCK.format(1))
    machine.run("penstock", "warm", unit / "mnt")
    # What the unit takes away costs no speed.
    by_hand = unit / "by-hand"
    by_hand.mkdir()
    machine.run("penstock", "mount", unit / "store", by_hand, "--cache", unit / "by-hand-cache", "--reserve", "0")
    try:
        other = json.loads(machine.run("penstock", "status", unit / "by-hand-cache", "--json"))
    finally:
        machine.run("penstock", "unmount", unit / "by-hand-cache")
    own = status_of(machine, unit)
    for what in ("passthrough", "read_only_view"):
        assert own[what] == other[what], what
    machine.run("systemctl", "stop", UNIT)
    assert machine.show(UNIT, "Result") == "success"
    assert machine.run("ls", unit / "mnt") == ""
    machine.run("systemctl", "start", UNIT)
    assert status_of(machine, unit)["datasets"][0]["complete_blocks"] == 3


def test_without_openat2(machine, unit):
    """RestrictSUIDSGID takes that call away: slower ones do, and links lead nowhere all the same."""
    (unit / "outside").write_text("outside")
    os.symlink("..", unit / "store/up")
    drop_in = f"/etc/systemd/system/{UNIT}.service.d/restrict.conf"
    machine.write(drop_in, "[Service]\nRestrictSUIDSGID=yes\n")
    try:
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", UNIT)
        assert sum_of(machine, unit / "mnt" / BLOCK.format(1)) == sum_of(machine, unit / "store" / BLOCK.format(1))
        assert machine.run("readlink", unit / "mnt/up") == ".."
        assert machine.run("ls", unit / "mnt/proposal") == "scan"
    finally:
        (machine.root / drop_in.lstrip("/")).unlink()
        machine.run("systemctl", "daemon-reload")


def test_reload_puts_another_daemon_in_its_place(machine, unit):
    before = main_pid(machine)
    block = unit / "mnt" / BLOCK.format(2)
    # What is open goes on.
    reader = subprocess.Popen(["nsenter", f"--target={machine.pid}", "--mount", "--pid", "--root", "--wd", "python3", "-c", (
        "import hashlib, sys\n"
        f"file = open({str(block)!r}, 'rb', buffering=0)\n"
        "first = file.read(1000)\n"
        "print('open', flush=True)\n"
        "sys.stdin.readline()\n"
        "data = first\n"
        "while more := file.read(1 << 20): data += more\n"
        "print(hashlib.sha1(data).hexdigest())\n")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert reader.stdout.readline() == "open\n"
        machine.run("systemctl", "reload", UNIT)
        wait_for(lambda: main_pid(machine) not in (0, before))
        assert machine.show(UNIT, "ActiveState") == "active"
        out, _ = reader.communicate("go on\n", timeout=120)
        assert out.strip() == sum_of(machine, unit / "store" / BLOCK.format(2))
    finally:
        reader.kill()
        reader.wait()
    # systemd has taken it for its own: it feeds the watchdog, and is stopped with the unit.
    time.sleep(4)
    assert machine.show(UNIT, "ActiveState") == "active" and machine.show(UNIT, "NRestarts") == "0"
    successor = main_pid(machine)
    assert status_of(machine, unit)["pid"] == successor
    machine.run("systemctl", "stop", UNIT)
    assert machine.show(UNIT, "Result") == "success"
    assert machine.run("ls", unit / "mnt") == ""
    assert not pathlib.Path(f"{machine.root}/proc/{successor}").exists()


@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_a_daemon_that_is_killed_or_hangs_is_started_anew(machine, unit, signal):
    """KILL: ended. STOP: it feeds the watchdog no more."""
    before = main_pid(machine)
    assert sum_of(machine, unit / "mnt" / BLOCK.format(1)) == sum_of(machine, unit / "store" / BLOCK.format(1))
    machine.run("kill", f"-{signal}", before)
    wait_for(lambda: machine.show(UNIT, "ActiveState") == "active" and main_pid(machine) not in (0, before))
    assert machine.show(UNIT, "NRestarts") == "1"
    assert sum_of(machine, unit / "mnt" / BLOCK.format(1)) == sum_of(machine, unit / "store" / BLOCK.format(1))


def test_mounted_when_somebody_looks(machine, master, shared):
    """A line of fstab, and systemd's automount."""
    if not os.path.exists("/dev/autofs"):
        pytest.skip("SKIPPED: THIS KERNEL HAS NO AUTOFS")
    place = shared / "automount"
    place.mkdir()
    point = place / "mnt"
    point.mkdir()
    subprocess.run(["cp", "-a", master, place / "store"], check=True)
    machine.write("/etc/fstab", f"{place / 'store'} {point} penstock noauto,x-systemd.automount,_netdev,"
                                f"cache={place / 'cache'},reserve=0 0 0\n")
    machine.run("systemctl", "daemon-reload")
    unit = machine.run("systemd-escape", "--path", point)
    machine.run("systemctl", "start", f"{unit}.automount")
    assert machine.show(f"{unit}.mount", "ActiveState") == "inactive"
    assert sum_of(machine, point / BLOCK.format(0)) == sum_of(machine, place / "store" / BLOCK.format(0))
    assert machine.show(f"{unit}.mount", "ActiveState") == "active"
    machine.run("systemctl", "stop", f"{unit}.automount", f"{unit}.mount")
    assert machine.show(f"{unit}.mount", "ActiveState") == "inactive"
    assert machine.run("ls", point) == ""


def test_a_watched_folder(machine, shared):
    place = shared / "watch"
    (place / "in").mkdir(parents=True)
    (place / "store").mkdir()
    (place / "rules.json").write_text(json.dumps([{"match": "*.mib", "scan_shape": "4,5"}]))
    inside = pathlib.Path("/srv/shared/watch")  # the unit has a /tmp of its own
    machine.write("/etc/penstock/watch-hall.conf", f"FOLDER={inside / 'in'}\nSTORE={inside / 'store'}\n"
                                                   f"RULES={inside / 'rules.json'}\nOPTIONS=--quiet 1 --jobs 1\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "penstock-watch@hall")
    try:
        frames = make_frames(20, 16, 16, np.dtype(">u2"))
        write_mib(place / "in/scan.mib", frames, range(1, 21))
        wait_for(lambda: list(place.glob("store/**/nexus.json")))
        assert machine.show("penstock-watch@hall", "ActiveState") == "active"
        machine.run("systemctl", "reload", "penstock-watch@hall")
        status = json.loads(machine.run("cat", "/run/penstock-watch-hall/status.json"))
        assert status
    finally:
        machine.run("systemctl", "stop", "penstock-watch@hall")
    assert machine.show("penstock-watch@hall", "Result") == "success"
