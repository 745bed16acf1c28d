"""penstock ls, show, verify and catalog, as a user meets them."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

import synthetic


def listing(penstock, store, status=0):
    return json.loads(penstock("ls", store, "--json", status=status).stdout)


def datasets(penstock, store, status=0):
    return {d["name"]: d for d in listing(penstock, store, status)["datasets"]}


@pytest.fixture
def frames():
    return np.random.default_rng(7).integers(0, 4000, (12, 16, 20), dtype="<u2")


@pytest.fixture
def store(penstock, tmp_path, frames):
    """Two datasets: one ingested from an .npy file, one synthetic with lost frames."""
    np.save(tmp_path / "scan_1.npy", frames)
    (tmp_path / "store").mkdir()
    penstock("ingest", tmp_path / "scan_1.npy", "--to", f"{tmp_path}/store/", "--scan-shape", "3,4",
             "--block-size", "4K")
    synthetic.make_dataset(tmp_path / "store/2026/scan_2", missing=(3, 4), complete=True,
                           calibrated=True)
    penstock("catalog", "rebuild", tmp_path / "store")
    return tmp_path / "store"


def flip(path, offset):
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def test_ls_says_what_the_datasets_are(penstock, store):
    found = datasets(penstock, store)
    assert list(found) == ["2026/scan_2", "scan_1"]
    first = found["scan_1"]
    assert first["scan_shape"] == [3, 4]
    assert first["signal_shape"] == [16, 20]
    assert first["dtype"] == "uint16"
    assert first["bytes"] == sum(
        p.stat().st_size for p in (store / "scan_1/data.zarr/real/c").rglob("*") if p.is_file())
    assert (first["frames_expected"], first["frames_missing"]) == (12, 0)
    assert first["source_files"] == ["scan_1.npy"]
    assert first["verified"] is None
    assert first["presence"] == "present"
    assert found["2026/scan_2"]["frames_missing"] == 2
    lines = penstock("ls", store).stdout.splitlines()
    assert lines[0].split() == ["NAME", "SCAN", "SIGNAL", "TYPE", "SIZE", "MISSING", "DATE",
                                "VERIFIED"]
    assert lines[1].split()[:4] == ["2026/scan_2", "5", "x", "6"]
    # A directory in the store: names relative to it.
    assert list(datasets(penstock, store / "2026")) == ["scan_2"]


def test_ingest_registers(penstock, store, tmp_path, frames):
    np.save(tmp_path / "scan_3.npy", frames)
    penstock("ingest", tmp_path / "scan_3.npy", "--to", store / "2026/scan_3", "--scan-shape", "3,4")
    document = listing(penstock, store)
    assert not document["index_rebuilt"]
    assert "2026/scan_3" in [d["path"] for d in document["datasets"]]


def test_a_deleted_index_is_rebuilt_without_loss(penstock, store):
    penstock("verify", store / "scan_1")
    before = listing(penstock, store)
    assert before["datasets"][1]["verified"]["intact"] is True
    assert before["index_rebuilt"] is False
    shutil.rmtree(store / ".penstock/catalog")
    after = listing(penstock, store)
    assert after["index_rebuilt"] is True
    assert after["datasets"] == before["datasets"]


def test_a_corrupted_index_is_rebuilt_without_loss(penstock, store):
    before = listing(penstock, store)["datasets"]
    for path in (store / ".penstock/catalog").rglob("*"):
        if path.is_file():
            path.write_bytes(bytes(len(path.read_bytes())))
    assert listing(penstock, store)["datasets"] == before


def test_rebuild_reports_and_tolerates_damaged_sidecars(penstock, store):
    sidecar = store / "scan_1/nexus.json"
    os.chmod(sidecar, 0o644)
    sidecar.write_bytes(sidecar.read_bytes()[:100])
    done = penstock("catalog", "rebuild", store, "--json", status=3)
    report = json.loads(done.stdout)
    assert report["datasets"] == 1
    assert [u["path"] for u in report["unreadable"]] == ["scan_1"]
    assert "nexus.json" in report["unreadable"][0]["message"]
    document = listing(penstock, store, status=3)
    assert [u["path"] for u in document["unreadable"]] == ["scan_1"]


def test_vanished_and_changed_datasets_are_marked(penstock, store):
    (store / "scan_1").rename(store.parent / "elsewhere")
    found = datasets(penstock, store, status=3)
    assert found["scan_1"]["presence"] == "vanished"
    assert found["2026/scan_2"]["presence"] == "present"
    penstock("catalog", "forget", store, "scan_1")
    assert list(datasets(penstock, store)) == ["2026/scan_2"]
    penstock("catalog", "forget", store, "2026/scan_2", status=2)  # it is still there


def test_a_store_that_cannot_be_written_is_listed(penstock, store):
    if os.getuid() == 0:
        # Root may write anywhere; where .penstock cannot be a directory, even root cannot.
        shutil.rmtree(store / ".penstock")
        (store / ".penstock").write_text("in the way")
    else:
        shutil.rmtree(store / ".penstock")
        store.chmod(0o555)
    try:
        assert list(datasets(penstock, store)) == ["2026/scan_2", "scan_1"]
    finally:
        store.chmod(0o755)


def test_several_processes_at_once(penstock, store, tmp_path, frames):
    commands = []
    for i in range(6):
        np.save(tmp_path / f"many_{i}.npy", frames)
        commands.append([penstock.binary, "ingest", tmp_path / f"many_{i}.npy", "--to", f"{store}/",
                         "--scan-shape", "3,4"])
        commands.append([penstock.binary, "ls", store])
    running = [subprocess.Popen([str(a) for a in c], stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE) for c in commands]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    found = datasets(penstock, store)
    assert [n for n in found if n.startswith("many_")] == [f"many_{i}" for i in range(6)]
    before = listing(penstock, store)["datasets"]
    penstock("catalog", "rebuild", store)
    assert listing(penstock, store)["datasets"] == before


def test_a_killed_rebuild_leaves_the_index(penstock, store):
    before = listing(penstock, store)["datasets"]
    for delay in (0.0, 0.01, 0.03):
        process = subprocess.Popen([str(penstock.binary), "catalog", "rebuild", str(store)],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert listing(penstock, store)["datasets"] == before


def test_show_gives_evidence_facts_sources_and_history(penstock, store, tmp_path):
    shown = json.loads(penstock("show", store, "scan_1", "--json").stdout)
    assert shown == json.loads(penstock("show", store / "scan_1", "--json").stdout)
    assert shown["scan_shape"] == [3, 4]
    assert shown["scan_shape_evidence"]
    assert shown["sources"][0]["name"] == "scan_1.npy"
    assert shown["sources"][0]["bytes"] == (tmp_path / "scan_1.npy").stat().st_size
    assert shown["sources"][0]["checksum"]
    assert shown["history"][0]["operation"] == "ingest"
    assert "--scan-shape" in shown["history"][0]["command"]
    assert "start_time" in shown["absent_required"]
    assert len(shown["blocks"]) > 1
    assert sum(b["frames"] for b in shown["blocks"]) == 12
    assert shown["orientation"]["file_to_stored"] == [[1, 0], [0, 1]]
    second = json.loads(penstock("show", store / "2026/scan_2", "--json").stdout)
    assert second["missing_frames"] == [[3, 5]]
    facts = {f["path"]: f for f in second["facts"]}
    assert facts["measurement/instrument/fabrication/model"]["value"] == "STEM-300"
    assert facts["measurement/instrument/fabrication/model"]["evidence"]
    assert second["absent_required"] == []
    assert second["axes"]["axis_k"]["units"] == "nm"
    assert second["axes"]["axis_k"]["evidence"]
    text = penstock("show", store / "2026/scan_2").stdout
    assert "frames 3-4" in text
    assert "measurement/instrument/fabrication/model = STEM-300" in text
    penstock("show", store, status=2)
    penstock("show", store, "scan_9", status=1)


def test_verify_names_file_extent_and_frames_and_records_it(penstock, store):
    penstock("verify", store / "scan_1", store / "2026/scan_2")
    assert datasets(penstock, store)["scan_1"]["verified"]["intact"] is True
    block = next(p for p in sorted((store / "scan_1/data.zarr/real/c").rglob("*")) if p.is_file())
    flip(block, 65536 + 5)
    done = penstock("verify", store / "scan_1", "--json", status=1)
    result = [e for e in map(json.loads, done.stdout.splitlines()) if e["event"] == "result"]
    assert len(result) == 1 and result[0]["intact"] is False
    damage = result[0]["damage"]
    assert {d["file"] for d in damage} == {str(block.relative_to(store / "scan_1"))}
    assert any(d.get("extent") == 0 and d["frames"][0] == 0 for d in damage)
    text = penstock("verify", store / "scan_1", status=1).stdout
    assert f"{block.relative_to(store / 'scan_1')}: extent 0, frame" in text
    assert datasets(penstock, store)["scan_1"]["verified"]["intact"] is False
    assert "DAMAGED" in penstock("ls", store).stdout


def test_verify_compares_with_the_source(penstock, store, tmp_path, frames):
    source = tmp_path / "scan_1.npy"
    text = penstock("verify", store / "scan_1", "--source", source).stdout
    assert "12 frames equal to the source" in text
    # Another pixel in the source, in frame 7 at (2, 3).
    frames[7, 2, 3] ^= 1
    frames[9, 0, 0] ^= 1
    np.save(source, frames)
    done = penstock("verify", store / "scan_1", "--source", source, "--json", status=1)
    result = [e for e in map(json.loads, done.stdout.splitlines()) if e["event"] == "result"][0]
    assert result["damage"] == []
    difference = result["source"]["first_difference"]
    assert difference["frame"] == 7 and difference["source_frame"] == 7
    assert difference["pixel"] == [2, 3]
    assert difference["expected"] == str(frames[7, 2, 3])
    assert difference["found"] == str(frames[7, 2, 3] ^ 1)
    # Not the source at all.
    np.save(source, frames[:11])
    penstock("verify", store / "scan_1", "--source", source, status=1)


def test_verify_of_what_is_no_dataset(penstock, tmp_path):
    penstock("verify", tmp_path, status=1)
    penstock("verify", tmp_path / "nothing", status=1)
    penstock("verify", status=2)
    penstock("ls", tmp_path / "nothing", status=1)
    assert not pathlib.Path(tmp_path / ".penstock").exists()
