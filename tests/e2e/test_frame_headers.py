"""What each frame's own header said is kept per scan position: data.zarr/frame_header, the sidecar,
data.nxs and `penstock show --frames`."""

import json
import struct
import subprocess

import h5py
import numpy as np
import zarr

import k2is_files as k2is
from acquisitions import frames, mib_bytes
from stopping import kill, stop_among_blocks
from test_formats_empad import write_raw as write_empad
from test_formats_frms6 import write_set as write_frms6
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
    assert group["source_file"][...].ravel().tolist() == [-1] + [0] * 11
    assert group["source_offset"][...].ravel().tolist() == [-1] + [size * i for i in range(11)]
    assert group["source_offset"].attrs["units"] == "byte"
    times = group["start_time"][...].ravel()
    assert times[0] == -1 and (np.diff(times[1:]) > 0).all()
    assert np.datetime64(int(times[1]), "ns") == np.datetime64("2026-01-01T12:00:00")
    with h5py.File(out / "data.nxs") as file:
        stored = file["entry1/penstock/frame_header/sequence_number"][...]
        np.testing.assert_array_equal(stored, group["sequence_number"][...])

    lines = penstock("show", out, "--frames").stdout.splitlines()
    assert lines[0].split("\t")[3:7] == ["source_frame", "source_file", "source_offset",
                                         "sequence_number"]
    assert lines[1].split("\t") == ["0", "0", "3", "-", "-", "-", "-", "-", "-"]
    assert lines[3].split("\t")[:7] == ["0", "2", "0", "1", "scan.mib", str(size),
                                        str(expected[1][0])]
    as_json = [json.loads(line) for line in penstock("show", out, "--frames", "--json").stdout.splitlines()]
    assert as_json[0]["source_frame"] is None and as_json[11]["position"] == [2, 3]
    assert as_json[0]["source_file"] is None and as_json[0]["source_offset"] is None
    assert as_json[11]["source_file"] == "scan.mib" and as_json[11]["source_offset"] == 10 * size
    assert as_json[11]["count_time_ns"] == expected[10][1]
    penstock("verify", out)


def test_sources_that_say_nothing_have_the_places_of_their_frames_only(penstock, tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(8 * 8 * 6))
    out = tmp_path / "out"
    penstock("ingest", tmp_path / "a.raw", "--to", out, "--format", "raw", "--sig-shape", "8,8",
             "--dtype", "uint8", "--scan-shape", "2,3")
    group = zarr.open_group(out / "data.zarr", mode="r")["frame_header"]
    places = ["source_file", "source_frame", "source_offset"]
    assert sorted(group.array_keys()) == places
    assert sorted(p.name for p in (out / "data.zarr/frame_header").iterdir()
                  if p.is_dir()) == places


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
    for name in ("source_frame", "source_file", "source_offset", "sequence_number", "count_time", "start_time"):
        chunk = f"data.zarr/frame_header/{name}/c/0/0"
        assert (out / chunk).read_bytes() == (tmp_path / "reference" / chunk).read_bytes()



def places(penstock, source, out, *options, status=0):
    """[(file, offset of the frame)], as they were stored and as they are shown."""
    penstock("ingest", source, "--to", out, *options, status=status)
    shown = [json.loads(line) for line in penstock("show", out, "--frames", "--json").stdout.splitlines()]
    penstock_group = json.loads((out / "nexus.json").read_text())["entry1"]["penstock"]
    group = zarr.open_group(out / "data.zarr", mode="r")["frame_header"]
    arrays = set(group.array_keys())
    files, offsets = (group[name][...].ravel().tolist() if name in arrays else [-1] * len(shown)
                      for name in ("source_file", "source_offset"))
    names = [None if i < 0 else penstock_group["sources"]["name"][i] for i in files]
    stored = [(name, None if offset < 0 else offset) for name, offset in zip(names, offsets)]
    assert stored == [(line["source_file"], line["source_offset"]) for line in shown]
    return stored


def test_places_in_a_series_of_mib_files(penstock, tmp_path):
    stack = frames(7)
    record = 384 + 8 * 6 * 2
    (tmp_path / "s1.mib").write_bytes(mib_bytes(stack[:3]))
    (tmp_path / "s2.mib").write_bytes(mib_bytes(stack[3:5], 4))
    (tmp_path / "s10.mib").write_bytes(mib_bytes(stack[5:], 6))
    assert places(penstock, tmp_path / "s2.mib", tmp_path / "out") == [
        ("s1.mib", 0), ("s1.mib", record), ("s1.mib", 2 * record), ("s2.mib", 0),
        ("s2.mib", record), ("s10.mib", 0), ("s10.mib", record)]


def test_places_in_raw_files_count_their_headers(penstock, tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(100 + 4 * (7 + 8 * 8 + 5)))
    assert places(penstock, tmp_path / "a.raw", tmp_path / "out", "--format", "raw", "--sig-shape",
                  "8,8", "--dtype", "uint8", "--offset", "100", "--frame-header", "7",
                  "--frame-footer", "5") == [("a.raw", 100 + i * 76) for i in range(4)]


def test_places_in_an_npy_file(penstock, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 5), "<u2"))
    assert places(penstock, tmp_path / "a.npy", tmp_path / "out") == [
        ("a.npy", 128 + i * 40) for i in range(3)]


def test_places_in_an_empad_file(penstock, tmp_path):
    write_empad(tmp_path / "scan_x3_y2.raw", 6)
    assert places(penstock, tmp_path / "scan_x3_y2.raw", tmp_path / "out") == [
        ("scan_x3_y2.raw", i * 130 * 128 * 4) for i in range(6)]


def test_places_in_frms6_files(penstock, tmp_path):
    header = write_frms6(tmp_path / "in", (3, 3), 1, 5, darks=2)
    record = 64 + 24 * 8 * 2
    assert places(penstock, header, tmp_path / "out") == [
        ("s_001.frms6", 1024 + i * record) for i in range(5)] + [
        ("s_002.frms6", 1024 + i * record) for i in range(4)]


def test_places_in_k2_sectors_are_those_of_the_first_block(penstock, tmp_path):
    blocks = k2is.sectors(range(20, 24))
    whole = k2is.write(tmp_path / "whole", blocks)
    frame = 32 * k2is.BLOCK
    assert places(penstock, whole, tmp_path / "out") == [
        ("scan_1.bin", i * frame) for i in range(4)]
    # The first sector began five blocks into frame 20, which is therefore in none of the frames.
    blocks[0] = blocks[0][5:]
    cut = k2is.write(tmp_path / "cut", blocks)
    assert places(penstock, cut, tmp_path / "cut_out", status=None) == [
        ("scan_1.bin", frame - 5 * k2is.BLOCK + i * frame) for i in range(3)]


def ser(count, width, height):
    """A TIA series of uint16 images with 64-bit offsets and a time tag behind each element."""
    head = struct.pack("<HHHIIIIQI", 0x4949, 0x0197, 0x0220, 0x4122, 0x4152, count, count,
                       66, 1)
    head += struct.pack("<IddIII", count, 0.0, 1.0, 0, 0, 0)  # a dimension without texts
    element = 50 + width * height * 2
    offsets = [len(head) + 16 * count + i * (element + 8) for i in range(count)]
    out = head + struct.pack(f"<{count}Q", *offsets)
    out += struct.pack(f"<{count}Q", *(offset + element for offset in offsets))
    for i in range(count):
        assert len(out) == offsets[i]
        out += struct.pack("<ddIddIHII", 0, 1, 0, 0, 1, 0, 2, width, height)
        out += bytes(width * height * 2) + struct.pack("<HHI", 0x4152, 0, 1456168703 + i)
    return out, offsets


def test_places_in_a_ser_file_are_those_of_the_elements(penstock, tmp_path):
    data, offsets = ser(3, 6, 4)
    (tmp_path / "a_1.ser").write_bytes(data)
    assert places(penstock, tmp_path / "a_1.ser", tmp_path / "out", status=None) == [
        ("a_1.ser", offset) for offset in offsets]


def test_places_in_hdf5_where_frames_are_not_in_chunks(penstock, tmp_path):
    stack = frames(6)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        plain = file.create_dataset("plain", data=stack)
        start = plain.id.get_offset()
        file.create_dataset("chunked", data=stack, chunks=(2, 8, 6))
    source = tmp_path / "a.h5"
    assert places(penstock, source, tmp_path / "plain", "--dataset-path", "/plain", status=None) == [
        ("a.h5", start + i * 96) for i in range(6)]
    assert places(penstock, source, tmp_path / "chunked", "--dataset-path", "/chunked",
                  status=None) == [("a.h5", None)] * 6


def test_no_places_in_zarr(penstock, tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=frames(6), chunks=(2, 8, 6), compressors=None)
    assert places(penstock, tmp_path / "a.zarr", tmp_path / "out", status=None) == [(None, None)] * 6
