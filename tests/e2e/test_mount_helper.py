"""mount -t penstock and lines of fstab, through /sbin/mount.penstock as mount(8) calls it."""

import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from mount_store import BLOCK, master, places
from mounting import assert_same_tree, is_mounted, need_fuse, wait_for_end

need_fuse()

HELPERS = (pathlib.Path("/sbin/mount.penstock"), pathlib.Path("/sbin/mount.fuse.penstock"))


@pytest.fixture(scope="module", autouse=True)
def helpers(penstock):
    """mount(8) looks for its helpers in /sbin only. A helper that is installed is put back."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("SKIPPED FOR WANT OF ROOT: mount(8) WAS NOT TRIED")
    kept = {}
    # Another run of the tests on this machine waits for its turn.
    with open(pathlib.Path(tempfile.gettempdir()) / "penstock-mount-helper.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path in HELPERS:
            if path.is_symlink() or path.exists():
                kept[path] = path.with_name(f".{path.name}.kept")
                path.rename(kept[path])
            path.symlink_to(penstock.binary)
        yield
        for path in HELPERS:
            path.unlink()
            if path in kept:
                kept[path].rename(path)


def mount(*arguments, status=0):
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == status, (arguments, done.stdout, done.stderr)
    return done


def unmount(point, cache):
    pid = json.loads((cache.parent / "status.json").read_text())["pid"]
    subprocess.run(["umount", str(point)], check=True, timeout=120)
    assert not is_mounted(point)
    wait_for_end(pid)


def options_of(point):
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        if line.split()[4] == str(point):
            return line.split()[5].split(",")
    return None


@pytest.fixture
def mountable(penstock, places):
    point, cache = places
    point.mkdir()
    yield point, cache
    if is_mounted(point):
        subprocess.run(["umount", "-l", str(point)], check=False)


def remember(penstock, cache):
    status = json.loads(penstock("status", cache, "--json").stdout)
    (cache.parent / "status.json").write_text(json.dumps(status))
    return status


@pytest.mark.parametrize("kind", ["penstock", "fuse.penstock"])
def test_mount_t(penstock, master, mountable, kind):
    point, cache = mountable
    mount("-t", kind, master, point, "-o",
          f"cache={cache},cache_size=200G,reserve=0,no-passthrough,_netdev,x-systemd.automount,noatime")
    status = remember(penstock, cache)
    assert status["limit_bytes"] == 200 << 30 and not status["passthrough"]
    assert (point / "notes.txt").read_text() == (master / "notes.txt").read_text()
    assert {"ro", "nosuid", "nodev"} <= set(options_of(point)) and "noexec" not in options_of(point)
    unmount(point, cache)


def test_fstab_with_noexec_and_users(penstock, master, mountable, tmp_path):
    point, cache = mountable
    fstab = tmp_path / "fstab"
    fstab.write_text(f"{master} {point} penstock "
                     f"ro,user,noauto,_netdev,nofail,cache={cache},reserve=0,upstream_timeout=12 0 0\n")
    mount("--fstab", fstab, point)
    status = remember(penstock, cache)
    assert status["upstream_timeout_seconds"] == 12
    assert "noexec" in options_of(point)  # "user" means that, too
    assert_same_tree(master, point)
    assert options_of(point) is not None
    unmount(point, cache)


def test_a_configuration_file_by_an_option(penstock, master, mountable, tmp_path):
    point, cache = mountable
    (tmp_path / "mount.conf").write_text(f"cache = {cache}\nreserve = 0\ncache-size = 1G\n")
    mount("-t", "penstock", master, point, "-o", f"config={tmp_path / 'mount.conf'}")
    assert remember(penstock, cache)["limit_bytes"] == 1 << 30
    unmount(point, cache)


def test_fake_and_verbose(penstock, master, mountable):
    point, cache = mountable
    # mount(8) does not call the helper for -f; what calls the helper itself may.
    done = subprocess.run([HELPERS[0], master, point, "-fv", "-o", f"rw,cache={cache}"], capture_output=True,
                          text=True, check=True)
    assert done.stdout == f"penstock mount {master} {point} --cache={cache}\n"
    assert not is_mounted(point) and not cache.exists()


@pytest.mark.parametrize("options, words, status", [
    ("cache=CACHE,cache_sise=5G", "no such mount option", 1), ("cache=CACHE,remount", "cannot be remounted", 1),
    ("cache=CACHE,cache_size", "cache-size=VALUE", 1), ("cache=CACHE,no_passthrough=yes", "no-passthrough", 1),
    ("noatime", "--cache is missing", 1), ("cache=CACHE,cache_size=many", "many", 1),
    ("cache=MNT/x", "inside the mountpoint", 1)])
def test_what_is_refused(master, mountable, options, words, status):
    point, cache = mountable
    options = options.replace("CACHE", str(cache)).replace("MNT", str(point))
    done = subprocess.run([HELPERS[0], master, point, "-o", options], capture_output=True, text=True, check=False)
    assert words in done.stderr and done.returncode == status
    assert not is_mounted(point)


def test_sloppy_and_failures(master, mountable, tmp_path):
    point, cache = mountable
    done = subprocess.run([HELPERS[0], tmp_path / "none", point, "-s", "-o", f"cache={cache},whatever=1"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 32 and "cannot be reached" in done.stderr
    assert mount("-t", "penstock", master, tmp_path / "nowhere", "-o", f"cache={cache}", status=32).stderr
    done = subprocess.run([HELPERS[0], master], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "what to mount where" in done.stderr
