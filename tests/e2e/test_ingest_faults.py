"""`penstock ingest` while things go wrong: killed again and again, system calls that fail, disks that
are full, read-only or have bad sectors, sources that shrink. Each time there is a clear error and no
dataset, and the same command afterwards gives the dataset of an undisturbed ingest, byte for byte.

PENSTOCK_KILLS sets the number of kills (20; tools/soak asks for 200), PENSTOCK_FAULT_ROUNDS the runs
with failing system calls."""

import contextlib
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from ingesting import read_blocks
from stopping import finished_blocks, go_on, stop_among_blocks

KILLS = int(os.environ.get("PENSTOCK_KILLS", "20"))
FAULT_ROUNDS = int(os.environ.get("PENSTOCK_FAULT_ROUNDS", "2"))
ENVIRONMENT = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
FRAMES, SIDE = 1600, 32
BLOCKS = 80  # one per half of a scan row
PAGE = 4096


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "scan.raw"
    np.random.default_rng(3).integers(0, 120, (FRAMES, SIDE, SIDE)).astype("<u2").tofile(path)
    return path


def command(penstock, source, out):
    return [str(penstock.binary), "ingest", str(source), "--to", str(out), "--format", "raw",
            "--sig-shape", f"{SIDE},{SIDE}", "--dtype", "<u2", "--scan-shape", "40,40",
            "--block-size", "64K", "--jobs", "2"]


def run(arguments, **options):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False,
                          **{"env": ENVIRONMENT, **options})


def start(arguments, **options):
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=ENVIRONMENT, **options)


def directories(top):
    return [top, *(p for p in top.rglob("*") if p.is_dir())]


def report_error_of(mount):
    """What the kernel does after an error of the disk: the file system becomes read-only, also for
    files that are open for writing."""
    device = next(line.split()[0] for line in pathlib.Path("/proc/mounts").read_text().splitlines()
                  if line.split()[1] == str(mount))
    switch = pathlib.Path("/sys/fs/ext4") / pathlib.Path(device).name / "trigger_fs_error"
    if not switch.exists():
        pytest.skip(f"SKIPPED: no {switch}, a disk that becomes read-only is not tested")
    switch.write_text("1")


@pytest.fixture(scope="module")
def reference(penstock, source, tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "scan"
    done = run(command(penstock, source, out))
    assert done.returncode == 0, done.stderr
    return contents(out, source)


def contents(dataset, source):
    """All files; the history's own paths are made equal, and what only follows from nexus.json is
    left out."""
    found = {str(p.relative_to(dataset)): p.read_bytes() for p in dataset.rglob("*") if p.is_file()}
    nexus = found["nexus.json"].replace(str(dataset).encode(), b"OUT")
    found["nexus.json"] = nexus.replace(str(source).encode(), b"SOURCE")
    del found["checksums.xxh128"], found["data.nxs"]
    return found


def assert_same(found, reference):
    assert sorted(found) == sorted(reference)
    assert [name for name in reference if reference[name] != found[name]] == []


def assert_nothing_is_left(folder):
    assert [p.name for p in folder.iterdir() if "ingest" in p.name] == []


def test_killed_again_and_again(penstock, tmp_path, source, reference):
    out = tmp_path / "scan"
    arguments = command(penstock, source, out)
    began = time.monotonic()
    assert run(arguments).returncode == 0
    duration = time.monotonic() - began
    shutil.rmtree(out)
    seed = int(os.environ.get("PENSTOCK_SEED", "20261121"))
    chance = random.Random(seed)
    killed = finished = 0
    while killed < KILLS:
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   text=True, env=ENVIRONMENT)
        # Most in the first part of what an undisturbed run takes, some at its end and behind it.
        time.sleep(duration * chance.choice((0.3, 0.6, 1.1)) * chance.random())
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate(timeout=300)
        killed += process.returncode == -signal.SIGKILL
        assert process.returncode in (0, 1, -signal.SIGKILL), f"seed {seed}: {err}"
        if out.exists():
            # It may have been killed between publication and cleaning up.
            done = run(arguments)
            assert done.returncode == 0 or "exists" in done.stderr, f"seed {seed}: {done.stderr}"
            assert_same(contents(out, source), reference)
            assert_nothing_is_left(tmp_path)
            shutil.rmtree(out)
            finished += 1
    done = run(arguments)
    assert done.returncode == 0 or "exists" in done.stderr, f"seed {seed}: {done.stderr}"
    assert_same(contents(out, source), reference)
    assert_nothing_is_left(tmp_path)


# Points of libfiu's POSIX preload: what a failing disk or server does to a system call.
FAULTS = {
    "write": ("posix/io/rw/pwrite", 0.05, "EIO"),
    "full": ("posix/io/rw/pwrite", 0.05, "ENOSPC"),
    "sync": ("posix/io/sync/fsync", 0.05, "EIO"),
    "datasync": ("posix/io/sync/fdatasync", 0.2, "EIO"),
    "rename": ("posix/io/dir/rename", 0.3, "EIO"),
    "read": ("posix/io/rw/pread", 0.02, "EIO"),
    "open": ("posix/io/oc/open", 0.02, "EMFILE"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_system_calls_that_fail(penstock, tmp_path, source, reference, fault):
    if shutil.which("fiu-run") is None:
        pytest.skip("SKIPPED: fiu-run is not installed, failing system calls are not tested")
    point, probability, error = FAULTS[fault]
    out = tmp_path / "scan"
    arguments = command(penstock, source, out)
    number = {"EIO": 5, "ENOSPC": 28, "EMFILE": 24}[error]
    control = f"enable_random name={point},probability={probability},failinfo={number}"
    failures = 0
    for _ in range(10 * FAULT_ROUNDS):
        done = run(["fiu-run", "-x", "-c", control, *arguments])
        assert done.returncode in (0, 1), f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        if done.returncode == 0 or "exists" in done.stderr:
            # No call failed, or one after publication.
            assert_same(contents(out, source), reference)
            shutil.rmtree(out)
            continue
        assert "penstock: " in done.stderr
        # The failure may be that of the last step, behind the rename that publishes.
        assert not out.exists() or run(arguments).returncode == 0, done.stderr
        failures += 1
        if failures >= FAULT_ROUNDS:
            break
    assert failures >= 1
    done = run(arguments)
    assert done.returncode == 0 or "exists" in done.stderr, done.stderr
    assert_same(contents(out, source), reference)
    assert_nothing_is_left(tmp_path)


@contextlib.contextmanager
def loop_mounted(folder, megabytes, *more):
    image, mount = folder / "disk.img", folder / "disk"
    mount.mkdir()
    with open(image, "wb") as file:
        file.truncate(megabytes << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", *more, image], capture_output=True, check=False)
    mounted = made.returncode == 0 and subprocess.run(
        ["mount", "-o", "loop,errors=remount-ro", image, mount], capture_output=True, check=False).returncode == 0
    if not mounted:
        pytest.skip("SKIPPED: no loop device can be mounted here, sick disks are not tested")
    try:
        yield mount, image
    finally:
        subprocess.run(["umount", "-l", mount], check=True)


def pages(path):
    """The first bytes of each page, which tell random pages apart."""
    content = path.read_bytes()
    return [content[at:at + 32].hex() for at in range(0, len(content), PAGE)]


def test_source_with_bad_sectors(penstock, tmp_path):
    """The disk below the source has lost its end, with a quarter of the source. The source is large enough to be read
    directly, and only cold pages meet the disk."""
    large = tmp_path / "large.raw"
    pixels = np.random.default_rng(4).integers(0, 120, (160, 80, SIDE, SIDE)).astype("<u2")
    pixels.tofile(large)
    arguments = command(penstock, large, tmp_path / "out/scan")
    arguments[arguments.index("40,40")] = "160,80"
    with loop_mounted(tmp_path, 64, "-b", str(PAGE)) as (disk, image):
        shutil.copy(large, disk / "large.raw")
        arguments[arguments.index(str(large))] = str(disk / "large.raw")
        subprocess.run(["sync"], check=True)
        # Where the pages of the file lie on the disk.
        pages_of_disk = {page: i for i, page in enumerate(pages(image))}
        places = [pages_of_disk[page] for page in pages(large)]
        at = sorted(places)[3 * len(places) // 4]
        lost = {i for i, place in enumerate(places) if place >= at}
        # Nothing but the file's bytes is to be wanted of the lost part.
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with open(disk / "large.raw", "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        backup = tmp_path / "backup.img"
        shutil.copy(image, backup)
        os.truncate(image, at * PAGE)
        done = run(arguments)
        assert done.returncode == 1, done.stdout
        message = re.search(rf"^penstock: (.*: )?{re.escape(str(disk / 'large.raw'))}: "
                            r"offset (\d+): cannot read: Input/output error\. ", done.stderr, re.M)
        assert message, done.stderr
        assert f"kept in {tmp_path}/out/.scan.ingest: give the same command again" in done.stderr
        # A read of at most 1 MiB from there meets a lost page.
        first = int(message[2]) // PAGE
        assert lost & set(range(first, first + (1 << 20) // PAGE)), (first, min(lost))
        assert not (tmp_path / "out/scan").exists()
        # The disk is repaired: the same command goes on.
        with open(backup, "rb") as good, open(image, "r+b") as bad:
            good.seek(at * PAGE)
            bad.seek(at * PAGE)
            shutil.copyfileobj(good, bad)
        done = run(arguments)
        assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_blocks(tmp_path / "out/scan", pixels.shape, "<u2"), pixels)
    penstock("verify", tmp_path / "out/scan")


def test_destination_that_becomes_read_only(penstock, tmp_path, source, reference):
    with loop_mounted(tmp_path, 64) as (disk, _):
        (disk / "store").mkdir()
        out = disk / "store/scan"
        arguments = command(penstock, source, out)
        process = stop_among_blocks(lambda: start(arguments), out, 4, BLOCKS - 20)
        report_error_of(disk)
        with pytest.raises(OSError, match="Read-only file system"):
            (disk / "new").touch()
        _, err = go_on(process)
        assert process.returncode == 1, err
        # What had been written and not synced may fail in another way than what comes later.
        assert re.search(rf"^penstock: (.*: )?{re.escape(str(out.parent))}/\.scan\.ingest\S*: .*"
                         r"(Read-only file system|Input/output error)", err, re.M), err
        assert not out.exists()
    healthy = tmp_path / "healthy/scan"
    assert run(command(penstock, source, healthy)).returncode == 0
    assert_same(contents(healthy, source), reference)


def test_no_inodes_left(penstock, tmp_path, source, reference):
    with loop_mounted(tmp_path, 64, "-N", "64") as (disk, _):
        out = disk / "store/scan"
        done = run(command(penstock, source, out))
        assert done.returncode == 1
        assert "No space left" in done.stderr and str(disk) in done.stderr
        assert not out.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_destination_that_loses_permission(penstock, tmp_path, source, reference):
    nobody = pwd.getpwnam("nobody")
    folder = pathlib.Path(subprocess.run(["mktemp", "-d", "/tmp/penstock-perm.XXXXXX"],
                                         capture_output=True, text=True, check=True).stdout.strip())
    try:
        shutil.copy(source, folder / "scan.raw")
        shutil.copy(penstock.binary, folder / "penstock")
        (folder / "store").mkdir()
        for path in (folder, *folder.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        out = folder / "store/scan"
        arguments = command(penstock, folder / "scan.raw", out)
        arguments[0] = str(folder / "penstock")
        (folder / "store").chmod(0o555)
        done = run(arguments, user="nobody", cwd=folder)
        assert done.returncode == 1, done.stderr
        assert "Permission denied" in done.stderr and str(folder / "store") in done.stderr
        # In the middle: the staging folder loses its permission.
        (folder / "store").chmod(0o755)
        process = stop_among_blocks(lambda: start(arguments, user="nobody", cwd=folder), out, 2,
                                    BLOCKS - 20)
        staging = folder / "store/.scan.ingest/data.zarr/real/c"
        finished = len(finished_blocks(out))
        for path in directories(staging):
            path.chmod(0o555)
        _, err = go_on(process)
        assert process.returncode == 1, err
        assert re.search(rf"^penstock: (.*: )?{re.escape(str(staging))}\S*: .*Permission denied", err,
                         re.M), err
        assert not out.exists()
        for path in directories(staging):
            path.chmod(0o755)
        done = run(arguments, user="nobody", cwd=folder)
        assert done.returncode == 0, done.stderr
        resumed = re.search(r", (\d+) blocks from before", done.stdout)
        assert resumed and int(resumed[1]) >= finished, done.stdout
        found = contents(out, folder / "scan.raw")
        del found["nexus.json"]  # another program's path and another file's times are in its history
        assert_same(found, {name: reference[name] for name in found})
        assert len(found) == len(reference) - 1
    finally:
        shutil.rmtree(folder)


def test_source_that_shrinks(penstock, tmp_path, source):
    shrinking = tmp_path / "scan.raw"
    shutil.copy(source, shrinking)
    out = tmp_path / "out/scan"
    process = stop_among_blocks(lambda: start(command(penstock, shrinking, out)), out, 2, BLOCKS - 20)
    os.truncate(shrinking, 1_000_000)
    _, err = go_on(process)
    assert process.returncode == 1, err
    message = re.search(rf"^penstock: (.*: )?{re.escape(str(shrinking))}: offset (\d+): "
                        r"the file ends too early; expected at least (\d+) bytes, found (\d+) bytes$",
                        err, re.M)
    assert message, err
    # The two workers read different pieces; the one that fails may begin behind the end.
    offset, expected, found = (int(message[i]) for i in (2, 3, 4))
    assert 1_000_000 <= offset == found < expected <= source.stat().st_size
    assert not out.exists()
