"""Protocols of the cache, as models checked over every interleaving (Debian's spin)."""

import pathlib
import shutil
import subprocess

import pytest

MODELS = pathlib.Path(__file__).parent.parent / "models"

if shutil.which("spin") is None or shutil.which("cc") is None:
    pytest.skip("SKIPPED: no spin here (tools/setup --tests installs it)", allow_module_level=True)


def check(model, folder, *defines):
    """What the verifier prints: '... errors: N' over the whole space of states."""
    subprocess.run(["spin", *defines, "-a", model], cwd=folder, check=True, timeout=60)
    subprocess.run(["cc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c"], cwd=folder, check=True,
                   timeout=120)
    done = subprocess.run(["./pan", "-m100000"], cwd=folder, capture_output=True, text=True, timeout=300, check=True)
    assert "max search depth too small" not in done.stdout
    return done.stdout


def test_a_replica_in_all_orders_of_events(tmp_path):
    printed = check(MODELS / "replica_life.pml", tmp_path)
    assert "errors: 0" in printed, printed


@pytest.mark.parametrize("fault", ["WITHOUT_REMOVING", "RECORD_TOO_EARLY", "EVICTS_WHAT_IS_HELD"])
def test_the_model_finds_what_the_code_avoids(tmp_path, fault):
    printed = check(MODELS / "replica_life.pml", tmp_path, f"-D{fault}")
    assert "errors: 1" in printed, printed
