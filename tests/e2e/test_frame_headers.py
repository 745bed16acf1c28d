"""What each frame's own header said is kept per scan position: data.zarr/frame_header, the sidecar,
data.nxs and `penstock show --frames`."""

import json
import subprocess

import h5py
import numpy as np
import zarr

from stopping import kill, stop_among_blocks
from test_ingest_faults import ENVIRONMENT


def simulate(penstock, path, scan="3,4"):
    penstock("simulate", path, "--scan-shape", scan, "--sig-shape", "16,16")
    return path


def header_of_record(record):
    """Sequence number and exposure (ns) of a MIB record, by its text."""
    fields = record[:384].split(b"\0")[0].decode().split(",")
    ns = next(field for field in fields if field.endswith("ns"))
    return int(fields[1]), int(ns[:-2])


def test_headers_of_every_frame(penstock, tmp_path):
    source = simulate(penstock, tmp_path / "scan.mib")
    records = source.read_bytes()
    size = len(records) // 12
    expected = [header_of_record(records[i * size:(i + 1) * size]) for i in range(12)]
    out = tmp_path / "out"
    # One frame in front is missing, the last does not fit any more.
    penstock("ingest", source, "--to", out, "--sync-offset", "-1", "--missing", "zero", status=3)
    group = zarr.open_group(out / "data.zarr", mode="r")["frame_header"]
    np.testing.assert_array_equal(group["source_frame"][...].ravel(), np.arange(-1, 11))
    assert group["sequence_number"][...].ravel().tolist() == [-1] + [e[0] for e in expected[:11]]
    assert group["count_time"][...].ravel().tolist() == [-1] + [e[1] for e in expected[:11]]
    assert group["count_time"].attrs["units"] == "ns"
    times = group["start_time"][...].ravel()
    assert times[0] == -1 and (np.diff(times[1:]) > 0).all()
    assert np.datetime64(int(times[1]), "ns") == np.datetime64("2026-01-01T12:00:00")
    with h5py.File(out / "data.nxs") as file:
        stored = file["entry1/penstock/frame_header/sequence_number"][...]
        np.testing.assert_array_equal(stored, group["sequence_number"][...])

    lines = penstock("show", out, "--frames").stdout.splitlines()
    assert lines[0].split("\t")[3:5] == ["source_frame", "sequence_number"]
    assert lines[1].split("\t") == ["0", "0", "3", "-", "-", "-", "-"]
    assert lines[2].split("\t")[:5] == ["0", "1", "0", "0", str(expected[0][0])]
    as_json = [json.loads(line) for line in penstock("show", out, "--frames", "--json").stdout.splitlines()]
    assert as_json[0]["source_frame"] is None and as_json[11]["position"] == [2, 3]
    assert as_json[11]["count_time_ns"] == expected[10][1]
    penstock("verify", out)


def test_sources_that_say_nothing_have_their_frame_numbers_only(penstock, tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(8 * 8 * 6))
    out = tmp_path / "out"
    penstock("ingest", tmp_path / "a.raw", "--to", out, "--format", "raw", "--sig-shape", "8,8",
             "--dtype", "uint8", "--scan-shape", "2,3")
    group = zarr.open_group(out / "data.zarr", mode="r")["frame_header"]
    assert sorted(group.array_keys()) == ["source_frame"]
    assert sorted(p.name for p in (out / "data.zarr/frame_header").iterdir()
                  if p.is_dir()) == ["source_frame"]


def test_kept_over_a_resumed_ingest(penstock, tmp_path):
    """The headers of blocks that an earlier run finished are those that it read."""
    source = simulate(penstock, tmp_path / "scan.mib", "64,64")
    options = ["--block-size", "64K", "--jobs", "2"]
    penstock("ingest", source, "--to", tmp_path / "reference", *options, env=ENVIRONMENT)
    out = tmp_path / "out"
    command = [str(penstock.binary), "ingest", str(source), "--to", str(out), *options]
    kill(stop_among_blocks(
        lambda: subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                 env=ENVIRONMENT), out, 4, 28))
    assert (tmp_path / ".out.ingest").exists() and not out.exists()
    done = penstock("ingest", source, "--to", out, *options, env=ENVIRONMENT)
    assert "continuing" in done.stdout + done.stderr
    for name in ("source_frame", "sequence_number", "count_time", "start_time"):
        chunk = f"data.zarr/frame_header/{name}/c/0/0"
        assert (out / chunk).read_bytes() == (tmp_path / "reference" / chunk).read_bytes()

