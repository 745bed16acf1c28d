"""Help for the tests of the formats of fixed records: what an ingest left behind, and the arrays of
the reference readers."""

import functools
import json

import numpy as np
import zarr


def ingest(penstock, source, out, *more, status=0):
    """Runs `penstock ingest`; returns the stored array and the sidecar."""
    done = penstock("ingest", source, "--to", out, *more, status=status)
    if not (out / "nexus.json").exists():
        return done, None
    array = zarr.open_array(out / "data.zarr/real", mode="r")[...]
    return array, json.loads((out / "nexus.json").read_text())


def refused(penstock, source, out, *more):
    """The error of an ingest that must leave nothing behind."""
    done = penstock("ingest", source, "--to", out, *more, status=None)
    assert done.returncode in (1, 2) and not out.exists(), done
    return done.stderr


def entry(tree, path):
    """A member of the entry by its path."""
    node = tree["entry1"]
    for name in path.split("/"):
        node = node[name]
    return node


def anomalies(tree):
    """[(kind, message)]"""
    listed = entry(tree, "penstock/anomalies")
    if listed["count"] == 0:
        return []
    return list(zip(listed["kind"], listed["message"]))


def image_key(out):
    return zarr.open_array(out / "data.zarr/image_key", mode="r")[...]


@functools.cache
def libertem_context():
    import libertem.api as lt
    return lt.Context.make_with("inline")


def libertem_array(format_name, **parameters):
    """Every frame of a data set by LiberTEM, with the corrections that it applies by itself."""
    from libertem.udf.raw import PickUDF
    context = libertem_context()
    data = context.load(format_name, **parameters)
    everything = np.ones(data.shape.nav, dtype=bool)
    picked = context.run_udf(data, PickUDF(), roi=everything)
    return picked["intensity"].raw_data.reshape(tuple(data.shape))
