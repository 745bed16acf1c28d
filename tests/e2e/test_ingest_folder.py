"""`penstock ingest FOLDER... --to STORE/`: every acquisition once, the rest reported, again and
again."""

import json
import os
import shutil
import signal
import subprocess

import numpy as np
import pytest
import zarr

from acquisitions import events, frames, mib_bytes, write_mib


@pytest.fixture
def session(tmp_path):
    """A microscopist's folder."""
    folder = tmp_path / "session"
    write_mib(folder / "scan_a.mib", frames(12, seed=1), columns=4)
    write_mib(folder / "day 2/scan_b1.mib", frames(5, seed=2))
    write_mib(folder / "day 2/scan_b2.mib", frames(4, seed=3), first_number=6)
    (folder / "day 2/deep").mkdir()
    np.save(folder / "day 2/deep/stack.npy", frames(6).reshape(2, 3, 8, 6))
    (folder / "notes.txt").write_text("vacuum was bad")
    (folder / "day 2/picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    write_mib(folder / ".trash/old.mib", frames(2))
    (folder / "loop").symlink_to(folder)
    (folder / "link.mib").symlink_to(folder / "scan_a.mib")
    return folder


def stored(dataset):
    return zarr.open_array(dataset / "data.zarr/real", mode="r")[...]


def datasets_below(store):
    return sorted(str(p.parent.relative_to(store)) for p in store.rglob("nexus.json"))


def summary(done):
    return events(done, "summary")[0]


def test_a_folder_becomes_datasets_at_the_same_places(penstock, session, tmp_path):
    store = tmp_path / "store"
    done = penstock("ingest", session, "--to", f"{store}/", "--json")
    assert datasets_below(store) == ["day 2/deep/stack", "day 2/scan_b", "scan_a"]
    np.testing.assert_array_equal(stored(store / "scan_a").reshape(12, 8, 6), frames(12, seed=1))
    np.testing.assert_array_equal(
        stored(store / "day 2/scan_b").reshape(9, 8, 6),
        np.concatenate([frames(5, seed=2), frames(4, seed=3)]))
    assert sorted(os.path.basename(e["file"]) for e in events(done, "unknown")) == \
        ["notes.txt", "picture.png"]
    found = summary(done)
    assert (found["ingested"], found["unknown"], found["failed"]) == (3, 2, 0)
    names = [d["name"] for d in json.loads(penstock("ls", store, "--json").stdout)["datasets"]]
    assert names == ["day 2/deep/stack", "day 2/scan_b", "scan_a"]
    penstock("verify", *(store / name for name in names))

    # Again: nothing to do, and nothing is touched.
    before = {p: p.stat().st_ino for p in store.rglob("nexus.json")}
    done = penstock("ingest", session, "--to", f"{store}/", "--json")
    assert summary(done)["already_done"] == 3 and summary(done)["ingested"] == 0
    assert {p: p.stat().st_ino for p in store.rglob("nexus.json")} == before
    penstock("ingest", session, "--to", f"{store}/", "--replace")
    assert {p: p.stat().st_ino for p in store.rglob("nexus.json")} != before


def test_text_output_names_what_was_left(penstock, session, tmp_path):
    done = penstock("ingest", session, "--to", f"{tmp_path}/store/")
    assert "3 ingested" in done.stdout and "2 unknown files" in done.stdout
    assert "notes.txt" in done.stdout


def test_a_dry_run_writes_nothing(penstock, session, tmp_path):
    done = penstock("ingest", session, "--to", f"{tmp_path}/store/", "--dry-run")
    assert "scan_a" in done.stdout and "3 to ingest" in done.stdout
    assert not (tmp_path / "store").exists()


def test_a_store_inside_the_folder_is_not_a_source(penstock, session):
    for _ in range(2):
        penstock("ingest", session, "--to", f"{session}/store/", status=None)
    assert datasets_below(session / "store") == ["day 2/deep/stack", "day 2/scan_b", "scan_a"]


def test_one_bad_file_does_not_stop_the_others(penstock, session, tmp_path):
    (session / "broken.mib").write_bytes(b"MQ1,garbage" * 100)
    (session / "short.mib").write_bytes(mib_bytes(frames(4))[:400])
    done = penstock("ingest", session, "--to", f"{tmp_path}/store/", "--json", status=1)
    found = summary(done)
    assert found["ingested"] == 3 and found["failed"] == 2
    assert all(e["source"] for e in events(done, "error"))


def test_anomalies_alone_give_status_3(penstock, tmp_path):
    source = write_mib(tmp_path / "in/scan.mib", frames(12), columns=4)
    source.write_bytes(source.read_bytes() + b"tail")
    done = penstock("ingest", tmp_path / "in", "--to", f"{tmp_path}/store/", "--json", status=3)
    assert summary(done)["with_anomalies"] == 1


def test_names_that_clash_are_reported_with_advice(penstock, tmp_path):
    write_mib(tmp_path / "in/scan.mib", frames(4))
    np.save(tmp_path / "in/scan.npy", frames(4))
    write_mib(tmp_path / "in/scan/inner.mib", frames(2))
    done = penstock("ingest", tmp_path / "in", "--to", f"{tmp_path}/store/", status=1)
    assert datasets_below(tmp_path / "store") == ["scan"]
    assert done.stderr.count("another acquisition has this name") == 2
    assert "--to" in done.stderr


def test_a_changed_source_is_told_and_replaced_when_asked(penstock, tmp_path):
    write_mib(tmp_path / "in/scan.mib", frames(4, seed=1))
    penstock("ingest", tmp_path / "in", "--to", f"{tmp_path}/store/")
    write_mib(tmp_path / "in/scan.mib", frames(6, seed=2))
    done = penstock("ingest", tmp_path / "in", "--to", f"{tmp_path}/store/", status=1)
    assert "--replace" in done.stderr
    penstock("ingest", tmp_path / "in", "--to", f"{tmp_path}/store/", "--replace")
    np.testing.assert_array_equal(stored(tmp_path / "store/scan").reshape(6, 8, 6),
                                  frames(6, seed=2))


def test_a_file_touched_or_copied_is_known_by_its_digest(penstock, tmp_path):
    source = write_mib(tmp_path / "in/scan.mib", frames(4))
    penstock("ingest", tmp_path / "in", "--to", f"{tmp_path}/store/")
    os.utime(source, (1, 1))
    done = penstock("ingest", tmp_path / "in", "--to", f"{tmp_path}/store/", "--json")
    assert summary(done)["already_done"] == 1


def test_a_folder_needs_a_store(penstock, session, tmp_path):
    done = penstock("ingest", session, "--to", tmp_path / "new", status=2)
    assert "end the name with '/'" in done.stderr


def test_many_small_acquisitions_at_once(penstock, tmp_path):
    for i in range(24):
        write_mib(tmp_path / f"in/{i % 3}/scan_{i}_.mib", frames(4, seed=i), columns=2)
    done = penstock("ingest", tmp_path / "in", "--to", f"{tmp_path}/store/", "--jobs", 4, "--json")
    assert summary(done)["ingested"] == 24
    for i in (0, 13, 23):
        np.testing.assert_array_equal(
            stored(tmp_path / f"store/{i % 3}/scan_{i}").reshape(4, 8, 6), frames(4, seed=i))


def test_killed_right_after_its_publication(penstock, tmp_path):
    write_mib(tmp_path / "in/scan.mib", frames(4))
    command = ["ingest", tmp_path / "in", "--to", f"{tmp_path}/store/", "--json"]
    penstock(*command)
    store = tmp_path / "store"
    (digest,) = [line.split()[0] for line in (store / "scan/checksums.xxh128").read_text().splitlines()
                 if line.endswith("/nexus.json")]
    journal = store / ".scan.ingest.journal"
    for announced, is_left in ((digest, False), ("of another one", True)):
        journal.write_text(json.dumps({"plan": "some"}) + "\n" + json.dumps({"publish": announced}) + "\n")
        penstock(*command, "--dry-run")
        assert journal.exists()
        assert summary(penstock(*command))["already_done"] == 1
        assert journal.exists() == is_left


def test_stopped_or_killed_the_same_command_continues(penstock, tmp_path):
    for i in range(12):
        write_mib(tmp_path / f"in/scan_{i}_.mib", frames(400, 32, 32, seed=i), columns=20)
    command = ["ingest", tmp_path / "in", "--to", f"{tmp_path}/store/", "--json"]
    for number, expected in ((signal.SIGINT, 1), (signal.SIGKILL, -signal.SIGKILL)):
        for _ in range(20):
            process = subprocess.Popen([str(penstock.binary), *map(str, command)],
                                       stdout=subprocess.PIPE, text=True)
            for line in process.stdout:
                if '"result"' in line:
                    break
            process.send_signal(number)
            process.stdout.read()
            if process.wait(120) != 0:
                break
            shutil.rmtree(tmp_path / "store")  # it was faster
        assert process.returncode == expected
    done = penstock(*command)
    found = summary(done)
    assert found["ingested"] + found["already_done"] == 12 and found["already_done"] >= 1
    assert not [p for p in (tmp_path / "store").iterdir() if p.name.endswith((".ingest", "journal"))]
    penstock("verify", *sorted(p.parent for p in (tmp_path / "store").rglob("nexus.json")))
