"""Reads the build id of a shared library: the linker's digest of what it linked."""

from __future__ import annotations

import struct
from io import BufferedReader

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SHT_NOTE = 7
_NOTE_HEADER_BYTES = 16  # three words, then "GNU\\0"


def build_id(path: str) -> str:
    """Return the build id in hexadecimal; empty where there is none, or no 64-bit little-endian ELF file."""
    with open(path, "rb") as file:
        for _name, kind, _flags, _address, offset, size, *_rest in _sections(file):
            if kind == _SHT_NOTE:
                file.seek(offset)
                note = file.read(size)
                if note[12:16] == b"GNU\0":
                    return note[_NOTE_HEADER_BYTES:].hex()
    return ""


def _sections(file: BufferedReader) -> list[tuple[int, ...]]:
    header = file.read(64)
    if header[:6] != b"\x7fELF\x02\x01":
        return []
    (section_offset,) = struct.unpack_from("<Q", header, 0x28)
    entry_bytes, count = struct.unpack_from("<HH", header, 0x3A)
    file.seek(section_offset)
    table = file.read(entry_bytes * count)
    return [_SECTION.unpack_from(table, index * entry_bytes) for index in range(count)]
