"""Takes host paths out of the process: its command line, as `/proc` and its own memory show it."""

from __future__ import annotations

import ctypes
import sys

_ARG_START, _ARG_END = 47, 48  # fields of /proc/self/stat, from 0 (proc_pid_stat(5) counts from 1)


def scrub_command_line(title: str) -> None:
    """Overwrite the memory of the command line with `title` and zeros, and empty `sys.argv`."""
    with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
        # The second field is the name in parentheses and may hold blanks.
        fields = ["pid", "name", *file.read().rpartition(") ")[2].split()]
    start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    if 0 < start < end:
        text = title.encode()[: end - start - 1]
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, text, len(text))
    sys.argv[:] = [title]
    sys.orig_argv[:] = [title]
