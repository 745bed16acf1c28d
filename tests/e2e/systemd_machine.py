"""systemd as process 1 of a machine of its own: name spaces over an overlay of this machine's files, what it
writes goes with it. Nothing of this machine's own systemd, if there is one, is touched."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import time

import pytest

SYSTEMD = "/lib/systemd/systemd"
# What would change this kernel's settings, its clock or its devices, or takes time.
MASKED = ("systemd-sysctl", "systemd-timesyncd", "systemd-modules-load", "systemd-random-seed", "systemd-udevd",
          "systemd-udev-trigger", "systemd-remount-fs", "systemd-hwdb-update", "systemd-update-utmp",
          "systemd-pstore", "systemd-tmpfiles-setup", "systemd-tmpfiles-clean", "systemd-logind", "ldconfig", "apparmor", "networking", "e2scrub_reap")

# Runs in new pid, mount, uts, ipc and network name spaces; $1 is the work directory, $2 what is seen at its own
# place, $3 the control group, of version 2. The shell becomes process 1.
BOOT = r"""
set -e
work=$1 shared=$2 group=$3 root=$1/root
mount --make-rprivate /
mount -t tmpfs tmpfs "$work/writes"
mkdir "$work/writes/upper" "$work/writes/work"
mount -t overlay -o "lowerdir=/,upperdir=$work/writes/upper,workdir=$work/writes/work" overlay "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
echo $$ >"$group/cgroup.procs"
unshare --cgroup mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty fuse autofs; do
  if [ -e "/dev/$device" ]; then touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; fi
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mkdir -p "$root$shared" "$root/srv/shared"
mount --bind "$shared" "$root$shared"
mount --bind "$shared" "$root/srv/shared"
rm -rf "$root/etc/fstab" "$root"/etc/systemd/system/*.wants "$root"/etc/systemd/system/*.requires
for unit in MASKED; do ln -sf /dev/null "$root/etc/systemd/system/$unit.service"; done
ln -sf /lib/systemd/system/basic.target "$root/etc/systemd/system/default.target"
mount --make-rshared "$root"
hostname penstock-test
cd "$root"
exec env -i container=penstock PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" SYSTEMD --log-target=console
""".replace("MASKED", " ".join(MASKED)).replace("SYSTEMD", SYSTEMD)


class Machine:
    def __init__(self, pid, root):
        self.pid = pid
        self.root = root  # where its files are

    def run(self, *command, status=0):
        done = subprocess.run(["nsenter", f"--target={self.pid}", "--mount", "--uts", "--ipc", "--net", "--pid",
                               "--root", "--wd", *map(str, command)],
                              capture_output=True, text=True, timeout=180, check=False)
        if status is not None and done.returncode != status:
            journal = self.run("journalctl", "--no-pager", "--lines=40", status=None)
            raise AssertionError(f"{command}: {done.returncode}, {done.stdout}{done.stderr}\n{journal}")
        return done.stdout.strip()

    def show(self, unit, prop):
        return self.run("systemctl", "show", "--property", prop, "--value", unit)

    def write(self, path, text):
        target = self.root / str(path).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def control_groups():
    """Where version 2 is mounted, alone or beside version 1."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " in line:
            return pathlib.Path(line.split()[4])
    return pytest.skip("SKIPPED FOR WANT OF CONTROL GROUPS (VERSION 2): THE UNITS WERE NOT TRIED")


def remove_group(group):
    for _ in range(50):
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        if not group.exists():
            return
        time.sleep(0.1)


@contextlib.contextmanager
def systemd_machine(work, shared):
    """A machine that has come up, and sees the directory `shared` at its place and as /srv/shared. Skips where
    none can be had."""
    if os.geteuid() != 0 or not os.path.exists(SYSTEMD) or shutil.which("nsenter") is None:
        pytest.skip("SKIPPED FOR WANT OF ROOT, systemd OR nsenter: THE UNITS WERE NOT TRIED")
    (work / "root").mkdir()
    (work / "writes").mkdir()
    group = control_groups() / f"penstock-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as failure:
        pytest.skip(f"SKIPPED FOR WANT OF CONTROL GROUPS ({failure}): THE UNITS WERE NOT TRIED")
    console = open(work / "console", "w+")
    process = subprocess.Popen(["unshare", "--pid", "--mount", "--uts", "--ipc", "--net", "--fork", "--kill-child",
                                "bash", "-c", BOOT, "boot", work, shared, group],
                               stdin=subprocess.DEVNULL, stdout=console, stderr=console)
    try:
        yield wait_until_up(process, work)
    finally:
        process.kill()
        process.wait()
        console.close()
        remove_group(group)


def wait_until_up(process, work):
    end = time.monotonic() + 120
    state = "no process 1"
    while time.monotonic() < end and process.poll() is None:
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            root = pathlib.Path(f"/proc/{children[0]}/root")
            machine = Machine(int(children[0]), root)
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{children[0]}/comm").read_text() == "systemd\n":
                    state = machine.run("systemctl", "is-system-running", status=None)
        if state in ("running", "degraded"):
            return machine
        time.sleep(0.1)
    said = (work / "console").read_text()[-2000:]
    return pytest.skip(f"SKIPPED: systemd DOES NOT COME UP AS PROCESS 1 HERE ({state}): {said}")
