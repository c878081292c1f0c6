"""Resource limits of a worker (setrlimit(2)): the fixed ones, and those that come with an execution."""

from __future__ import annotations

import resource

_MAX_DESCRIPTORS = 8
"""Standard input, output and error, the worker's socket, and what a C library may want for a moment."""

_ENDING_RESERVE_BYTES = 8 * 1024 * 1024
"""Kept out of a script's reach until it is over, so that the worker can still say how it ended."""

CPU_GRACE_SECONDS = 1
"""RLIMIT_CPU lies so far above the wall clock: it matters only where the supervisor cannot kill."""


def forbid_core_dumps() -> None:
    """A core dump of the zygote or of a worker would hold a tenant's data."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def apply_fixed() -> None:
    """No byte written to a file, few descriptors, no process.

    (Root is not bound by RLIMIT_NPROC; the system-call filter is what holds there.)
    """
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_DESCRIPTORS, _MAX_DESCRIPTORS))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def apply_for_script(base_bytes: int, memory_bytes: int, timeout_ms: int) -> None:
    """Limit data memory to `memory_bytes` above `base_bytes`, and CPU to the wall clock plus a second.

    The CPU time of the warm-up counts as well; it is a few milliseconds.
    """
    soft = base_bytes + memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (soft, soft + _ENDING_RESERVE_BYTES))
    seconds = -(-timeout_ms // 1000) + CPU_GRACE_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


def release_reserve() -> None:
    """Give the worker its reserve, once the script is over."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
