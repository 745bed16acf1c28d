"""The alert rules and the dashboard name metrics that a daemon exports; the unit files are in order."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from conftest import ROOT
from mount_store import master, places
from mounting import mounted, need_fuse

need_fuse()

MONITORING = ROOT / "tools/monitoring"
NAME = re.compile(r"\bpenstock_[a-z0-9_]+")


def rules():
    (group,) = yaml.safe_load((MONITORING / "penstock-alerts.yml").read_text())["groups"]
    return group["rules"]


def dashboard():
    return json.loads((MONITORING / "penstock-dashboard.json").read_text())


def expressions():
    for rule in rules():
        yield rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for variable in dashboard()["templating"]["list"]:
        yield str(variable.get("definition", ""))


@pytest.fixture(scope="module")
def exported(penstock, master, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    file = folder / "penstock.prom"
    # With everything that exports something of its own.
    with mounted(penstock, master, folder / "mnt", folder / "cache", "--cache-size", "1G", "--metrics-file", file,
                 "--access-log", folder / "access.jsonl"):
        return file.read_text()


def test_every_metric_of_rules_and_dashboard_is_exported(exported):
    names = {line.split("{")[0] for line in exported.splitlines() if not line.startswith("#")}
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(asked) > 20
    assert asked <= names, asked - names


def test_counters_and_units_are_named_by_convention(exported):
    kinds = dict(line.split()[2:4] for line in exported.splitlines() if line.startswith("# TYPE"))
    for name, kind in kinds.items():
        assert name.endswith("_total") == (kind == "counter"), name
    # A rate of what is no counter would say nothing.
    for expression in expressions():
        for name in re.findall(r"(?:rate|increase)\((penstock_[a-z0-9_]+)", expression):
            assert kinds[name.removesuffix("_bucket")] in ("counter", "histogram"), name


def test_promtool_finds_nothing(exported):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("SKIPPED FOR WANT OF promtool (Debian: prometheus)")
    subprocess.run([promtool, "check", "rules", MONITORING / "penstock-alerts.yml"], check=True)
    subprocess.run([promtool, "check", "metrics"], input=exported, text=True, check=True)


def test_rules_and_dashboard_are_complete():
    assert len({rule["alert"] for rule in rules()}) == len(rules()) > 8
    for rule in rules():
        assert rule["labels"]["severity"] in ("info", "warning", "critical") and rule["annotations"]["summary"]
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])
    for panel in dashboard()["panels"]:
        assert panel["title"] and panel["targets"] and panel["fieldConfig"]["defaults"]["unit"]


# systemd.exec(5): each of these gives a service a mount name space of its own.
OWN_MOUNTS = """PrivateMounts PrivateTmp PrivateDevices PrivateIPC ProtectSystem ProtectHome ProtectKernelTunables
ProtectKernelModules ProtectKernelLogs ProtectControlGroups ProtectProc ProcSubset ReadOnlyPaths ReadWritePaths
InaccessiblePaths NoExecPaths TemporaryFileSystem BindPaths BindReadOnlyPaths RootDirectory RootImage MountImages
ExtensionImages DynamicUser PrivateUsers User""".split()


def test_the_unit_of_a_mount(penstock, tmp_path):
    template = (ROOT / "tools/systemd/penstock-mount@.service.in").read_text()
    settings = dict(line.split("=", 1) for line in template.splitlines() if re.match(r"[A-Z]\w+=", line))
    assert settings["Type"] == "notify" and int(settings["WatchdogSec"]) >= 60
    assert not set(OWN_MOUNTS) & set(settings)
    comments = " ".join(line.removeprefix("#") for line in template.splitlines() if line.startswith("#"))
    for name in OWN_MOUNTS:
        assert re.search(rf"\b{name}\b", comments), f"the unit does not say why it has not {name}"
    if shutil.which("systemd-analyze") is None:
        pytest.skip("SKIPPED FOR WANT OF systemd-analyze")
    unit = tmp_path / "penstock-mount@.service"
    unit.write_text(template.replace("@CMAKE_INSTALL_FULL_BINDIR@/penstock", str(penstock.binary)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
