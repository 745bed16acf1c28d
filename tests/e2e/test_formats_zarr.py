"""Zarr sources: `penstock ingest` against zarr-python, on generated arrays of every codec, type, byte order,
chunk shape and layout of both versions, on HyperSpy's tree as rosettasciio writes it, and on damaged ones."""

import json
import os
import pathlib
import shutil
import subprocess
import warnings
from unittest import mock

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec

SHAPE = (3, 5, 9, 14)
BUILD = pathlib.Path(os.environ.get("PENSTOCK_BUILD_DIR", pathlib.Path(__file__).resolve().parents[2] / "build/release"))
TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "c8", "c16", "?"]
CHUNKS = {"frame": (1, 1, 9, 14), "row": (1, 5, 9, 14), "odd": (2, 3, 4, 5), "whole": SHAPE, "larger": (4, 7, 16, 16)}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def values(dtype, shape=SHAPE, seed=1):
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype).kind
    numbers = rng.integers(0, 2 if kind == "b" else 100, shape)
    if kind in "fc":
        numbers = numbers * np.pi
    if kind == "c":
        numbers = numbers + 1j * rng.random(shape)
    return numbers.astype(dtype)


def decode(source, folder, *paths, frames=4):
    """As the pipeline decodes: one array (frames, rows, columns) or the error's text per path."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run([str(part) for part in
                           (BUILD / "tests/penstock_decode_source", folder, frames, 2, source, *paths)],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, 1), done.stderr
    found = []
    for i, line in enumerate(done.stdout.splitlines()):
        out = folder / f"{i}.raw"
        if not out.exists():
            found.append(line)
            continue
        words = line.split()
        found.append(np.fromfile(out, words[0]).reshape(tuple(map(int, words[1:4]))))
        out.unlink()
    return found


def check(source, folder, frames=4):
    """Every array of the group against what zarr-python reads."""
    group = zarr.open_group(source, mode="r")
    names = sorted(group.array_keys())
    assert names
    for name, got in zip(names, decode(source, folder, *names, frames=frames), strict=True):
        want = group[name][...]
        want = want.reshape((-1, *want.shape[-2:]))
        if want.dtype == bool:
            want = want.view("u1")
        assert not isinstance(got, str), f"{name}: {got}"
        assert got.dtype == want.dtype.newbyteorder("<"), name
        np.testing.assert_array_equal(got, want, err_msg=name)


V2_CODECS = {"none": None, "zlib": numcodecs.Zlib(1), "gzip": numcodecs.GZip(1), "lz4": numcodecs.LZ4(),
             "zstd": numcodecs.Zstd(1), "blosc-lz4": numcodecs.Blosc("lz4", 1, 1),
             "blosc-zstd-bits": numcodecs.Blosc("zstd", 1, 2), "blosc-zlib-plain": numcodecs.Blosc("zlib", 1, 0)}
V3_CODECS = {"none": [], "gzip": [GzipCodec(level=1)], "zstd": [ZstdCodec(level=1)],
             "zstd-sum": [ZstdCodec(level=1, checksum=True)], "crc": [Crc32cCodec()],
             "blosc": [BloscCodec(cname="lz4", shuffle="shuffle", typesize=2)],
             "bits-crc": [BloscCodec(cname="zstd", shuffle="bitshuffle", typesize=4), Crc32cCodec()],
             "crc-gzip": [Crc32cCodec(), GzipCodec(level=1)],
             "gzip-zstd-crc": [GzipCodec(level=1), ZstdCodec(level=1), Crc32cCodec()]}


@pytest.mark.parametrize("frames", [1, 4])
def test_version_2_codecs_and_chunks(tmp_path, frames):
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=2)
    for codec, compressor in V2_CODECS.items():
        for name, chunks in CHUNKS.items():
            for separator in "./":
                array = group.create_array(
                    f"{codec}_{name}_{'dot' if separator == '.' else 'slash'}", shape=SHAPE, dtype="<u2",
                    chunks=chunks, compressors=compressor,
                    chunk_key_encoding={"name": "v2", "separator": separator})
                array[...] = values("u2")
    check(tmp_path / "a.zarr", tmp_path / "out", frames)


def test_version_2_types(tmp_path):
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=2)
    for dtype in TYPES:
        for order in "<>":
            dtype_there = np.dtype(dtype).newbyteorder(order)
            for codec in ("none", "blosc-lz4"):
                array = group.create_array(f"{np.dtype(dtype).name}_{'big' if order == '>' else 'little'}_{codec}",
                                           shape=SHAPE, dtype=dtype_there, chunks=CHUNKS["odd"],
                                           compressors=V2_CODECS[codec])
                array[...] = values(dtype)
    check(tmp_path / "a.zarr", tmp_path / "out")


@pytest.mark.parametrize("frames", [1, 4])
def test_version_3_codecs_and_chunks(tmp_path, frames):
    group = zarr.create_group(tmp_path / "a.zarr")
    for codec, compressors in V3_CODECS.items():
        for name, chunks in CHUNKS.items():
            keys = {"frame": {"name": "default", "separator": "."}, "row": {"name": "v2", "separator": "/"},
                    "odd": {"name": "v2", "separator": "."}}.get(name, {"name": "default", "separator": "/"})
            array = group.create_array(f"{codec}_{name}", shape=SHAPE, dtype="u2", chunks=chunks,
                                       compressors=compressors, chunk_key_encoding=keys)
            array[...] = values("u2")
    check(tmp_path / "a.zarr", tmp_path / "out", frames)


def test_version_3_types_and_numcodecs(tmp_path):
    group = zarr.create_group(tmp_path / "a.zarr")
    for dtype in TYPES:
        for endian in ("little", "big"):
            array = group.create_array(f"{np.dtype(dtype).name}_{endian}", shape=SHAPE, dtype=dtype,
                                       chunks=CHUNKS["odd"], serializer=BytesCodec(endian=endian))
            array[...] = values(dtype)
    array = group.create_array("identity", shape=SHAPE, dtype="u2", chunks=CHUNKS["odd"],
                               filters=[TransposeCodec(order=(0, 1, 2, 3))])
    array[...] = values("u2")
    import numcodecs.zarr3 as numcodecs3
    for name, codec in {"lz4": numcodecs3.LZ4(), "zlib": numcodecs3.Zlib()}.items():
        array = group.create_array(f"numcodecs_{name}", shape=SHAPE, dtype="u2", chunks=CHUNKS["odd"],
                                   compressors=[codec])
        array[...] = values("u2")
    check(tmp_path / "a.zarr", tmp_path / "out")


def test_shards(tmp_path):
    group = zarr.create_group(tmp_path / "a.zarr")
    shapes = {"frames": ((1, 1, 9, 14), (3, 5, 9, 14)), "rows": ((1, 5, 9, 14), (2, 5, 9, 14)),
              "odd": ((1, 2, 4, 5), (2, 4, 8, 10)), "same": ((2, 3, 4, 5), (2, 3, 4, 5)),
              "larger": ((2, 2, 5, 7), (4, 6, 10, 14))}
    for name, (chunks, shards) in shapes.items():
        for codec in ("none", "blosc", "bits-crc"):
            array = group.create_array(f"{name}_{codec}", shape=SHAPE, dtype="u2", chunks=chunks, shards=shards,
                                       compressors=V3_CODECS[codec])
            array[...] = values("u2")
    check(tmp_path / "a.zarr", tmp_path / "out")


@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize("index_codecs", [[BytesCodec(), Crc32cCodec()], [BytesCodec(endian="big")]])
def test_index_of_shards(tmp_path, location, index_codecs):
    from zarr.codecs import ShardingCodec
    data = values("u2", (11, 9, 14))
    array = zarr.create_array(tmp_path / "a.zarr", shape=data.shape, dtype="u2", chunks=(4, 9, 14), compressors=None,
                              serializer=ShardingCodec(chunk_shape=(2, 9, 7), codecs=[BytesCodec(), ZstdCodec()],
                                                       index_codecs=index_codecs, index_location=location))
    array[...] = data
    stated = json.loads((tmp_path / "a.zarr/zarr.json").read_text())["codecs"][0]["configuration"]
    assert stated["index_location"] == location
    np.testing.assert_array_equal(decode(tmp_path / "a.zarr", tmp_path / "out")[0], data)


@pytest.mark.parametrize(("dtype", "fill"), [("u2", 7), ("i4", -3), ("f4", float("nan")), ("f8", float("-inf")),
                                             ("c8", 1 + 2j), ("?", True), ("u8", 2**64 - 1)])
@pytest.mark.parametrize(("version", "shards"), [(2, None), (3, None), (3, (4, 9, 14))])
def test_missing_chunks_are_fill_values(tmp_path, penstock, dtype, fill, version, shards):
    array = zarr.create_array(tmp_path / "a.zarr", shape=(11, 9, 14), dtype=dtype, chunks=(2, 9, 7), shards=shards,
                              zarr_format=version, fill_value=fill)
    array[4:8] = values(dtype, (4, 9, 14)) if dtype != "?" else np.zeros((4, 9, 14), bool)
    got = decode(tmp_path / "a.zarr", tmp_path / "out")[0]
    np.testing.assert_array_equal(got, array[...].view("u1") if dtype == "?" else array[...])
    told = penstock("info", "--json", tmp_path / "a.zarr", status=None).stdout
    assert "8 of 12 chunks are not there: the 7 of 11 frames" in told


def stored(dataset):
    return zarr.open_array(dataset / "data.zarr/real", mode="r")[...]


def test_ingest_of_a_group_by_each_of_its_paths(tmp_path, penstock):
    group = zarr.create_group(tmp_path / "scan.zarr", zarr_format=2)
    group.attrs["note"] = "fast scan"
    array = group.create_array("images", shape=SHAPE, dtype=">u2", chunks=CHUNKS["odd"], compressors=numcodecs.Zlib())
    array[...] = values("u2")
    group.create_array("sum", shape=(3, 5), dtype="f8")[...] = 1
    for i, path in enumerate(["scan.zarr", "scan.zarr/", "scan.zarr/.zgroup", "scan.zarr/images/.zarray"]):
        out = tmp_path / f"out{i}"
        penstock("ingest", f"{tmp_path}/{path}", "--to", out)
        np.testing.assert_array_equal(stored(out), values("u2"))
        sidecar = (out / "nexus.json").read_text()
        assert i == 3 or "fast scan" in sidecar
        penstock("verify", out)
    # As a source, what penstock wrote itself is refused.
    for path in ("out0", "out0/data.zarr", "out0/data.zarr/real"):
        done = penstock("ingest", tmp_path / path, "--to", tmp_path / "again", "--format", "zarr", status=None)
        assert done.returncode not in (0, 3)
        assert "a dataset of penstock" in done.stderr + done.stdout


def test_choice_among_arrays(tmp_path, penstock):
    group = zarr.create_group(tmp_path / "a.zarr")
    for name in ("one", "deep/two"):
        group.create_array(name, shape=(4, 9, 14), dtype="u2", chunks=(1, 9, 14))[...] = values("u2", (4, 9, 14))
    done = penstock("info", tmp_path / "a.zarr", status=None)
    assert "several arrays" in done.stderr and "/deep/two (4, 9, 14) uint16; /one (4, 9, 14)" in done.stderr
    for path in ("one", "/deep/two", "deep"):
        np.testing.assert_array_equal(decode(tmp_path / "a.zarr", tmp_path / "out", path)[0], values("u2", (4, 9, 14)))
    assert "there is no 'three'" in decode(tmp_path / "a.zarr", tmp_path / "out", "three")[0]
    assert "there is no '..'" in decode(tmp_path / "a.zarr", tmp_path / "out", "../a.zarr/one")[0]


def test_nexus(tmp_path, penstock):
    group = zarr.create_group(tmp_path / "a.zarr")
    group.attrs["default"] = "entry"
    entry = group.create_group("entry", attributes={"NX_class": "NXentry", "default": "data"})
    data = entry.create_group("data", attributes={"NX_class": "NXdata", "signal": "frames",
                                                  "axes": ["y", "x", "ky", "."]})
    for name in ("frames", "others"):
        data.create_array(name, shape=SHAPE, dtype="u2", chunks=CHUNKS["row"])[...] = values("u2")
    for name, count, step in (("y", 3, 0.5), ("x", 5, 0.25), ("ky", 9, 0.125)):
        axis = data.create_array(name, shape=(count,), dtype=">f8" if name == "y" else "f4", attributes={"units": "nm"})
        axis[...] = np.arange(count) * step - 1
    told = json.loads(penstock("info", "--json", tmp_path / "a.zarr").stdout)
    assert told["format"] == "zarr"
    penstock("ingest", tmp_path / "a.zarr", "--to", tmp_path / "out")
    np.testing.assert_array_equal(stored(tmp_path / "out"), values("u2"))
    text = (tmp_path / "out/nexus.json").read_text()
    for step in ("0.5", "0.25", "0.125"):
        assert step in text


def write_zspy(path, signal, version):
    """rosettasciio's writer, which is written for zarr-python 2: what it asks for by other names."""
    import rsciio.zspy._api as api

    class Never:
        pass

    with zarr.config.set({"default_zarr_format": version}), \
            mock.patch.object(zarr.storage, "NestedDirectoryStore", zarr.storage.LocalStore, create=True), \
            mock.patch.multiple(zarr, ZipStore=Never, DBMStore=Never, LMDBStore=Never, create=True):
        api.file_writer(str(path), signal, compressor=numcodecs.Blosc("zstd", 1, 1) if version == 2 else "auto")


def zspy_signal(data):
    def axis(i, name, units, scale, offset, navigate):
        return {"size": data.shape[i], "name": name, "units": units, "scale": scale, "offset": offset,
                "navigate": navigate, "index_in_array": i, "_type": "UniformDataAxis", "is_binned": False}
    axes = [axis(0, "y", "nm", 0.5, 1.0, True), axis(1, "x", "nm", 0.25, 2.0, True),
            axis(2, "ky", "1/nm", 0.125, -0.5, False), axis(3, "kx", "1/nm", 0.0625, -0.25, False)]
    axes[0].update(_type="DataAxis", axis=np.arange(data.shape[0]) * 0.75)
    del axes[0]["scale"], axes[0]["offset"]
    return {"data": data, "axes": axes, "attributes": {"_lazy": False},
            "metadata": {"General": {"title": "f\u00fcnf"}, "Signal": {"signal_type": "diffraction"},
                         "Acquisition_instrument": {"TEM": {"beam_energy": 200.0, "camera_length": 12.0}}},
            "original_metadata": {"maker": {"word": "verbatim"}}, "learning_results": {}, "models": {},
            "package_info": {"package": "hyperspy", "package_version": "2"}}


@pytest.mark.parametrize("version", [2, 3])
def test_hyperspy(tmp_path, penstock, version):
    data = values("u2", seed=3)
    write_zspy(tmp_path / "scan.zspy", zspy_signal(data), version)
    penstock("ingest", tmp_path / "scan.zspy", "--to", tmp_path / "out")
    np.testing.assert_array_equal(stored(tmp_path / "out"), data)
    told = json.loads(penstock("info", "--json", tmp_path / "scan.zspy").stdout)
    assert told["axes"]["axis_m"]["step"] == 0.75 and told["axes"]["axis_m"]["units"] == "nm"
    assert told["axes"]["axis_k"]["step"] == 0.25 and told["axes"]["axis_k"]["offset"] == 2
    assert told["axes"]["axis_j"]["step"] == 0.125 and told["axes"]["axis_j"]["offset"] == -0.5
    assert told["axes"]["axis_i"]["step"] == 0.0625 and told["axes"]["axis_i"]["units"] == "1/nm"
    text = (tmp_path / "out/nexus.json").read_text()
    assert "f\u00fcnf" in text or "f\\u00fcnf" in text
    assert "verbatim" in text and "200" in text
    # One of two experiments is asked for by its group or its data.
    shutil.copytree(tmp_path / "scan.zspy/Experiments/f\u00fcnf", tmp_path / "scan.zspy/Experiments/sechs")
    assert "several arrays" in penstock("info", tmp_path / "scan.zspy", status=None).stderr
    for path in ("Experiments/sechs", "/Experiments/sechs/data"):
        told = json.loads(penstock("info", "--json", tmp_path / "scan.zspy", "--dataset-path", path).stdout)
        assert told["axes"]["axis_i"]["step"] == 0.0625


# Everything below is refused with words.


def edit(path, **changes):
    metadata = json.loads(path.read_text())
    for name, value in changes.items():
        metadata[name] = value
    path.write_text(json.dumps(metadata))


def refusal(tmp_path, make_or_break):
    out = tmp_path / "out"
    make_or_break()
    found = decode(tmp_path / "a.zarr", out)[0]
    assert isinstance(found, str), found
    return found


V2_DAMAGE = {
    "not JSON": (lambda p: p.write_text("{"), "not JSON"),
    "list": (lambda p: p.write_text("[]"), "no JSON object"),
    "deep": (lambda p: p.write_text("[" * 100000), "nested too deeply"),
    "members": (lambda p: p.write_text(json.dumps({str(i): i for i in range(9000)})), "too many members"),
    "version": (lambda p: edit(p, zarr_format=4), "zarr_format 2"),
    "order": (lambda p: edit(p, order="F"), "order='C'"),
    "filters": (lambda p: edit(p, filters=[{"id": "delta"}]), "without filters"),
    "codec": (lambda p: edit(p, compressor={"id": "lzma"}), "'lzma'"),
    "type": (lambda p: edit(p, dtype="<f2"), "cannot be that of pixels"),
    "record": (lambda p: edit(p, dtype=[["a", "<u2"]]), "cannot be that of pixels"),
    "huge": (lambda p: edit(p, shape=[1 << 40, 1 << 40, 4]), "2^50"),
    "hostile frames": (lambda p: edit(p, shape=[1 << 40, 9, 14]), "nearly all chunks"),
    "hostile image": (lambda p: edit(p, shape=[1, 8192, 4200]), "of every frame is missing"),
    "hostile chunk": (lambda p: edit(p, chunks=[1 << 14, 1 << 14, 1 << 10]), "cannot be as large"),
    "negative": (lambda p: edit(p, shape=[-4, 9, 14]), "makes no sense"),
    "zero": (lambda p: edit(p, shape=[0, 9, 14]), "axis of 0"),
    "zero chunk": (lambda p: edit(p, chunks=[0, 9, 14]), "axis of 0"),
    "rank": (lambda p: edit(p, chunks=[9, 14]), "another number of axes"),
    "fill": (lambda p: edit(p, fill_value=1 << 20), "fill_value"),
    "separator": (lambda p: edit(p, dimension_separator="x"), "separator"),
    "other separator": (lambda p: edit(p, dimension_separator="/"), "no chunk of the array"),
    "wider type": (lambda p: edit(p, dtype="<u4"), "not as large"),
    "larger chunk": (lambda p: edit(p, chunks=[1, 9, 15]), "not as large"),
    "truncated": (lambda p: os.truncate(p.parent / "2.0.0", 20), "2.0.0"),
    "empty": (lambda p: os.truncate(p.parent / "2.0.0", 0), "2.0.0"),
    "garbage": (lambda p: (p.parent / "2.0.0").write_bytes(bytes(range(256))), "2.0.0"),
    "all gone": (lambda p: [c.unlink() for c in p.parent.glob("?.0.0")], "no chunk of the array"),
}


# Of the chunks' contents, with every codec; of the metadata, with one.
OF_CHUNKS = ("larger chunk", "wider type", "truncated", "empty", "garbage")


@pytest.mark.parametrize(("fault", "codec"), [(fault, "zlib") for fault in V2_DAMAGE] + [
    (fault, codec) for fault in OF_CHUNKS for codec in ("gzip", "lz4", "zstd", "blosc-lz4", "none")])
def test_damaged_version_2(tmp_path, fault, codec):
    array = zarr.create_array(tmp_path / "a.zarr", shape=(4, 9, 14), dtype="<u2", chunks=(1, 9, 14),
                              compressors=V2_CODECS[codec], zarr_format=2)
    array[...] = values("u2", (4, 9, 14))
    damage, words = V2_DAMAGE[fault]
    if codec == "none" and fault in ("larger chunk", "wider type"):
        words = "stored size"
    assert words in refusal(tmp_path, lambda: damage(tmp_path / "a.zarr/.zarray"))


def chain(*codecs):
    return [{"name": name, "configuration": configuration} for name, configuration in codecs]


V3_DAMAGE = {
    "version": ({"zarr_format": 2}, "version 3"),
    "node": ({"node_type": "thing"}, "node_type"),
    "grid": ({"chunk_grid": {"name": "rectilinear"}}, "regular"),
    "keys": ({"chunk_key_encoding": {"name": "fanout"}}, "chunk_key_encoding"),
    "transpose": ({"codecs": chain(("transpose", {"order": [2, 1, 0]}), ("bytes", {"endian": "little"}))}, "C order"),
    "no bytes": ({"codecs": chain(("gzip", {}))}, "'gzip'"),
    "unknown": ({"codecs": chain(("bytes", {}), ("zfp", {}))}, "'zfp'"),
    "none": ({"codecs": []}, "make no sense"),
    "endian": ({"codecs": chain(("bytes", {"endian": "middle"}))}, "byte order"),
    "transformers": ({"storage_transformers": [{"name": "x"}]}, "transformers"),
    "type": ({"data_type": "float16"}, "float16"),
    "nested shards": ({"codecs": chain(("sharding_indexed", {"chunk_shape": [1, 9, 14], "codecs": chain(
        ("sharding_indexed", {"chunk_shape": [1, 9, 14]})), "index_codecs": chain(("bytes", {}))}))}, "within shards"),
    "part of a chunk": ({"codecs": chain(("sharding_indexed", {"chunk_shape": [1, 9, 5], "codecs": chain(("bytes", {})),
                                                              "index_codecs": chain(("bytes", {}))}))}, "whole chunks"),
    "short shard": ({"codecs": chain(("sharding_indexed", {"chunk_shape": [1, 1, 1], "codecs": chain(("bytes", {})),
                                                          "index_codecs": chain(("bytes", {}))}))}, "shorter than its index"),
    "packed index": ({"codecs": chain(("sharding_indexed", {"chunk_shape": [1, 9, 14], "codecs": chain(("bytes", {})),
                                                           "index_codecs": chain(("bytes", {}), ("gzip", {}))}))},
                     "index of the shards is compressed"),
}


@pytest.mark.parametrize("fault", V3_DAMAGE)
def test_refused_version_3(tmp_path, fault):
    array = zarr.create_array(tmp_path / "a.zarr", shape=(4, 9, 14), dtype="<u2", chunks=(2, 9, 14),
                              compressors=[GzipCodec()])
    array[...] = values("u2", (4, 9, 14))
    changes, words = V3_DAMAGE[fault]
    assert words in refusal(tmp_path, lambda: edit(tmp_path / "a.zarr/zarr.json", **changes))


def test_checksums_are_verified(tmp_path):
    data = values("u2", (4, 9, 14))
    array = zarr.create_array(tmp_path / "a.zarr", shape=data.shape, dtype="<u2", chunks=(1, 9, 14),
                              compressors=[Crc32cCodec()])
    array[...] = data
    chunk = tmp_path / "a.zarr/c/2/0/0"
    content = bytearray(chunk.read_bytes())
    content[17] ^= 1
    found = refusal(tmp_path, lambda: chunk.write_bytes(content))
    assert "crc32c" in found and str(chunk) in found


@pytest.mark.parametrize("fault", ["index", "place", "cut"])
def test_damaged_shards(tmp_path, fault):
    from zarr.codecs import ShardingCodec
    data = values("u2", (4, 9, 14))
    index_codecs = [BytesCodec()] + ([Crc32cCodec()] if fault == "index" else [])
    array = zarr.create_array(tmp_path / "a.zarr", shape=data.shape, dtype="<u2", chunks=(4, 9, 14), compressors=None,
                              serializer=ShardingCodec(chunk_shape=(1, 9, 14), index_codecs=index_codecs))
    array[...] = data
    shard = tmp_path / "a.zarr/c/0/0/0"
    content = bytearray(shard.read_bytes())
    if fault == "index":
        content[-6] ^= 1
    elif fault == "place":
        content[-9:-1] = (1 << 40).to_bytes(8, "little")
    else:
        content = content[:-16]
    found = refusal(tmp_path, lambda: shard.write_bytes(content))
    assert str(shard) in found


def test_directories_and_archives(tmp_path, penstock):
    (tmp_path / "nothing").mkdir()
    done = penstock("info", tmp_path / "nothing", status=None)
    assert done.returncode != 0 and "a directory" in done.stderr
    zarr.create_array(tmp_path / "a.zarr", shape=(4, 9, 14), dtype="u2")[...] = 1
    shutil.make_archive(str(tmp_path / "b"), "zip", tmp_path / "a.zarr")
    assert "unpack it" in penstock("info", tmp_path / "b.zip", status=None).stderr
