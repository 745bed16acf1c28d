"""What penstock/cachefs/upstream.h promises, on every kind of store: a directory, nginx with its
listings in JSON and in HTML, S3."""

import errno
import pathlib
import random

import pytest
import xxhash

from remote_stores import STORES, probing

# By hand: what makes trouble in paths, in percent-encoding, in HTML and in signatures.
ODD_NAMES = ["with space", "per%cent", "%41", "a+b", "a&b=c", "semi;colon", "quote\"'", "ümläut-日本",
             "hash#tag", "what?", "back\\slash", "tilde~", "(paren)[bracket]", "{brace}", "star*",
             "at@colon:", "comma,", "<angle>", "dollar$!", ".hidden", "trailing ", "caret^|", "é"]
LARGE = random.Random(7).randbytes(3_000_017)


def digest(contents):
    return xxhash.xxh3_128_hexdigest(contents)


@pytest.fixture(scope="module", params=list(STORES))
def store(request, tmp_path_factory):
    store = STORES[request.param](tmp_path_factory.mktemp(request.param))
    for number, name in enumerate(ODD_NAMES):
        store.put(f"odd/{name}", f"file {number}".encode())
    store.put("odd dirs/über uns & you/f", b"inside")
    store.put("large", LARGE)
    store.put("empty", b"")
    store.put("deep/er/and/deeper/file", b"deep")
    store.put("twin/x", b"1")
    store.put("twin-a", b"a name that sorts before the directory's")
    store.put("page", b"")
    many = store.root / "many"
    many.mkdir()
    for number in range(10_000):
        (many / f"frame_{number:05}").touch()
    for number in range(3):
        (many / f"sub{number}").mkdir()
        (many / f"sub{number}/x").touch()
    store.start()
    yield store
    store.close()


@pytest.fixture(scope="module")
def probe(penstock, store):
    # moto needs seconds for a page of a large directory, where the machine is busy.
    with probing(penstock.binary, store, "--timeout", 90) as probe:
        yield probe


def test_stat(store, probe):
    large = probe("stat", "large")
    assert (large["type"], large["size"]) == ("file", len(LARGE))
    assert abs(large["mtime"] - (store.root / "large").stat().st_mtime) <= (
        600 if store.kind == "s3" else 1)
    assert probe("stat", "empty")["size"] == 0
    for directory in ("", "deep", "deep/er/and", "many", "twin", "odd dirs/über uns & you"):
        assert probe("stat", directory)["type"] == "directory", directory


def test_identities_are_stable_and_differ(probe):
    identities = [tuple(probe("stat", path)["identity"])
                  for path in ("large", "empty", "page", "deep", "many")]
    assert len(set(identities)) == len(identities)
    assert identities[0] == tuple(probe("stat", "large")["identity"])
    assert identities[0] == tuple(probe("open", "large", handle="a")["identity"])


def test_missing(probe):
    for path in ("nothing", "deep/nothing", "large/below", "deep/e", "man", "many/frame_99999"):
        assert probe("stat", path)["error"] == "not found", path
        assert probe("read", path, size=10)["error"] == "not found", path
        assert probe("open", path, handle="b")["error"] == "not found", path
        assert probe("list", path)["error"] == "not found", path
    assert probe("list", "large")["error"] == "not found"


def test_list(probe):
    assert probe("list")["entries"] == {
        "odd": "directory", "odd dirs": "directory", "large": "file", "empty": "file",
        "deep": "directory", "twin": "directory", "twin-a": "file", "page": "file",
        "many": "directory"}
    assert probe("list", "deep")["entries"] == {"er": "directory"}
    assert probe("list", "deep/er/and/deeper")["entries"] == {"file": "file"}
    assert probe("list", "odd dirs/über uns & you")["entries"] == {"f": "file"}


def test_list_of_ten_thousand(probe):
    entries = probe("list", "many")["entries"]
    expected = {f"frame_{number:05}": "file" for number in range(10_000)}
    expected |= {f"sub{number}": "directory" for number in range(3)}
    assert entries == expected


def test_odd_names(store, probe):
    listed = {name: "file" for name in ODD_NAMES}
    if store.kind.startswith("http"):
        del listed[".hidden"]  # nginx does not show them
    assert probe("list", "odd")["entries"] == listed
    for number, name in enumerate(ODD_NAMES):
        contents = f"file {number}".encode()
        assert probe("stat", f"odd/{name}")["size"] == len(contents), name
        read = probe("read", f"odd/{name}", size=100)
        assert (read.get("count"), read.get("xxh128")) == (len(contents), digest(contents)), name
    assert probe("read", "odd dirs/über uns & you/f", size=100)["xxh128"] == digest(b"inside")


def test_ranges(probe):
    size = len(LARGE)
    for offset, count in ((0, 1), (0, 4096), (1, 65536), (size - 1, 1), (size - 1, 100),
                          (size - 5000, 5000), (size - 5000, 5001), (0, size), (0, size + 1),
                          (1 << 20, 1 << 20), (size, 1), (size, 4096), (size + 1, 10),
                          (1 << 40, 100), (17, 0)):
        expected = LARGE[offset:offset + count]
        read = probe("read", "large", offset=offset, size=count)
        assert (read.get("count"), read.get("xxh128")) == (len(expected), digest(expected)), (
            offset, count, read)
    for offset in (0, 1):
        assert probe("read", "empty", offset=offset, size=100)["count"] == 0


def test_open_file(probe):
    opened = probe("open", "large", handle="c")
    assert opened["size"] == len(LARGE)
    assert probe("read_open", handle="c", offset=5, size=70)["xxh128"] == digest(LARGE[5:75])
    assert probe("read_open", handle="c", offset=len(LARGE) - 3, size=70)["count"] == 3
    assert probe("read_open", handle="c", offset=len(LARGE), size=70)["count"] == 0
    probe("close", handle="c")


def test_directories_are_not_read(probe):
    for path in ("deep", "many"):
        assert "error" in probe("read", path, size=10)
    assert probe("open", "deep", handle="d")["type"] == "directory"
    assert "error" in probe("read_open", handle="d", size=10)


def test_links_and_space(store, probe):
    assert "error" in probe("readlink", "large")
    assert probe("readlink", "nothing")["error"]
    assert "error" not in probe("space")
    assert store.address.rstrip("/") in probe("name")["name"]


def test_changed_file(store, probe):
    old, new = b"one state" * 1000, b"another state" * 1000
    store.put("changing", old)
    before = probe("open", "changing", handle="e")
    again = dict(identity=before["identity"], size=20_000)
    assert probe("read_unchanged", "changing", **again)["xxh128"] == digest(old)
    assert probe("read_unchanged", "changing", offset=len(old), **again)["count"] == 0
    store.put("changing", new)
    for offset in (0, 100, len(old), len(new) + 10):
        assert probe("read_unchanged", "changing", offset=offset, **again)["errno"] == errno.ESTALE
    # What was opened is the old state or an error, never a mixture.
    read = probe("read_open", handle="e", size=20_000)
    assert read.get("xxh128") == digest(old) or read["errno"] == errno.ESTALE
    after = probe("stat", "changing")
    assert after["identity"] != before["identity"]
    assert probe("read_unchanged", "changing", identity=after["identity"],
                 size=20_000)["xxh128"] == digest(new)
    store.remove("changing")
    assert probe("read_unchanged", "changing", identity=after["identity"], size=20_000)["error"]
    assert probe("stat", "changing")["error"] == "not found"


def test_many_threads(probe):
    calls = []
    for number in range(120):
        kind = number % 4
        offset = number * 20_011
        calls.append([{"do": "stat", "path": "large"},
                      {"do": "read", "path": "large", "offset": offset, "size": 65_536},
                      {"do": "list", "path": "deep"},
                      {"do": "read", "path": f"odd/{ODD_NAMES[number % len(ODD_NAMES)]}",
                       "size": 50}][kind])
    outcomes = probe("at_once", calls=calls, threads=8)["outcomes"]
    for number, (call, outcome) in enumerate(zip(calls, outcomes)):
        assert "error" not in outcome, (call, outcome)
        if number % 4 == 1:
            assert outcome["xxh128"] == digest(LARGE[call["offset"]:call["offset"] + 65_536])
        elif number % 4 == 3:
            assert outcome["xxh128"] == digest(f"file {number % len(ODD_NAMES)}".encode())


def test_store_that_vanishes_and_returns(store, probe):
    """Last: the S3 service holds what the directory holds, once it is started again."""
    before = probe("stat", "large")
    assert before["size"] == len(LARGE)
    probe("open", "large", handle="f")
    store.vanish()
    calls = [dict(do="stat", path="large"), dict(do="stat", path=""), dict(do="list", path=""),
             dict(do="list", path="deep"), dict(do="read", path="large", size=10),
             dict(do="stat", path="nothing"), dict(do="space"), dict(do="open", path="large", handle="g"),
             dict(do="read_unchanged", path="large", size=10, identity=before["identity"])]
    outcomes = probe("at_once", calls=calls, threads=8)["outcomes"]
    for call, outcome in zip(calls, outcomes):
        assert outcome["error"] != "not found", (call, outcome)
    store.come_back()
    assert probe("stat", "large")["size"] == len(LARGE)
    assert probe("read", "large", size=10)["xxh128"] == digest(LARGE[:10])
    assert probe("stat", "nothing")["error"] == "not found"
