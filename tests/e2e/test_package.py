"""Another project finds the installed penstock with find_package and reads a dataset with it."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from conftest import ROOT


def run(*arguments):
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def cache(penstock):
    """CMakeCache.txt of the build that the command under test comes from."""
    build = penstock.binary.parents[2]
    text = (build / "CMakeCache.txt").read_text()
    if re.search(r"^PENSTOCK_SANITIZE:\w+=.+$", text, re.M):
        pytest.skip("SKIPPED: a build with sanitizers is not for installation")
    return build, text


@pytest.fixture(scope="module")
def prefix(cache, tmp_path_factory):
    prefix = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", cache[0], "--prefix", prefix)
    return prefix


def test_a_consumer_of_the_reader_builds_and_runs(penstock, cache, prefix, tmp_path):
    frames = np.random.default_rng(1).integers(0, 4000, (12, 8, 10), dtype="<u2")
    np.save(tmp_path / "frames.npy", frames)
    penstock("ingest", tmp_path / "frames.npy", "--to", tmp_path / "scan", "--scan-shape", "3,4",
             status=None)
    compiler = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.+)$", cache[1], re.M).group(1)
    # Without RocksDB, libfuse and the packages of the formats: the reader must not ask for them.
    absent = [f"-DCMAKE_DISABLE_FIND_PACKAGE_{name}=ON" for name in ("RocksDB", "pugixml", "spdlog")]
    run("cmake", "-G", "Ninja", "-S", ROOT / "tests/package", "-B", tmp_path / "build",
        f"-DCMAKE_CXX_COMPILER={compiler}", f"-DCMAKE_PREFIX_PATH={prefix}", *absent)
    run("cmake", "--build", tmp_path / "build")
    printed = run(tmp_path / "build/consumer", tmp_path / "scan")
    assert printed.split() == ["3", "4", "8", "10", str(int(frames[0].sum()))]


def test_the_installed_command_runs(prefix):
    assert run(prefix / "bin/penstock", "--version").startswith("penstock ")


def test_the_installed_python_package_imports(prefix):
    packages = list(prefix.glob("lib/python3*/dist-packages"))
    if not packages or not list(packages[0].glob("penstock/_penstock*.so")):
        pytest.skip("SKIPPED: the Python package has not been built")
    done = subprocess.run([sys.executable, "-c", "import penstock; print(penstock.__version__, penstock.__file__)"],
                          capture_output=True, text=True, check=True, env={"PYTHONPATH": str(packages[0])})
    assert done.stdout.split()[1].startswith(str(prefix)) and done.stdout.count(".") >= 2


def test_headers_and_package_files_are_where_cmake_looks(prefix):
    names = {str(p.relative_to(prefix)) for p in prefix.rglob("*") if p.is_file()}
    for component in ("base", "dataset", "catalog", "reader", "ingest"):
        assert any(n.endswith(f"cmake/penstock/penstock-{component}-targets.cmake") for n in names)
        assert any(n.endswith(f"libpenstock_{component}.a") for n in names), component
    for header in ("penstock/reader/reader.h", "penstock/dataset/dataset.h", "penstock/base/npy.h"):
        assert f"include/{header}" in names
    # Nothing installed may point back into the source or build tree.
    for path in prefix.rglob("*.cmake"):
        assert str(ROOT) + os.sep not in path.read_text(), path


def test_an_unknown_component_is_an_error(prefix, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(x LANGUAGES CXX)\n"
        "find_package(penstock REQUIRED COMPONENTS base teleporter)\n")
    done = subprocess.run(
        ["cmake", "-G", "Ninja", "-S", tmp_path, "-B", tmp_path / "b", f"-DCMAKE_PREFIX_PATH={prefix}"],
        capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "teleporter" in done.stderr
