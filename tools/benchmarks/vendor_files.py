"""Large vendor files for the benchmarks, made quickly: a few distinct frames, written again and again
with their own headers."""

import struct

import numpy as np

K2_BLOCK_BYTES = 22360
K2_BLOCKS_PER_SECTOR = 32


def empad(folder, size):
    """An acquisition of `size` bytes at most (130 x 128 float32 records); returns the path of the XML."""
    records = 64
    values = np.random.default_rng(1).gamma(2.0, 20.0, (records, 130, 128)).astype("<f4")
    columns = int((size // (records * values[0].nbytes)))
    raw = folder / "empad.raw"
    with raw.open("wb") as file:
        for _ in range(columns):
            values.tofile(file)
    description = folder / "empad.xml"
    description.write_text(
        f'<root name="bench"><raw_file filename="{raw.name}"/><scan_parameters mode="acquire">'
        f"<scan_resolution_x>{columns}</scan_resolution_x><scan_resolution_y>{records}</scan_resolution_y>"
        "</scan_parameters></root>")
    return description, [raw]


def raw(folder, size):
    """256 x 256 uint16 frames without any header; returns path, files and the options that it needs."""
    block = np.random.default_rng(2).poisson(0.5, (64, 256, 256)).astype("<u2")
    path = folder / "frames.raw"
    with path.open("wb") as file:
        for _ in range(int(size // block.nbytes)):
            block.tofile(file)
    return path, [path], ["--format", "raw", "--sig-shape", "256,256", "--dtype", "uint16"]


def _packed12(pixels):
    even, odd = pixels[..., ::2], pixels[..., 1::2]
    out = np.empty(even.shape + (3,), np.uint8)
    out[..., 0] = even & 255
    out[..., 1] = (even >> 8) | ((odd & 15) << 4)
    out[..., 2] = odd >> 4
    return out


def k2is(folder, size):
    """Eight sectors of uint12; returns the path of one of them and all files. The pixels of all frames are
    the same, the headers are their own."""
    generator = np.random.default_rng(3)
    frames = int(size // (8 * K2_BLOCKS_PER_SECTOR * K2_BLOCK_BYTES))
    files = []
    for sector in range(8):
        pixels = generator.poisson(2.0, (K2_BLOCKS_PER_SECTOR, 930, 16)).astype(np.uint16)
        payload = [_packed12(pixels[k]).tobytes() for k in range(K2_BLOCKS_PER_SECTOR)]
        path = folder / f"k2_{sector + 1}.bin"
        with path.open("wb") as file:
            for frame in range(frames):
                for k in range(K2_BLOCKS_PER_SECTOR):
                    x, y = 16 * (15 - k % 16), 930 * (k // 16)
                    file.write(struct.pack(">I4xBB6xIHHIHHHHI", 0xFFFF0055, 1, 1,
                                           frame * K2_BLOCKS_PER_SECTOR + k, 256, 1860, frame,
                                           x, y, x + 15, y + 929, K2_BLOCK_BYTES))
                    file.write(payload[k])
        files.append(path)
    (folder / "k2_.gtg").write_bytes(_k2_tags())
    return folder / "k2_.gtg", files


def _entry(kind, name, body):
    return struct.pack(">BH", kind, len(name)) + name.encode() + struct.pack(">Q", len(body)) + body


def _group(name, entries):
    return _entry(20, name, b"\1\0" + struct.pack(">Q", len(entries)) + b"".join(entries))


def _number(name, value):
    return _entry(21, name, b"%%%%" + struct.pack(">QQ", 1, 5) + struct.pack("<I", value))


def _k2_tags():
    tags = _group("SI Image Tags", [_group("Acquisition", [_group("Parameters", [_group("Detector", [
        _number("height", 1792), _number("width", 1920)])])])])
    body = b"\1\0" + struct.pack(">Q", 1) + tags + bytes(8)
    return struct.pack(">IQI", 4, len(body) + 16, 1) + body
