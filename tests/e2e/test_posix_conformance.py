"""Test suites of others, where a mount that is read-only lets them: pjdfstest's cases of a file system that
was remounted read-only, and stress-ng, which looks at files of a mount while it churns the disk of its
cache.

tools/posix-conformance installs them and makes a campaign of it (PENSTOCK_STRESS_SECONDS)."""

import os
import pathlib
import random
import re
import shutil
import subprocess
import time

import pytest

from mount_store import BLOCK, master
from mounting import mounted, need_fuse, wait_for
from power_cut import disk_in, run

need_fuse()

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = float(os.environ.get("PENSTOCK_STRESS_SECONDS", "3"))
NOW = ("--settle-time", "0", "--scrub-every", "0")


def pjdfstest_binary():
    for path in (ROOT / ".cache/pjdfstest/bin/pjdfstest", shutil.which("pjdfstest")):
        if path and os.access(path, os.X_OK):
            return path
    pytest.skip("SKIPPED FOR WANT OF pjdfstest: run tools/posix-conformance, which needs cargo")


CONFIGURATION = """
[features]
utimensat = {}
utime_now = {}
posix_fallocate = {}
[settings]
allow_remount = true
naptime = 0.01
[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
"""

# In the place of mount(8): a case that has the file system remounted read-only gets the penstock mount of
# the same files in its place, and when it has it remounted writable, that is taken away again.
INSTEAD_OF_MOUNT = """#!/bin/sh
case "$2" in
  remount,ro) exec /bin/mount --bind "$PENSTOCK_POINT" "$3" ;;
  remount,rw) exec /bin/umount "$3" ;;
esac
exit 64
"""


def cases(folder, path, secondary, *patterns, instead=None, point=""):
    """What becomes of each case: {name: (outcome, what it says)}."""
    (folder / "pjdfstest.toml").write_text(CONFIGURATION)
    search = f"{instead}:{os.environ['PATH']}" if instead else os.environ["PATH"]
    done = subprocess.run(
        [pjdfstest_binary(), "-c", folder / "pjdfstest.toml", "-p", path, "-s", secondary, *patterns],
        env={**os.environ, "PATH": search, "NO_COLOR": "1", "PENSTOCK_POINT": str(point)},
        capture_output=True, text=True, check=False, timeout=600)
    found, name = {}, None
    for line in done.stdout.splitlines():
        match = re.match(r"(\S+::\S+)\s+(ok|FAILED|skipped)$", line)
        if match:
            name = match.group(1)
            found[name] = (match.group(2), [])
        elif line.startswith("\t") and name:
            found[name][1].append(line.strip())
    assert found, done.stdout + done.stderr
    return {name: (outcome, " ".join(words)) for name, (outcome, words) in found.items()}


def test_pjdfstest_says_the_same_of_a_mount_and_of_ext4(penstock, tmp_path):
    binary = tmp_path / "bin"
    binary.mkdir()
    (binary / "mount").write_text(INSTEAD_OF_MOUNT)
    (binary / "mount").chmod(0o755)
    # One ext4 is the store, below another name as well, where the cases run; another one, read-only, is
    # what they link and rename to.
    (tmp_path / "other").mkdir()
    with disk_in(tmp_path / "store", 64) as store, disk_in(tmp_path / "other", 16) as other:
        assert run("mount", "-o", "remount,ro", other.point).returncode == 0
        of_ext4 = cases(tmp_path, store.point, other.point, "erofs", "exdev")
        cases_at = tmp_path / "cases"
        cases_at.mkdir()
        assert run("mount", "--bind", store.point, cases_at).returncode == 0
        try:
            with mounted(penstock, store.point, tmp_path / "mnt", tmp_path / "cache", *NOW):
                of_mount = cases(tmp_path, cases_at, tmp_path / "mnt", "erofs", "exdev",
                                 instead=binary, point=tmp_path / "mnt")
        finally:
            while run("umount", "-l", cases_at).returncode == 0:
                pass
        for name, outcome in sorted(of_ext4.items()):
            print(f"{name:40} ext4 {outcome[0]:8} penstock {of_mount[name][0]}")
        assert of_mount == of_ext4
        done = [name for name, outcome in of_mount.items() if outcome[0] == "ok"]
        assert len(done) >= 12, of_mount
        failed = {name for name, outcome in of_mount.items() if outcome[0] == "FAILED"}
        # Linux says EROFS before EXDEV.
        assert failed <= {"link::exdev_target"}, of_mount


def stress(*arguments):
    if shutil.which("stress-ng") is None:
        pytest.skip("SKIPPED FOR WANT OF stress-ng: run tools/setup --tests")
    return subprocess.Popen(["stress-ng", "--timeout", str(max(1, round(SECONDS))), "--verify",
                             "--oomable", *map(str, arguments)],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_stress_ng_looks_at_files_and_churns_the_disk_of_the_cache(penstock, master, tmp_path):
    """Every byte that is read meanwhile is right, and when it is over everything is kept."""
    numbers = random.Random(8)
    names = [BLOCK.format(0), BLOCK.format(1), BLOCK.format(2), "raw", "notes.txt"]
    expected = {name: (master / name).read_bytes() for name in names}
    with disk_in(tmp_path, 96) as disk:
        churn = disk.point / "stress"
        churn.mkdir()
        with mounted(penstock, master, tmp_path / "mnt", disk.point / "cache", *NOW) as mount:
            point = mount.point
            programs = [
                # The only one of them that looks at files which it has not made.
                stress("--fstat", 1, "--fstat-dir", point, "--temp-path", tmp_path),
                stress("--hdd", 1, "--hdd-bytes", "40m", "--fallocate", 1, "--fallocate-bytes", "60m",
                       "--dentry", 1, "--dentries", 500, "--temp-path", churn)]
            reads = 0
            end = time.monotonic() + SECONDS
            while time.monotonic() < end or any(each.poll() is None for each in programs):
                name = numbers.choice(names)
                with open(point / name, "rb", buffering=0) as file:
                    at, size = numbers.randrange(len(expected[name])), numbers.choice([100, 70_000, 5 << 20])
                    assert os.pread(file.fileno(), size, at) == expected[name][at:at + size], name
                reads += 1
                if numbers.random() < 0.1:
                    penstock("evict", point, status=None)
            for program in programs:
                said = program.communicate()[0]
                # 2, 3: a stressor could not go on, here for want of room on the small disk.
                assert program.returncode == 0 or (
                    program is programs[1] and program.returncode in (2, 3)), said
                assert "verification failed" not in said.lower(), said
            counters = mount.status()["counters"]
            print(f"{reads} reads in {SECONDS} s; extents not kept: {counters['uncached_extents']}")
            assert counters["verification_failures"] == counters["damaged_cache_extents"] == 0
            shutil.rmtree(churn)
            penstock("evict", point, status=None)

            def kept():
                before = mount.counter("fetched_bytes")
                for name in names[:3]:
                    assert (point / name).read_bytes() == expected[name]
                return mount.counter("fetched_bytes") == before
            wait_for(kept)
