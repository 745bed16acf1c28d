"""penstock bugreport of mounts that live, are dead, or hang."""

import json
import os
import pathlib
import signal
import tarfile
import tempfile

import pytest

from mount_store import BLOCK, alive, master, places
from mounting import Mount, mounted, need_fuse, wait_for

need_fuse()


def report(penstock, path, out):
    """{name: text}"""
    done = penstock("bugreport", path, "-o", out)
    assert done.stdout.startswith(f"{out}\n")
    assert out.stat().st_mode & 0o077 == 0
    with tarfile.open(out) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
        assert {member.name.split("/")[0].startswith("penstock-bugreport-") for member in files} == {True}
        return {member.name.split("/")[1]: archive.extractfile(member).read().decode() for member in files}


def test_of_a_mount_that_lives(penstock, master, places, tmp_path):
    point, cache = places
    point.mkdir()
    (tmp_path / "mount.conf").write_text(f"store = {master}\nmountpoint = {point}\ncache = {cache}\nreserve = 0\n"
                                         "# s3-secret-key = hush\n# proxy = http://user:word@host/x\n")
    try:
        penstock("mount", "--config", tmp_path / "mount.conf")
        penstock("warm", point)
        pid = json.loads(penstock("status", cache, "--json").stdout)["pid"]
        for path in (point, point / "proposal/scan", cache):
            files = report(penstock, path, tmp_path / "report.tar.gz")
            assert sorted(files) == ["cache.txt", "configuration.txt", "mounts.txt", "penstock.log", "process.txt",
                                     "status.json", "system.txt"]
            status = json.loads(files["status.json"])
            assert status["pid"] == pid and status["cached_blocks"] == 3
            assert status["database"]["estimate-num-keys"] >= 3
            assert f"shows {master} on {point}" in files["penstock.log"] and str(point) in files["mounts.txt"]
            assert "replica files: 3" in files["cache.txt"] and "CURRENT" in files["cache.txt"]
            assert "Max open files" in files["process.txt"] and "Threads:" in files["process.txt"]
            assert os.uname().release in files["system.txt"] and "libfuse3" in files["system.txt"]
            assert f"cache = {cache}" in files["configuration.txt"]
            assert "REDACTED" in files["configuration.txt"]
            assert "hush" not in str(files) and "word@" not in str(files)
        assert sum(map(len, files.values())) < 1 << 20  # no data
    finally:
        penstock("unmount", cache)


def test_of_a_dead_daemon(penstock, master, places, tmp_path):
    point, cache = places
    mount = Mount(penstock, master, point, cache).start()
    try:
        os.kill(mount.pid(), signal.SIGKILL)
        wait_for(lambda: not alive(point))
        files = report(penstock, cache, tmp_path / "report.tar.gz")
        assert "cannot be reached" in files["status.json"] and "no daemon" in files["process.txt"]
        assert f"on {point}" in files["penstock.log"]
        # Of the mount alone nobody can tell where its cache was.
        files = report(penstock, point, tmp_path / "report.tar.gz")
        assert "nothing tells" in files["cache.txt"] and str(point) in files["mounts.txt"]
    finally:
        mount.clear()


def test_of_a_daemon_that_hangs(penstock, master, places, tmp_path):
    point, cache = places
    with mounted(penstock, master, point, cache) as mount:
        pid = mount.pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            files = report(penstock, point, tmp_path / "report.tar.gz")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert "does not answer" in files["status.json"]
        assert "State:\tT (stopped)" in files["process.txt"] and f"on {point}" in files["penstock.log"]


def test_of_something_else(penstock, tmp_path):
    done = penstock("bugreport", tmp_path, "-o", tmp_path / "x.tar.gz", status=1)
    assert "neither on a penstock mount nor a cache" in done.stderr and not (tmp_path / "x.tar.gz").exists()


def test_by_somebody_else_than_root(penstock, master, places, tmp_path):
    """Who may not look into the daemon's process asks the mount where its cache is."""
    if os.geteuid() != 0:
        pytest.skip("SKIPPED FOR WANT OF ROOT")
    point, cache = places
    out = tmp_path / "of-nobody"
    out.mkdir()
    os.chown(out, 65534, 65534)
    # Everything above is only for its owner (pytest makes it so).
    for folder in [tmp_path, *tmp_path.parents]:
        if folder == pathlib.Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    with mounted(penstock, master, point, cache):
        done = penstock("bugreport", point, "-o", out / "report.tar.gz", user=65534, group=65534, extra_groups=[])
        with tarfile.open(out / "report.tar.gz") as archive:
            (name,) = [member.name for member in archive.getmembers() if member.name.endswith("status.json")]
            status = json.loads(archive.extractfile(name).read())
    assert done.returncode == 0 and status["mountpoint"] == str(point)
