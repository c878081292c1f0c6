"""Reads what the dynamic linker does not tell of a shared library: its build id, and where its local symbols are."""

from __future__ import annotations

import struct
from io import BufferedReader

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SHT_SYMTAB, _SHT_NOTE = 2, 7
_NOTE_HEADER_BYTES = 16  # three words, then "GNU\\0"


def local_symbol_offset(path: str, name: str) -> int | None:
    """Return the offset of `name` from the library's load address, or `None` where `.symtab` lacks it.

    Reads 64-bit little-endian ELF only, which is what the pinned wheels hold.
    """
    with open(path, "rb") as file:
        sections = _sections(file)
        for _name, kind, _flags, _address, offset, size, link, *_rest in sections:
            if kind != _SHT_SYMTAB:
                continue
            file.seek(offset)
            symbols = file.read(size)
            file.seek(sections[link][4])
            strings = file.read(sections[link][5])
            return _find(symbols, strings, name)
    return None


def _find(symbols: bytes, strings: bytes, name: str) -> int | None:
    wanted = strings.find(b"\0" + name.encode() + b"\0") + 1
    if wanted == 0:
        return None
    for name_index, _info, _other, _section, value, _size in _SYMBOL.iter_unpack(symbols):
        if name_index == wanted:
            return int(value)
    return None


def build_id(path: str) -> str:
    """Return the build id in hexadecimal: the linker's digest of what it linked. Empty where there is none."""
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
