"""What this process has used so far."""

from __future__ import annotations

import resource

_PAGE_BYTES = resource.getpagesize()


def cpu_us_and_max_rss_bytes() -> tuple[int, int]:
    """CPU time, user and system, in microseconds; and the largest resident set so far (Linux counts it in KiB)."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return round((usage.ru_utime + usage.ru_stime) * 1_000_000), usage.ru_maxrss * 1024


def data_bytes() -> int:
    """What RLIMIT_DATA counts now: private writable memory. The sixth field of statm, in pages."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[5]) * _PAGE_BYTES
