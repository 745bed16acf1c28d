"""HyperSpy, in an environment of its own, works lazily on a dataset by way of Dask."""

import subprocess

import numpy as np
import pytest

import synthetic
from conftest import ROOT, python_folder

HYPERSPY = ROOT / ".venv/hyperspy/bin/python"
SUM = """
import sys
sys.path.insert(0, sys.argv[1])
import hyperspy.api, numpy, penstock
signal = hyperspy.api.signals.Signal2D(penstock.to_dask(sys.argv[2])).as_lazy()
assert signal.axes_manager.navigation_shape == (6, 5) and signal.axes_manager.signal_shape == (12, 16)
total = signal.sum(axis=(0, 1))
total.compute(show_progressbar=False)
numpy.save(sys.argv[3], total.data)
"""


def test_a_lazy_signal(tmp_path):
    folder = python_folder()
    if not HYPERSPY.exists():
        pytest.skip("SKIPPED FOR WANT OF HYPERSPY: run tools/setup --tests")
    synthetic.make_dataset(tmp_path / "scan")
    done = subprocess.run([HYPERSPY, "-c", SUM, folder, tmp_path / "scan", tmp_path / "sum.npy"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "sum.npy"), synthetic.frames().sum((0, 1)))
