"""DM3 and DM4 files as NumPy arrays and Python objects, written by the grammar of docs/formats/dm.md."""

import struct

import numpy as np

DATA_TYPES = {"int16": 1, "float32": 2, "uint8": 6, "int32": 7, "int8": 9, "uint16": 10,
              "uint32": 11, "float64": 12, "int64": 39, "uint64": 40}
TAG_TYPES = {"int16": 2, "int32": 3, "uint16": 4, "uint32": 5, "float32": 6, "float64": 7,
             "int8": 9, "uint8": 10, "int64": 11, "uint64": 12}


class Writer:
    """Tags are lists of (name, value): a value is a list (group), a text, a bool, a NumPy scalar or
    array. Values are little-endian unless `big`, which only the array of the pixels honours."""

    def __init__(self, version=4, big=False):
        self.version, self.order = version, ">" if big else "<"

    def word(self, value):
        return struct.pack(">Q" if self.version == 4 else ">I", value)

    def members(self, entries):
        body = b"\1\0" + self.word(len(entries))
        return body + b"".join(self.entry(*entry) for entry in entries)

    def data(self, words, raw):
        return b"%%%%" + self.word(len(words)) + b"".join(map(self.word, words)) + raw

    def entry(self, name, value):
        kind = 21
        if isinstance(value, list):
            kind, body = 20, self.members(value)
        elif isinstance(value, str):
            raw = value.encode("utf-16-" + ("be" if self.order == ">" else "le"))
            body = self.data([20, 4, len(raw) // 2], raw)
        elif isinstance(value, bool):
            body = self.data([8], bytes([value]))
        else:
            array = np.asarray(value)
            raw = array.astype(array.dtype.newbyteorder(self.order)).tobytes()
            tag = TAG_TYPES[array.dtype.name]
            body = self.data([20, tag, array.size] if array.ndim else [tag], raw)
        size = struct.pack(">Q", len(body)) if self.version == 4 else b""
        return struct.pack(">BH", kind, len(name)) + name.encode() + size + body

    def file(self, entries):
        body = self.members(entries) + bytes(8)
        return (struct.pack(">I", self.version) + self.word(len(body)) +
                struct.pack(">I", int(self.order == "<")) + body)


def image(array, name="", tags=(), scales=None, units=None, origins=None):
    """The entry of ImageList. Calibrations are slow axis first, as in NumPy."""
    count = array.ndim
    scales = [1.0] * count if scales is None else scales
    units = [""] * count if units is None else units
    origins = [0.0] * count if origins is None else origins
    calibrations = [("", [("Origin", np.float32(origin)), ("Scale", np.float32(scale)),
                          ("Units", unit)])
                    for origin, scale, unit in reversed(list(zip(origins, scales, units)))]
    return ("", [
        ("ImageData", [
            ("Calibrations", [
                ("Brightness", [("Origin", np.float32(0)), ("Scale", np.float32(1)),
                                ("Units", "")]),
                ("Dimension", calibrations), ("DisplayCalibratedUnits", True)]),
            ("Data", array.ravel()),
            ("DataType", np.uint32(DATA_TYPES[array.dtype.name])),
            ("Dimensions", [("", np.uint32(size)) for size in reversed(array.shape)]),
            ("PixelDepth", np.uint32(array.dtype.itemsize))]),
        ("ImageTags", list(tags)),
        ("Name", name),
        ("UniqueID", [("", np.uint32(i)) for i in range(4)])])


def thumbnail():
    entry = image(np.arange(16, dtype=np.int32).reshape(4, 4))
    entry[1][0][1][2] = ("DataType", np.uint32(23))
    return entry


def write(path, images, version=4, big=False, with_thumbnail=True):
    entries = [("DocumentObjectList", []), ("ImageList",
                                            ([thumbnail()] if with_thumbnail else []) + images)]
    if with_thumbnail:
        entries.append(("Thumbnails", [("", [("ImageIndex", np.uint32(0))])]))
    path.write_bytes(Writer(version, big).file(entries))
    return path
