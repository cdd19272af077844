"""Takes a good GGUF file apart just far enough to put it together broken on purpose.

Knows the format, not Baton; the format is published as docs/gguf.md of ggml
"""

import struct

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<B",
            10: "<Q", 11: "<q", 12: "<d"}
_U16 = 2
_U32 = 4
_I32 = 5
_F32 = 6
_STRING = 8
_ARRAY = 9
_DEFAULT_ALIGNMENT = 32


class Tensor:
    def __init__(self, dims, type_number, begin):
        self.dims = dims
        self.type_number = type_number
        self.begin = begin  # first byte in the data
        self.end = None     # first byte after it, padding included


class _Cursor:
    def __init__(self, data, at):
        self.data = data
        self.at = at

    def take(self, form):
        value, = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def string(self):
        size = self.take("<Q")
        self.at += size
        return self.data[self.at - size:self.at].decode("utf-8", "replace")

    def skip(self, value_type):
        if value_type == _STRING:
            self.string()
        elif value_type == _ARRAY:
            element_type, count = self.take("<I"), self.take("<Q")
            for _ in range(count):
                self.skip(element_type)
        else:
            self.take(_SCALARS[value_type])


def _string(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


class GgufEdit:
    """Values, tensors and data of a file; header() and save() write what they have become."""

    def __init__(self, path):
        with open(path, "rb") as file:
            content = file.read()
        cursor = _Cursor(content, len(b"GGUF"))
        self.version = cursor.take("<I")
        tensor_count, value_count = cursor.take("<Q"), cursor.take("<Q")
        self.values = {}  # key: type and value as they stand in the file
        for _ in range(value_count):
            key = cursor.string()
            begin = cursor.at
            cursor.skip(cursor.take("<I"))
            self.values[key] = content[begin:cursor.at]
        self.tensors = {}
        for _ in range(tensor_count):
            name = cursor.string()
            dims = [cursor.take("<Q") for _ in range(cursor.take("<I"))]
            self.tensors[name] = Tensor(dims, cursor.take("<I"), cursor.take("<Q"))
        self.data = bytearray(content[self._aligned(cursor.at):])
        in_order = sorted(self.tensors.values(), key=lambda tensor: tensor.begin)
        for tensor, following in zip(in_order, in_order[1:] + [None]):
            tensor.end = following.begin if following else len(self.data)

    @classmethod
    def empty(cls):
        """A file without values and tensors."""
        edit = cls.__new__(cls)
        edit.version, edit.values, edit.tensors, edit.data = 3, {}, {}, bytearray()
        return edit

    def _aligned(self, size):
        value = self.values.get("general.alignment")
        alignment = struct.unpack_from("<I", value, 4)[0] if value else _DEFAULT_ALIGNMENT
        return -(-size // alignment) * alignment

    # --- edits; each gives the edit itself, so that they can follow one another

    def set_string(self, key, text):
        self.values[key] = struct.pack("<I", _STRING) + _string(text)
        return self

    def set_count(self, key, number):
        self.values[key] = struct.pack("<II", _U32, number)
        return self

    def set_strings(self, key, texts):
        self.values[key] = (struct.pack("<IIQ", _ARRAY, _STRING, len(texts))
                            + b"".join(map(_string, texts)))
        return self

    def set_integers(self, key, numbers):
        self.values[key] = struct.pack(f"<IIQ{len(numbers)}i", _ARRAY, _I32, len(numbers),
                                       *numbers)
        return self

    def set_floats(self, key, numbers):
        self.values[key] = struct.pack(f"<IIQ{len(numbers)}f", _ARRAY, _F32, len(numbers),
                                       *numbers)
        return self

    def set_tensor_type(self, name, number):
        self.tensors[name].type_number = number
        return self

    def write_into(self, name, offset, data):
        """Overwrites bytes of a tensor's data."""
        begin = self.tensors[name].begin + offset
        self.data[begin:begin + len(data)] = data
        return self

    def fill(self, name, byte, edge):
        """Overwrites a tensor's data but for `edge` bytes at both ends; gives the bytes written."""
        size = max(0, self.tensors[name].end - self.tensors[name].begin - 2 * edge)
        self.write_into(name, edge, bytes([byte]) * size)
        return size

    # --- output

    def header(self):
        """Everything before the data, padding included."""
        parts = [b"GGUF", struct.pack("<IQQ", self.version, len(self.tensors), len(self.values))]
        for key, value in self.values.items():
            parts += [_string(key), value]
        for name, tensor in self.tensors.items():
            parts += [_string(name), struct.pack("<I", len(tensor.dims)),
                      struct.pack(f"<{len(tensor.dims)}Q", *tensor.dims),
                      struct.pack("<IQ", tensor.type_number, tensor.begin)]
        header = b"".join(parts)
        return header.ljust(self._aligned(len(header)), b"\0")

    def save(self, path):
        with open(path, "wb") as file:
            file.write(self.header() + self.data)
        return path

    def split(self, prefix, count):
        """Saves the model as `count` shards, the metadata in the first; gives their paths."""
        paths = []
        names = list(self.tensors)
        for shard in range(count):
            part = GgufEdit.empty()
            part.values = dict(self.values) if shard == 0 else {}
            part.values["split.no"] = struct.pack("<IH", _U16, shard)
            part.values["split.count"] = struct.pack("<IH", _U16, count)
            part.values["split.tensors.count"] = struct.pack("<Ii", _I32, len(names))
            for name in names[len(names) * shard // count:len(names) * (shard + 1) // count]:
                tensor = self.tensors[name]
                part.tensors[name] = Tensor(tensor.dims, tensor.type_number, len(part.data))
                part.data += self.data[tensor.begin:tensor.end]
            paths.append(part.save(f"{prefix}-{shard + 1:05}-of-{count:05}.gguf"))
        return paths
