"""SEQ against LiberTEM: depths, versions, padding, dark and gain references."""

import struct

import numpy as np
import pytest
from record_formats import anomalies, entry, ingest, libertem_array, refused


def write_seq(path, frames, version=5, padding=64, bits=None):
    """A sequence from the description of the format; images are followed by their times."""
    count, rows, columns = frames.shape
    bits = bits or frames.dtype.itemsize * 8
    size = frames[0].nbytes
    name = "Norpix seq\n".encode("utf-16-le").ljust(24, b"\0")
    description = "made for a test".encode("utf-16-le").ljust(512, b"\0")
    header = struct.pack("<L24sll512s9Ld", 0xFEED, name, version, 1024, description, columns, rows,
                         bits, 12, size, 100, count, 0, size + padding, 400.0)
    header += struct.pack("<lLLLlllL", 0, 0, 0, 0, 0, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(header.ljust(8192 if version >= 5 else 1024, b"\0"))
        for i, frame in enumerate(frames):
            time = struct.pack("<lHH", 1_600_000_000 + i, i, 125)
            file.write(frame.tobytes() + time[:padding].ljust(padding, b"\0"))


def write_mrc(path, image):
    words = struct.pack("<10i", image.shape[1], image.shape[0], 1, 2, 0, 0, 0, image.shape[1],
                        image.shape[0], 1)
    path.write_bytes(words.ljust(208, b"\0") + b"MAP DA".ljust(816, b"\0") +
                     image.astype("<f4").tobytes())


def pixels(shape, dtype):
    return np.random.default_rng(6).integers(0, np.iinfo(dtype).max, shape,
                                             endpoint=True).astype(dtype)


@pytest.mark.parametrize("dtype, version, padding, shape", [
    ("<u2", 5, 64, (6, 8, 12)), ("u1", 3, 1000, (6, 7, 5)), ("<u2", 4, 0, (6, 5, 9)),
    ("<u4", 5, 8, (4, 6, 6))])
def test_generated(penstock, tmp_path, dtype, version, padding, shape):
    frames = pixels(shape, dtype)
    path = tmp_path / "a.seq"
    write_seq(path, frames, version, padding)
    stored, tree = ingest(penstock, path, tmp_path / "out")
    np.testing.assert_array_equal(stored, frames)
    assert stored.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(
        stored, libertem_array("seq", path=str(path), nav_shape=(shape[0],)))
    if padding >= 8:
        assert entry(tree, "start_time").startswith("2020-09-13T12:26:40")
    penstock("verify", tmp_path / "out", "--source", path)
    scan, _ = ingest(penstock, path, tmp_path / "scan", "--scan-shape", f"2,{shape[0] // 2}")
    np.testing.assert_array_equal(scan.reshape(shape), frames)


@pytest.mark.parametrize("name", ["a.seq", "a.seq.seq"])
def test_references(penstock, tmp_path, name):
    frames = pixels((6, 8, 12), "<u2")
    write_seq(tmp_path / name, frames)
    random = np.random.default_rng(1)
    write_mrc(tmp_path / "a.seq.dark.mrc", random.uniform(0, 300, (8, 12)))
    write_mrc(tmp_path / "a.seq.gain.mrc", random.uniform(0.5, 1.5, (8, 12)))
    raw, tree = ingest(penstock, tmp_path / name, tmp_path / "raw")
    np.testing.assert_array_equal(raw, frames)
    assert entry(tree, "penstock/sources")["role"] == ["frames", "dark", "gain"]
    corrected, tree = ingest(penstock, tmp_path / name, tmp_path / "out", "--subtract-dark",
                             "--gain", tmp_path / "a.seq.gain.mrc")
    assert corrected.dtype == np.float32
    np.testing.assert_array_equal(
        corrected, libertem_array("seq", path=str(tmp_path / name), nav_shape=(6,)))
    assert "a.seq.dark.mrc subtracted" in str(entry(tree, "penstock/history"))
    (tmp_path / "a.seq.dark.mrc").unlink()
    assert "no dark reference" in refused(penstock, tmp_path / name, tmp_path / "no",
                                          "--subtract-dark")


def test_cut_and_refused(penstock, tmp_path):
    frames = pixels((4, 5, 6), "<u2")
    path = tmp_path / "a.seq"
    write_seq(path, frames)
    whole = path.read_bytes()
    path.write_bytes(whole[:-70])
    stored, tree = ingest(penstock, path, tmp_path / "out", status=3)
    np.testing.assert_array_equal(stored, frames[:3])
    assert [kind for kind, _ in anomalies(tree)] == ["truncated", "missing frame"]
    path.write_bytes(whole[:620] + struct.pack("<L", 1) + whole[624:])
    assert "compressed" in refused(penstock, path, tmp_path / "no")
    write_seq(path, frames, bits=12)
    assert "8, 16 or 32" in refused(penstock, path, tmp_path / "no")
