"""Shared fixtures of the end-to-end tests: they drive the penstock command as a user would and
check what it leaves behind with independent tools (h5py, zarr-python, xarray, NumPy, xxh128sum)."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


# Files whose tests wait for others (time-outs, daemons, disks) rather than compute.
WAITING = ("test_mount", "test_upstream", "test_follow", "test_watch", "test_ingest", "test_package")


def pytest_collection_modifyitems(items):
    """Files go to the workers of tools/test one by one; those that take long begin, so that nobody
    waits for one of them at the end."""
    items.sort(key=lambda item: not item.path.name.startswith(WAITING))


def _binary() -> pathlib.Path:
    named = os.environ.get("PENSTOCK_BINARY")
    return pathlib.Path(named) if named else ROOT / "build/release/tools/penstock/penstock"


@pytest.fixture(scope="session")
def penstock():
    """Runs `penstock ARGUMENTS...`; returns the CompletedProcess. `status` is the exit status that
    the test expects (None: any)."""
    binary = _binary()
    assert binary.exists(), f"{binary} does not exist: build first, or set PENSTOCK_BINARY"

    def run(*arguments, status=0, timeout=120, **options):
        done = subprocess.run(
            [str(binary), *map(str, arguments)],
            capture_output=True, text=True, timeout=timeout, check=False, **options)
        if status is not None:
            assert done.returncode == status, (
                f"penstock {' '.join(map(str, arguments))}\nexit status {done.returncode}, "
                f"expected {status}\n{done.stdout}\n{done.stderr}")
        return done

    run.binary = binary
    return run


@pytest.fixture(scope="session")
def samples() -> pathlib.Path:
    """The folder with the real sample files, which is not part of the project."""
    folder = pathlib.Path(os.environ.get("PENSTOCK_SAMPLES", ROOT.parent / "shared")) / "samples"
    if not folder.is_dir():
        pytest.skip(f"SKIPPED FOR WANT OF SAMPLES: {folder} does not exist")
    return folder


@pytest.fixture(scope="session")
def hyperspy_data() -> pathlib.Path:
    """Real microscope files out of Debian's package python3-hyperspy, unpacked by tools/fetch-samples."""
    folder = pathlib.Path(os.environ.get("PENSTOCK_HYPERSPY_DATA", ROOT / ".cache/hyperspy-data"))
    if not folder.is_dir():
        pytest.skip(f"SKIPPED FOR WANT OF SAMPLES: {folder} does not exist; run tools/fetch-samples")
    return folder


def python_folder() -> pathlib.Path:
    """Where the build has put the Python package; skips where it has none."""
    folder = _binary().parents[2] / "reader/python"
    if not list(folder.glob("penstock/_penstock*.so")):
        pytest.skip(f"SKIPPED: the Python package has not been built (it never is with sanitizers): {folder}")
    return folder


@pytest.fixture(scope="session")
def penstock_package():
    """The Python package of the build."""
    sys.path.insert(0, str(python_folder()))
    import penstock as package
    return package
