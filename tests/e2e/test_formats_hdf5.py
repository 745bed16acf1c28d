"""HDF5 sources: `penstock ingest` against h5py (with hdf5plugin), on generated files of every filter,
type, chunk shape, byte order and index, on damaged ones, and on real files."""

import itertools
import json
import os
import pathlib
import subprocess

import h5py
import hdf5plugin
import numpy as np
import pytest
import zarr

SHAPE = (5, 7, 12, 18)


def values(dtype, shape=SHAPE, seed=1):
    """Small counts with a few large ones, so that every byte plane of an element is used."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    numbers = rng.poisson(3, shape).astype(dtype)
    if dtype.kind == "f":
        numbers = (numbers * np.pi - 2).astype(dtype)
    elif dtype.kind == "i":
        numbers = (numbers - 2).astype(dtype)
    if dtype.kind in "iu":
        spots = rng.integers(0, numbers.size, 40)
        numbers.reshape(-1)[spots] = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, 40,
                                                  dtype.newbyteorder("="), endpoint=True)
    return numbers


def stored(dataset):
    return zarr.open_array(dataset / "data.zarr/real", mode="r")[...]


def nexus(dataset):
    return json.loads((dataset / "nexus.json").read_text())["entry1"]


BUILD = pathlib.Path(os.environ.get("PENSTOCK_BUILD_DIR", pathlib.Path(__file__).resolve().parents[2] / "build/release"))


def decode(source, folder, *paths, frames=4, threads=2, **environment):
    """Frames as the pipeline gets them, without an ingest: one array (frames, rows, columns) and the
    number of invalid frames per dataset path; or the error's text."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run([str(part) for part in
                           (BUILD / "tests/penstock_decode_source", folder, frames, threads, source, *paths)],
                          capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, **environment})
    assert done.returncode in (0, 1), done.stderr
    found = []
    for i, line in enumerate(done.stdout.splitlines()):
        words = line.split()
        if not os.path.exists(folder / f"{i}.raw"):
            found.append(line)
            continue
        shape = tuple(map(int, words[1:4]))
        found.append((np.fromfile(folder / f"{i}.raw", words[0]).reshape(shape), int(words[4])))
        os.unlink(folder / f"{i}.raw")
    return found


def ingest(penstock, source, out, *options, status=0):
    done = penstock("ingest", source, "--to", out, *options, status=status)
    return done if status not in (0, 3) else stored(out)


def same(got, want):
    assert got.dtype == want.dtype.newbyteorder("<") or got.dtype == want.dtype.newbyteorder("=")
    np.testing.assert_array_equal(got, want)


FILTERS = {
    "none": {},
    "deflate": {"compression": "gzip"},
    "deflate+shuffle": {"compression": "gzip", "shuffle": True},
    "fletcher32+shuffle+deflate": {"compression": "gzip", "shuffle": True, "fletcher32": True},
    "fletcher32": {"fletcher32": True},
    "shuffle": {"shuffle": True},
    "lzf": {"compression": "lzf"},
    "lzf+shuffle": {"compression": "lzf", "shuffle": True},
    "szip": {"compression": "szip"},
    "scaleoffset": {"scaleoffset": 0},
    "bitshuffle": dict(hdf5plugin.Bitshuffle(cname="none")),
    "bitshuffle-lz4": dict(hdf5plugin.Bitshuffle(cname="lz4")),
    "bitshuffle-lz4, odd blocks": dict(hdf5plugin.Bitshuffle(nelems=64, cname="lz4")),
    "bitshuffle-zstd": dict(hdf5plugin.Bitshuffle(cname="zstd")),
    "lz4": dict(hdf5plugin.LZ4(nbytes=1000)),
    "zstd": dict(hdf5plugin.Zstd()),
    "blosc-lz4": dict(hdf5plugin.Blosc(cname="lz4", shuffle=hdf5plugin.Blosc.SHUFFLE)),
    "blosc-zstd-bit": dict(hdf5plugin.Blosc(cname="zstd", shuffle=hdf5plugin.Blosc.BITSHUFFLE)),
    "blosc-blosclz": dict(hdf5plugin.Blosc(cname="blosclz", shuffle=hdf5plugin.Blosc.NOSHUFFLE)),
    "blosc-zlib": dict(hdf5plugin.Blosc(cname="zlib")),
}
CHUNKS = {
    "a frame": (1, 1, 12, 18),
    "frames of a row": (1, 3, 12, 18),
    "rows of frames": (2, 7, 12, 18),
    "odd on every axis": (2, 3, 5, 7),
    "part of a frame": (1, 1, 12, 5),
    "larger than the array": (6, 8, 13, 20),
}
TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]


@pytest.mark.parametrize("filter_name", FILTERS)
def test_filters_and_chunk_shapes(tmp_path, filter_name):
    """Every filter with every chunk shape, types and byte orders in turn."""
    kinds = itertools.cycle(["<u2", ">u2", "<u4", "<i2", ">u4", "u1", ">f8"])
    source = tmp_path / "scan.h5"
    want = {}
    with h5py.File(source, "w") as file:
        for (name, chunk), _ in itertools.product(CHUNKS.items(), range(2)):
            dtype = next(kinds)
            data = values(dtype)
            if filter_name == "scaleoffset":
                dtype = dtype.replace("f8", "u2")
                data = (np.abs(data.astype("i8")) % 50).astype(dtype)
            key = f"{name} {dtype}"
            if key in want:
                continue
            options = {"maxshape": (None,) * 4} if "larger" in name else {}
            file.create_dataset(key, data=data, chunks=chunk, **options, **FILTERS[filter_name])
            want[key] = data
    for frames in (1, 5, 35):
        for (key, data), (got, invalid) in zip(
                want.items(), decode(source, tmp_path / "raw", *want, frames=frames), strict=True):
            assert invalid == 0
            same(got.reshape(SHAPE), data)


@pytest.mark.parametrize("order", "<>")
def test_every_type_and_byte_order(tmp_path, order):
    source = tmp_path / "scan.h5"
    want = {}
    with h5py.File(source, "w") as file:
        # 13 and 17 make frames that are no multiple of 8 pixels.
        for kind, name in itertools.product(TYPES, ["none", "bitshuffle-lz4", "deflate+shuffle", "blosc-lz4"]):
            want[f"{kind} {name}"] = values(order + kind, (3, 4, 13, 17))
            file.create_dataset(f"{kind} {name}", data=want[f"{kind} {name}"], chunks=(1, 2, 13, 17),
                                **FILTERS[name])
        want["contiguous"] = values(order + "u4", (3, 4, 13, 17))
        file["contiguous"] = want["contiguous"]
        want["flags"] = (values("u1", (3, 4, 13, 17)) > 3).astype("u1")
        file["flags"] = want["flags"].astype(bool)
        want["compact"] = values(order + "u2", (3, 4, 13, 17))
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        compact = h5py.h5d.create(file.id, b"compact", h5py.h5t.py_create(want["compact"].dtype),
                                  h5py.h5s.create_simple((3, 4, 13, 17)), plist)
        compact.write(h5py.h5s.ALL, h5py.h5s.ALL, want["compact"])
        # 12 significant bits in 16: the library converts.
        narrow = h5py.h5t.STD_U16BE.copy()
        narrow.set_precision(12)
        narrow.set_offset(2)
        want["12 bits"] = values("<u2", (3, 4, 13, 17)) % 4096
        twelve = h5py.h5d.create(file.id, b"12 bits", narrow, h5py.h5s.create_simple((3, 4, 13, 17)))
        twelve.write(h5py.h5s.ALL, h5py.h5s.ALL, want["12 bits"])
    for (key, data), (got, _) in zip(want.items(), decode(source, tmp_path / "raw", *want), strict=True):
        same(got.reshape(data.shape), data)


INDEXES = {  # shape, chunk, options
    "one chunk": ((6, 7, 8, 6), (6, 7, 8, 6), {}),
    "one chunk, filtered": ((6, 7, 8, 6), (6, 7, 8, 6), {"compression": "gzip"}),
    "fixed": ((6, 7, 8, 6), (1, 1, 8, 6), {"compression": "gzip"}),
    "fixed, paged": ((60, 40, 3, 4), (1, 1, 3, 4), {"compression": "gzip"}),
    "growing": ((300, 9, 3, 4), (1, 3, 3, 4), {"maxshape": (None, 9, 3, 4)}),
    "growing inside": ((5, 120, 3, 4), (1, 1, 3, 4), {"maxshape": (5, None, 3, 4)}),
    "growing twice": ((6, 7, 8, 6), (1, 1, 8, 6), {"maxshape": (None, None, 8, 6)}),
    "growing, filtered": ((2000, 3, 4), (1, 3, 4), {"maxshape": (None, 3, 4), "compression": "gzip"}),
    "growing, paged": ((40000, 3, 4), (2, 3, 4), {"maxshape": (None, 3, 4), "compression": "gzip"}),
    "many": ((90, 100, 3, 4), (1, 1, 3, 4), {"maxshape": (None, None, 3, 4), "shuffle": True}),
}


@pytest.mark.parametrize("libver", ["earliest", ("v110", "v110")])
@pytest.mark.parametrize("userblock", [0, 1024])
def test_every_kind_of_index(tmp_path, libver, userblock):
    """Version 1 trees, and what libver v110 has in their place: single chunk, implicit, fixed and
    extensible arrays (paged ones too), version 2 trees."""
    source = tmp_path / "scan.h5"
    want = {}
    with h5py.File(source, "w", libver=libver, userblock_size=userblock) as file:
        for name, (shape, chunk, options) in INDEXES.items():
            want[name] = values("<u2", shape)
            file.create_dataset(name, data=want[name], chunks=chunk, **options)
    for (name, data), (got, invalid) in zip(
            want.items(), decode(source, tmp_path / "raw", *want, frames=1000), strict=True):
        assert invalid == 0, name
        same(got.reshape(data.shape), data)


def test_hash_of_the_source_is_that_of_the_file(penstock, tmp_path):
    """The vendor's bytes are hashed while chunks are read; what lies between them belongs to it."""
    want = values("<u2", (40, 50, 32, 64))
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_dataset("data", data=want, chunks=(1, 1, 32, 64), **hdf5plugin.Bitshuffle())
        file["more"] = np.arange(100000)
    ingest(penstock, tmp_path / "scan.h5", tmp_path / "out", "--block-size", 500000)
    sources = nexus(tmp_path / "out")["penstock"]["sources"]
    import xxhash
    data = (tmp_path / "scan.h5").read_bytes()
    leaves = [xxhash.xxh3_128_digest(data[at:at + (4 << 20)]) for at in range(0, len(data), 4 << 20)]
    expected = (xxhash.xxh3_128_hexdigest(data) if len(leaves) == 1
                else xxhash.xxh3_128_hexdigest(b"".join(leaves)))
    assert sources["checksum"] == [expected]
    penstock("verify", tmp_path / "out", "--source", tmp_path / "scan.h5", status=None)


def test_virtual_datasets_and_links(penstock, tmp_path):
    want = values("<u2", (6, 12, 18))
    for part in range(3):
        with h5py.File(tmp_path / f"part{part}.h5", "w") as file:
            file.create_dataset("frames", data=want[2 * part:2 * part + 2], chunks=(1, 12, 18),
                                **hdf5plugin.Bitshuffle())
    layout = h5py.VirtualLayout(shape=want.shape, dtype="<u2")
    for part in range(3):
        layout[2 * part:2 * part + 2] = h5py.VirtualSource(f"part{part}.h5", "frames", shape=(2, 12, 18))
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file.create_virtual_dataset("all", layout)
    same(ingest(penstock, tmp_path / "all.h5", tmp_path / "out"), want)
    assert nexus(tmp_path / "out")["penstock"]["sources"]["name"] == [
        "all.h5", "part0.h5", "part1.h5", "part2.h5"]

    with h5py.File(tmp_path / "links.h5", "w") as file:
        file["near"] = h5py.SoftLink("/a/b")
        file["a/b"] = h5py.ExternalLink("part1.h5", "/frames")
        file["loop"] = h5py.SoftLink("/loop2")
        file["loop2"] = h5py.SoftLink("/loop")
        file["gone"] = h5py.ExternalLink("nothing.h5", "/frames")
        file["out"] = h5py.ExternalLink("../elsewhere/part1.h5", "/frames")
    ((got, _),) = decode(tmp_path / "links.h5", tmp_path / "raw", "near")
    same(got, want[2:4])
    for path, message in [("loop", "without end"), ("gone", "nothing.h5"), ("out", "out of the folder"),
                          ("nowhere", "no 'nowhere'")]:
        (error,) = decode(tmp_path / "links.h5", tmp_path / "raw", path)
        assert message in error, error

    (tmp_path / "part2.h5").unlink()
    done = ingest(penstock, tmp_path / "all.h5", tmp_path / "out4", status=1)
    assert "part2.h5" in done.stderr


def test_interleaved_virtual_dataset_goes_through_the_library(penstock, tmp_path):
    want = values("<u2", (6, 12, 18))
    layout = h5py.VirtualLayout(shape=want.shape, dtype="<u2")
    for part in range(2):
        with h5py.File(tmp_path / f"part{part}.h5", "w") as file:
            file.create_dataset("frames", data=want[part::2])
        layout[part::2] = h5py.VirtualSource(f"part{part}.h5", "frames", shape=(3, 12, 18))
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file.create_virtual_dataset("all", layout)
    same(ingest(penstock, tmp_path / "all.h5", tmp_path / "out"), want)


def test_several_candidates_are_listed(penstock, tmp_path):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["a"] = values("<u2")
        file["b/c"] = values("<f4")
        file["curve"] = np.arange(10)
    done = ingest(penstock, tmp_path / "scan.h5", tmp_path / "out", status=2)
    assert "/a (5, 7, 12, 18) uint16" in done.stderr and "/b/c (5, 7, 12, 18) float32" in done.stderr
    assert "--dataset-path" in done.stderr and "/curve" not in done.stderr


def test_unwritten_chunks(penstock, tmp_path):
    want = values("<u2")
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        data = file.create_dataset("data", SHAPE, "<u2", chunks=(1, 1, 12, 18), fillvalue=7)
        data[:3] = want[:3]
        data[3, :4] = want[3, :4]
        file.create_dataset("never", SHAPE, "<u2", chunks=(1, 1, 12, 18))
    source = tmp_path / "scan.h5"
    done = ingest(penstock, source, tmp_path / "out", "--dataset-path", "data", status=1)
    assert "fewer frames" in done.stderr
    got = ingest(penstock, source, tmp_path / "out", "--dataset-path", "data", "--missing", "zero", status=3)
    np.testing.assert_array_equal(got[:3], want[:3])
    np.testing.assert_array_equal(got[3, :4], want[3, :4])
    key = zarr.open_array(tmp_path / "out/data.zarr/image_key", mode="r")[...]
    assert (key.reshape(-1) != 0).sum() == 10
    done = ingest(penstock, source, tmp_path / "out2", "--dataset-path", "never", status=1)
    assert "ever written" in done.stderr

    with h5py.File(source, "w") as file:  # a hole in the middle
        data = file.create_dataset("data", SHAPE, "<u2", chunks=(1, 1, 12, 18), fillvalue=7)
        data[:2] = want[:2]
        data[3:] = want[3:]
    got = ingest(penstock, source, tmp_path / "out3", status=3)
    key = zarr.open_array(tmp_path / "out3/data.zarr/image_key", mode="r")[...]
    assert (key[2] == 3).all() and (np.delete(key, 2, 0) == 0).all()
    assert (got[2] == 7).all()
    np.testing.assert_array_equal(got[3:], want[3:])


def test_damaged_files(penstock, tmp_path):
    want = values("<u2")
    whole = tmp_path / "whole.h5"
    with h5py.File(whole, "w") as file:
        file.create_dataset("data", data=want, chunks=(1, 1, 12, 18), **hdf5plugin.Bitshuffle())
        where = file["data"].id.get_chunk_info(9)
    data = whole.read_bytes()

    cut = tmp_path / "cut.h5"
    cut.write_bytes(data[:len(data) - 100])
    done = ingest(penstock, cut, tmp_path / "out", status=1)
    assert "cut short" in done.stderr and str(len(data)) in done.stderr

    for at, value, message in [(0, b"\xff" * 8, "larger than the dataset says"), (8, b"\0\0\0\3", "block size"),
                               (12, b"\xff\xff\xff\xff", "block 0 of 1"), (12, b"\0\0\0\x08", "block 0 of 1")]:
        bad = bytearray(data)
        bad[where.byte_offset + at:where.byte_offset + at + len(value)] = value
        (tmp_path / "bad.h5").write_bytes(bad)
        (error,) = decode(tmp_path / "bad.h5", tmp_path / "raw")
        assert message in error and "chunk at (1, 2, 0, 0)" in error, error
        assert str(where.byte_offset) in error and "bad.h5" in error

    for name, options in FILTERS.items():
        if name in ("none", "shuffle", "szip", "scaleoffset", "bitshuffle"):
            continue
        with h5py.File(tmp_path / "f.h5", "w") as file:
            file.create_dataset("data", data=want, chunks=(1, 1, 12, 18), **options)
            where = file["data"].id.get_chunk_info(3)
        if where.filter_mask:  # stored as it is: it did not get smaller
            continue
        bad = bytearray((tmp_path / "f.h5").read_bytes())
        for i in range(where.byte_offset, where.byte_offset + where.size):
            bad[i] ^= 0xA5
        (tmp_path / "f.h5").write_bytes(bad)
        (error,) = decode(tmp_path / "f.h5", tmp_path / "raw")
        assert "chunk at (0, 3, 0, 0)" in error, f"{name}: {error}"

    with h5py.File(tmp_path / "b2.h5", "w") as file:
        file.create_dataset("data", data=want, chunks=(1, 1, 12, 18), **hdf5plugin.Blosc2())
    done = ingest(penstock, tmp_path / "b2.h5", tmp_path / "out", status=1)
    assert "32026" in done.stderr and "h5repack" in done.stderr

    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file.create_dataset("data", data=want, external=[(str(tmp_path / "frames.raw"), 0, h5py.h5f.UNLIMITED)])
        file.create_dataset("half", data=want.astype("<f2"))
        file.create_dataset("complex", data=want.astype("<c8"))
        file.create_dataset("text", data=[b"a", b"b"])
    for path, message in [("data", "frames.raw"), ("half", "float16"), ("complex", "compound"),
                          ("text", "two axes")]:
        (error,) = decode(tmp_path / "raw.h5", tmp_path / "raw", path)
        assert message in error, error
    assert not (tmp_path / "out").exists()


def test_changed_metadata_is_survived(tmp_path):
    """Bytes of object headers, heaps and the index changed at random."""
    want = values("<u2", (6, 7, 12, 18))
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_dataset("data", data=want, chunks=(1, 1, 12, 18), compression="gzip", fletcher32=True)
        first = min(file["data"].id.get_chunk_info(i).byte_offset for i in range(42))
    data = (tmp_path / "scan.h5").read_bytes()
    rng = np.random.default_rng(3)
    for _ in range(150):
        bad = bytearray(data)
        at = int(rng.integers(96, first))
        bad[at] ^= int(rng.integers(1, 256))
        (tmp_path / "bad.h5").write_bytes(bad)
        # Neither a crash nor a hang; what the library loses on damaged files is its own affair.
        decode(tmp_path / "bad.h5", tmp_path / "raw", ASAN_OPTIONS="detect_leaks=0:exitcode=99")


def test_bitshuffle_regression_file(samples, tmp_path):
    """The chunks that the bitshuffle project keeps against regressions, as they are stored, in
    datasets of numbers with two axes: those of 1, 2, 4 and 8 bytes."""
    want = {}
    with h5py.File(samples / "bitshuffle/regression_0.1.3.h5") as old, \
            h5py.File(tmp_path / "new.h5", "w") as new:
        for name, data in old["compressed"].items():
            size = data.dtype.itemsize
            if size not in (1, 2, 4, 8):
                continue
            options = data.id.get_create_plist().get_filter(0)[2]
            copy = new.create_dataset(name, (1, data.size), f"<u{size}", chunks=(1, data.size), compression=32008,
                                      compression_opts=options[3:5])
            mask, stored_chunk = data.id.read_direct_chunk((0,))
            copy.id.write_direct_chunk((0, 0), stored_chunk, mask)
            want[name] = np.frombuffer(old["original"][name][...].tobytes(), f"<u{size}")
    assert len(want) >= 12
    for (name, data), (got, _) in zip(want.items(), decode(tmp_path / "new.h5", tmp_path / "raw", *want), strict=True):
        np.testing.assert_array_equal(got.reshape(-1), data, name)
