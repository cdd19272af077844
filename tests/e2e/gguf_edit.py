"""Reads a good GGUF file just far enough to break it on purpose.

Knows the format, not Baton: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<B",
            10: "<Q", 11: "<q", 12: "<d"}
_STRING = 8
_ARRAY = 9


class Tensor:
    def __init__(self, name, type_at, begin):
        self.name = name
        self.type_at = type_at  # byte of the file where its type's number is
        self.begin = begin      # first byte of its data
        self.end = None         # first byte after it, padding included


class GgufEdit:
    """The bytes of a file, with the places of its values and tensors."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = bytearray(file.read())
        self._at = 4
        self.version = self._take("<I")
        tensor_count, value_count = self._take("<Q"), self._take("<Q")
        self.values = {}  # key: (byte where the value begins, type)
        for _ in range(value_count):
            key = self._string()
            value_type = self._take("<I")
            self.values[key] = (self._at, value_type)
            self._skip(value_type)
        alignment = self.number("general.alignment") if "general.alignment" in self.values else 32
        self.tensors = {}
        for _ in range(tensor_count):
            name = self._string()
            for _ in range(self._take("<I")):
                self._take("<Q")
            type_at = self._at
            self._take("<I")
            self.tensors[name] = Tensor(name, type_at, self._take("<Q"))
        data_begin = -(-self._at // alignment) * alignment
        self.header_bytes = self._at
        in_order = sorted(self.tensors.values(), key=lambda tensor: tensor.begin)
        for tensor in in_order:
            tensor.begin += data_begin
        for tensor, following in zip(in_order, in_order[1:] + [None]):
            tensor.end = following.begin if following else len(self.data)

    def _take(self, form):
        value, = struct.unpack_from(form, self.data, self._at)
        self._at += struct.calcsize(form)
        return value

    def _string(self):
        size = self._take("<Q")
        self._at += size
        return self.data[self._at - size:self._at].decode("utf-8", "replace")

    def _skip(self, value_type):
        if value_type == _STRING:
            self._string()
        elif value_type == _ARRAY:
            element_type, count = self._take("<I"), self._take("<Q")
            if element_type in _SCALARS:
                self._at += count * struct.calcsize(_SCALARS[element_type])
            else:
                for _ in range(count):
                    self._skip(element_type)
        else:
            self._take(_SCALARS[value_type])

    def number(self, key):
        at, value_type = self.values[key]
        return struct.unpack_from(_SCALARS[value_type], self.data, at)[0]

    def string(self, key):
        at, _ = self.values[key]
        size, = struct.unpack_from("<Q", self.data, at)
        return self.data[at + 8:at + 8 + size].decode("utf-8", "replace")

    def set_string(self, key, value):
        """Replaces a string by another of the same length."""
        at, value_type = self.values[key]
        size, = struct.unpack_from("<Q", self.data, at)
        if value_type != _STRING or size != len(value):
            raise ValueError(f"{key} is no string of {len(value)} bytes")
        self.data[at + 8:at + 8 + size] = value.encode()
        return self

    def set_tensor_type(self, name, number):
        struct.pack_into("<I", self.data, self.tensors[name].type_at, number)
        return self

    def fill(self, name, byte, edge=0):
        """Overwrites a tensor's data, all but `edge` bytes at both ends."""
        tensor = self.tensors[name]
        size = tensor.end - tensor.begin - 2 * edge
        if size > 0:
            self.data[tensor.begin + edge:tensor.begin + edge + size] = bytes([byte]) * size
        return max(size, 0)

    def fill_at(self, name, offset, data):
        """Overwrites bytes of a tensor's data."""
        begin = self.tensors[name].begin + offset
        self.data[begin:begin + len(data)] = data
        return self

    def save(self, path):
        with open(path, "wb") as file:
            file.write(self.data)
        return path
