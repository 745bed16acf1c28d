"""EMPAD against LiberTEM and rosettasciio: every generation of the XML, descriptions that lie, raw
files without any, and files that are cut."""

import shutil

import numpy as np
import pytest
from record_formats import anomalies, entry, ingest, libertem_array, refused

ROWS, SIDE = 130, 128
FRAME_BYTES = ROWS * SIDE * 4


def write_raw(path, frames, seed=3):
    """Frames of 130 x 128 float32; the last two rows are no image. Returns the images."""
    values = np.random.default_rng(seed).normal(0, 50, (frames, ROWS, SIDE)).astype("<f4")
    values[0, 5, 7] = np.nan
    path.write_bytes(values.tobytes())
    return values[:, :SIDE]


def xml(raw_name, body):
    return f'<root name="a"><raw_file filename="{raw_name}"/>{body}</root>'


def scan(mode, ny, nx):
    return (f'<scan_parameters mode="{mode}"><scan_resolution_x>{nx}</scan_resolution_x>'
            f"<scan_resolution_y>{ny}</scan_resolution_y></scan_parameters>")


def test_scan_and_what_it_says(penstock, tmp_path):
    images = write_raw(tmp_path / "scan_x3_y4.raw", 12)
    (tmp_path / "a.xml").write_text(xml("scan_x3_y4.raw", """
<timestamp timestamp="1774471672.586728" isoformat="2026-03-25T16:47:52.586728"/>
<software_version>1.2.2  (2021-08-20)</software_version><exposure_time>2</exposure_time>
<iom_measurements><full_scan_field_of_view><scale_factor>0.72</scale_factor><x>1.2e-06</x>
<y>1.3e-06</y></full_scan_field_of_view><nominal_camera_length>0.369</nominal_camera_length>
<high_voltage>300000.0</high_voltage></iom_measurements>""" +
                                          scan("search", 64, 64) + scan("acquire", 4, 3)))
    # The search parameters do not fill the file, which is said.
    stored, tree = ingest(penstock, tmp_path / "a.xml", tmp_path / "out", status=3)
    np.testing.assert_array_equal(stored, images.reshape(4, 3, SIDE, SIDE))
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, libertem_array("empad", path=str(tmp_path / "a.xml")))
    event = "measurement/event1/instrument/"
    assert entry(tree, event + "detector1/count_time") == 0.002
    assert entry(tree, event + "detector1/count_time@units") == "s"
    assert entry(tree, event + "ebeam_column/electron_source/voltage") == 300000
    assert entry(tree, event + "optics/camera_length") == 0.369
    assert entry(tree, event + "optics/camera_length@units") == "m"
    field = event + "ebeam_column/scan_controller/full_field_of_view"
    assert entry(tree, field) == [1.2e-6, 1.3e-6]
    assert entry(tree, "start_time") == "2026-03-25T20:47:52.586728Z"
    assert "scan_parameters acquire" in entry(tree, "penstock/scan_shape_evidence")
    [(kind, message)] = anomalies(tree)
    assert kind == "other" and "64 x 64" in message
    # The raw file finds its description; the digest covers the footers too.
    penstock("verify", tmp_path / "out", "--source", tmp_path / "scan_x3_y4.raw", status=None)
    again, _ = ingest(penstock, tmp_path / "scan_x3_y4.raw", tmp_path / "again", status=3)
    np.testing.assert_array_equal(again, stored)


@pytest.mark.parametrize("name, shape", [("map4x4.xml", (4, 4)), ("stack_images.xml", (10,)),
                                         ("map128x128_version1.2.0.xml", None)])
def test_real_descriptions_with_made_pixels(penstock, tmp_path, hyperspy_data, name, shape):
    from rsciio.empad import file_reader
    shutil.copy(hyperspy_data / "empad_data" / name, tmp_path / name)
    path = tmp_path / name
    if shape is None:  # 1 GB of frames: only the refusal of a file that is too short
        write_raw(tmp_path / "scan_x128_y128.raw", 3)
        assert "3 frames" in refused(penstock, path, tmp_path / "out")
        return
    raw = "scan_x4_y4.raw" if len(shape) == 2 else "series_x10.raw"
    images = write_raw(tmp_path / raw, int(np.prod(shape)))
    stored, tree = ingest(penstock, path, tmp_path / "out", status=3 if len(shape) == 2 else 0)
    np.testing.assert_array_equal(stored, images.reshape(*shape, SIDE, SIDE))
    np.testing.assert_array_equal(stored, file_reader(str(path))[0]["data"])
    if len(shape) == 2:
        event = "measurement/event1/instrument/"
        assert entry(tree, event + "optics/camera_length") == 0.7225
        assert "128 x 128" in anomalies(tree)[0][1]


def test_one_that_was_recorded_with_the_search_parameters(penstock, tmp_path):
    images = write_raw(tmp_path / "s.raw", 6)
    (tmp_path / "s.xml").write_text(xml("s.raw", scan("search", 2, 3) + scan("acquire", 9, 9)))
    stored, _ = ingest(penstock, tmp_path / "s.xml", tmp_path / "out", status=3)
    np.testing.assert_array_equal(stored, images.reshape(2, 3, SIDE, SIDE))
    np.testing.assert_array_equal(stored, libertem_array("empad", path=str(tmp_path / "s.xml")))


@pytest.mark.parametrize("named, actual", [
    ("/home/empad/projects/probe &amp; Gr\u00fcn\u00df \u03b1.raw", "probe & Gr\u00fcn\u00df \u03b1.raw"),
    ("C:\\data\\b.raw", "b.raw"), ("../../b.raw", "b.raw"), ("gone.raw", "d.raw"),
    ("gone.raw", "renamed.raw"), ("", "d.raw"), ("..", "d.raw")])
def test_names_of_the_raw_file(penstock, tmp_path, named, actual):
    images = write_raw(tmp_path / actual, 6)
    (tmp_path / "d.xml").write_text(xml(named, scan("acquire", 2, 3)))
    found = actual.removesuffix(".raw") in named.replace("&amp;", "&")
    stored, tree = ingest(penstock, tmp_path / "d.xml", tmp_path / "out", status=0 if found else 3)
    np.testing.assert_array_equal(stored, images.reshape(2, 3, SIDE, SIDE))
    if not found:
        assert any(actual in message for _, message in anomalies(tree))


def test_raw_file_without_description(penstock, tmp_path):
    images = write_raw(tmp_path / "scan_x2_y3.raw", 6)
    stored, _ = ingest(penstock, tmp_path / "scan_x2_y3.raw", tmp_path / "out")
    np.testing.assert_array_equal(stored, images.reshape(3, 2, SIDE, SIDE))
    (tmp_path / "scan_x2_y3.raw").rename(tmp_path / "other.raw")
    # Any file may be of such a size.
    assert "not recognised" in refused(penstock, tmp_path / "other.raw", tmp_path / "no")
    stored, _ = ingest(penstock, tmp_path / "other.raw", tmp_path / "series", "--format", "empad")
    np.testing.assert_array_equal(stored, images)
    stored, _ = ingest(penstock, tmp_path / "other.raw", tmp_path / "scan", "--format", "empad",
                       "--scan-shape", "2,3")
    np.testing.assert_array_equal(stored, images.reshape(2, 3, SIDE, SIDE))


def test_files_that_are_cut(penstock, tmp_path):
    images = write_raw(tmp_path / "s.raw", 6)
    (tmp_path / "s.xml").write_text(xml("s.raw", scan("acquire", 2, 3)))
    with open(tmp_path / "s.raw", "r+b") as file:
        file.truncate(5 * FRAME_BYTES + 1000)
    error = refused(penstock, tmp_path / "s.xml", tmp_path / "out")
    assert "5 frames" in error and "2 x 3" in error
    stored, tree = ingest(penstock, tmp_path / "s.xml", tmp_path / "out", "--accept-contradictions",
                          "--missing", "zero", status=3)
    np.testing.assert_array_equal(stored.reshape(6, SIDE, SIDE)[:5], images[:5])
    assert not stored.reshape(6, SIDE, SIDE)[5].any()
    assert "truncated" in [kind for kind, _ in anomalies(tree)]
    (tmp_path / "s.raw").write_bytes(b"x" * 100)
    assert "no complete frame" in refused(penstock, tmp_path / "s.xml", tmp_path / "none")


@pytest.mark.parametrize("text, words", [
    ("<root><raw_file filename='s.raw'/><scan_parameters>", "not well-formed"),
    ("<!DOCTYPE root [<!ENTITY a 'b'>]><root><raw_file filename='s.raw'/><scan_parameters/></root>",
     "document type definition"),
    ("<root><a><raw_file filename='s.raw'/></a><scan_parameters/></root>", "names no raw file")])
def test_damaged_descriptions(penstock, tmp_path, text, words):
    write_raw(tmp_path / "s.raw", 2)
    (tmp_path / "s.xml").write_text(text)
    error = refused(penstock, tmp_path / "s.xml", tmp_path / "out")
    assert words in error and "s.xml" in error


def test_numbers_that_are_none(penstock, tmp_path):
    images = write_raw(tmp_path / "s.raw", 4)
    (tmp_path / "s.xml").write_text(xml(
        "s.raw", "<exposure_time>soon</exposure_time>" + scan("acquire", -1, "99999999999999999999")
        + scan("search", 2, 2)))
    stored, tree = ingest(penstock, tmp_path / "s.xml", tmp_path / "out", status=3)
    np.testing.assert_array_equal(stored, images.reshape(2, 2, SIDE, SIDE))
    messages = " ".join(message for _, message in anomalies(tree))
    assert "'soon'" in messages and "'-1'" in messages


def test_no_raw_file_at_all(penstock, tmp_path):
    (tmp_path / "s.xml").write_text(xml("s.raw", scan("acquire", 2, 2)))
    assert "is not there" in refused(penstock, tmp_path / "s.xml", tmp_path / "out")


def test_synthetic_sample(penstock, tmp_path, samples):
    import hashlib
    stored, _ = ingest(penstock, samples / "synthetic/empad/scan_x3_y4.xml", tmp_path / "out",
                       status=3)
    assert hashlib.sha256(stored.tobytes()).hexdigest() == (
        "86164184edd14d143fd06e2ee8c89a281287054a50ce70e525850a4af19dbd2f")
