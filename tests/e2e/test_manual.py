"""The manual pages: every command and every option has its entry; what is installed."""

import os
import re
import shutil
import subprocess

import pytest

from conftest import ROOT


@pytest.fixture(scope="module")
def pages(penstock, tmp_path_factory):
    folder = tmp_path_factory.mktemp("man")
    penstock("manual", folder)
    return {path.name: path for path in folder.iterdir()}


def text_of(path):
    """As a reader sees it, on one long line per paragraph."""
    if shutil.which("man") is None:
        pytest.skip("SKIPPED FOR WANT OF man")
    return subprocess.run(["man", "-l", str(path)], capture_output=True, text=True, check=True,
                          env={**os.environ, "MANWIDTH": "5000", "LC_ALL": "C.UTF-8"}).stdout


def commands(penstock):
    """Those that `penstock --help` lists."""
    return re.findall(r"^  ([a-z]+) +\S", penstock("--help").stdout, re.MULTILINE)


def test_every_command_has_a_page_with_every_option(penstock, pages):
    names = commands(penstock)
    assert {"ingest", "mount", "status", "locate", "bugreport", "verify"} <= set(names) and "manual" not in names
    index = text_of(pages["penstock.1"])
    for name in names:
        assert f"penstock-{name}(1)" in index
        page = text_of(pages[f"penstock-{name}.1"])
        helps = [penstock(name, "--help").stdout]
        helps += [penstock(name, below, "--help").stdout
                  for below in re.findall(r"^  ([a-z]+) +\S", helps[0].partition("Subcommands:")[2], re.MULTILINE)]
        options = {option for text in helps for option in re.findall(r"(?<=[ ,])--[a-z0-9][\w-]*", text)}
        assert "--help" in options
        for option in options:
            assert re.search(rf"^ +(-\w, )?{option}\b", page, re.MULTILINE), (name, option)


def test_configuration_and_mount_options(penstock, pages):
    settings = re.findall(r"^(?:# )?([a-z][a-z0-9.-]*) =", penstock("mount", "--print-config").stdout, re.MULTILINE)
    assert {"store", "mountpoint", "cache", "cache-size", "metrics", "access-log"} <= set(settings)
    page = text_of(pages["penstock.conf.5"])
    for name in settings:
        assert re.search(rf"^ +{re.escape(name)} = ", page, re.MULTILINE), name
    page = text_of(pages["mount.penstock.8"])
    for name in set(settings) - {"store", "mountpoint"}:
        assert re.search(rf"^ +{re.escape(name.replace('-', '_'))}(=|$)", page, re.MULTILINE), name


def test_mandoc_finds_no_fault(pages):
    if shutil.which("mandoc") is None:
        pytest.skip("SKIPPED FOR WANT OF mandoc")
    for path in pages.values():
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", path], capture_output=True, text=True, check=False)
        # The pages have no date: they would differ with every build.
        faults = [line for line in done.stdout.splitlines() if "missing date" not in line]
        assert not faults, faults


def test_what_is_installed(penstock, tmp_path):
    build = penstock.binary.parents[2]
    if re.search(r"^PENSTOCK_SANITIZE:\w+=.+$", (build / "CMakeCache.txt").read_text(), re.MULTILINE):
        pytest.skip("SKIPPED: a build with sanitizers is not for installation")
    subprocess.run(["cmake", "--install", build, "--prefix", "/usr"], check=True, capture_output=True,
                   env={**os.environ, "DESTDIR": str(tmp_path)})
    usr = tmp_path / "usr"
    for helper in ("mount.penstock", "mount.fuse.penstock"):
        assert (usr / "sbin" / helper).resolve() == usr / "bin/penstock"
    unit = (usr / "lib/systemd/system/penstock-mount@.service").read_text()
    assert re.search(r"^ExecStart=/\S*/bin/penstock mount --config /etc/penstock/%i.conf --foreground$", unit, re.MULTILINE)
    assert {"penstock.1", "penstock-mount.1"} <= set(os.listdir(usr / "share/man/man1"))
    assert os.listdir(usr / "share/man/man5") == ["penstock.conf.5"]
    assert os.listdir(usr / "share/man/man8") == ["mount.penstock.8"]
    assert sorted(os.listdir(usr / "share/penstock/monitoring")) == ["penstock-alerts.yml", "penstock-dashboard.json"]
    for name in ("penstock-alerts.yml", "penstock-dashboard.json"):
        assert (usr / "share/penstock/monitoring" / name).read_text() == (ROOT / "tools/monitoring" / name).read_text()
