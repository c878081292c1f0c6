"""Moves the engine's code into huge pages, so that a fork maps 20 large pages instead of faulting in 2,000 small ones.

A page fault costs more than most of what a short script does, and three tenths of a worker's were for code of
libmozjs: mapped from a file, it is not shared with the parent's page table and comes in 64 KB at a time. Copied into
anonymous huge pages that lie at the same addresses, it is simply there. `benchmarks/RESULTS.md` has what that gains.

No page is writable and executable at any time. Read-only data of the library becomes executable, as it shares its
huge pages with code. Where the kernel gives no huge pages (see `/sys/kernel/mm/transparent_hugepage/enabled`),
nothing is moved: with small pages it would be a loss.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from typing import NamedTuple

_HUGE_BYTES = 2 * 1024 * 1024
_PROT_READ, _PROT_WRITE, _PROT_EXEC = 1, 2, 4
_MADV_HUGEPAGE = 14
_MREMAP_MAYMOVE_FIXED = 1 | 2
_FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = _libc.mremap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
for _call in ("munmap", "mprotect", "madvise"):
    getattr(_libc, _call).argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int][: 2 if _call == "munmap" else 3]


class _Mapping(NamedTuple):
    start: int
    end: int
    access: str
    path: str


def move_code(library: str) -> bool:
    """Move the code and the read-only data before it of the libraries whose path ends in `library`.

    Returns whether it was done. The contents and addresses are the same before and after.
    """
    moved = False
    for start, end in _code_ranges(library):
        moved = _move(start, end - start) or moved
    return moved


def _code_ranges(library: str) -> list[tuple[int, int]]:
    """Each range of code with the read-only mapping that it directly follows."""
    ranges = []
    previous: _Mapping | None = None
    for mapping in list(_mappings()):
        if mapping.path.endswith(library):
            if mapping.access == "r-xp":
                joined = previous is not None and previous.access == "r--p" and previous.end == mapping.start
                ranges.append((previous.start if joined and previous else mapping.start, mapping.end))
            previous = mapping
        else:
            previous = None
    return [(start, end) for start, end in ranges if end - start >= 2 * _HUGE_BYTES]


def _mappings() -> Iterator[_Mapping]:
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        for line in file:
            fields = line.split(maxsplit=5)
            start, _, end = fields[0].partition("-")
            yield _Mapping(int(start, 16), int(end, 16), fields[1], fields[5].strip() if len(fields) > 5 else "")


def _move(start: int, length: int) -> bool:
    size = length + _HUGE_BYTES
    reserved = _libc.mmap(None, size, _PROT_READ | _PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if reserved == _FAILED:
        return False
    # The same place within a huge page: only then does moving keep the huge pages whole.
    copy = reserved + (start - reserved) % _HUGE_BYTES
    usable = (
        _libc.madvise(copy, length, _MADV_HUGEPAGE) == 0
        and _filled_with_huge_pages(copy, start, length)
        and _libc.mprotect(copy, length, _PROT_READ | _PROT_EXEC) == 0
        and _libc.mremap(copy, length, length, _MREMAP_MAYMOVE_FIXED, start) == start
    )
    for leftover, end in ((reserved, copy if usable else reserved + size), (copy + length, reserved + size)):
        if leftover < end:
            _libc.munmap(leftover, end - leftover)
    return usable


def _filled_with_huge_pages(copy: int, start: int, length: int) -> bool:
    """Copy, and look whether the kernel gave huge pages for most of it."""
    before = _anonymous_huge_bytes()
    ctypes.memmove(copy, start, length)
    return _anonymous_huge_bytes() - before >= length // 2


def _anonymous_huge_bytes() -> int:
    with open("/proc/self/smaps_rollup", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("AnonHugePages:"):
                return int(line.split()[1]) * 1024
    return 0
