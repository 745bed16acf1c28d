"""K2 IS acquisitions by the recipe of docs/formats/k2is.md, made with NumPy."""

import struct

import numpy as np

BLOCK = 22360


def frame(number):
    y = np.arange(1860, dtype=np.int64)[:, None]
    x = np.arange(2048, dtype=np.int64)[None, :]
    return ((37 * number + 5 * y + 3 * x + y * x // 7) % 4096).astype(np.uint16)


def packed(pixels):
    """uint12, two pixels in three bytes, low bits first."""
    even, odd = pixels[..., ::2].astype(np.uint16), pixels[..., 1::2].astype(np.uint16)
    out = np.empty(even.shape + (3,), np.uint8)
    out[..., 0] = even & 255
    out[..., 1] = (even >> 8) | ((odd & 15) << 4)
    out[..., 2] = odd >> 4
    return out.tobytes()


def header(count, number, k, flagged):
    x, y = 16 * (15 - k % 16), 930 * (k // 16)
    return struct.pack(">I4xBB6xIHHIHHHHI", 0xFFFF0055, 1, int(flagged), count, 256, 1860, number,
                       x, y, x + 15, y + 929, BLOCK)


def sectors(numbers, first_flagged=0):
    """Eight lists of blocks."""
    out = [[] for _ in range(8)]
    count = 1000
    for number in numbers:
        image = frame(number)
        for k in range(32):
            x, y = 16 * (15 - k % 16), 930 * (k // 16)
            head = header(count, number, k, number >= first_flagged)
            for sector in range(8):
                x0 = 256 * sector + x
                out[sector].append(head + packed(image[y:y + 930, x0:x0 + 16]))
            count += 1
    return out


def group(name, entries):
    body = b"\1\0" + struct.pack(">Q", len(entries)) + b"".join(entries)
    return entry(20, name, body)


def number(name, value):
    """An unsigned 32-bit number."""
    return entry(21, name, b"%%%%" + struct.pack(">QQ", 1, 5) + struct.pack("<I", value))


def real(name, value):
    return entry(21, name, b"%%%%" + struct.pack(">QQ", 1, 7) + struct.pack("<d", value))


def entry(kind, name, body):
    return struct.pack(">BH", kind, len(name)) + name.encode() + struct.pack(">Q", len(body)) + body


def gtg(scan=None):
    tags = []
    if scan is not None:
        tags.append(group("SI Dimensions", [number("Size X", scan[1]), number("Size Y", scan[0])]))
    tags.append(group("SI Image Tags", [
        group("Acquisition", [group("Parameters", [group("Detector", [
            number("height", 1792), number("width", 1920)])])]),
        group("Microscope Info", [real("Voltage", 300000.0)])]))
    body = b"\1\0" + struct.pack(">Q", len(tags)) + b"".join(tags) + bytes(8)
    return struct.pack(">IQI", 4, len(body) + 16, 1) + body


def write(folder, blocks, scan=None, prefix="scan_"):
    folder.mkdir(parents=True, exist_ok=True)
    for sector, own in enumerate(blocks):
        if own:
            (folder / f"{prefix}{sector + 1}.bin").write_bytes(b"".join(own))
    path = folder / f"{prefix}.gtg"
    path.write_bytes(gtg(scan))
    return path
