"""The lock-down of a worker, as a list to be read from top to bottom. A step that fails ends the worker.

`confine` runs in the fork, before anything of a tenant's is there; `rlimits.apply_for_script` follows when the
execution and its limits are known.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

from sandbox_worker import rlimits

WORKER_SOCKET = 3
"""The only descriptor above standard error that a worker has."""

PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_NO_NEW_PRIVS = 38


class ConfinementError(Exception):
    """A step of the lock-down failed; the message names it."""


def confine(parent_pid: int) -> None:
    """Lock this worker down. `parent_pid` is the zygote's.

    :raises ConfinementError: a step failed; the worker has to exit.
    """
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("default signals", _default_signals),
        ("own descriptors only", _close_descriptors),
        ("own session", os.setsid),
        # user, mount, network, IPC, UTS and PID namespaces: inherited from the zygote, where it has them
        # landlock: likewise
        ("death with the zygote", lambda: _die_with(parent_pid)),
        ("no new privileges", lambda: prctl(_PR_SET_NO_NEW_PRIVS, 1)),
        ("not dumpable", lambda: prctl(_PR_SET_DUMPABLE, 0)),
        ("fixed limits", rlimits.apply_fixed),
        # the system-call filter belongs here, last
    )
    for name, step in steps:
        try:
            step()
        except (OSError, ValueError) as failure:
            raise ConfinementError(f"{name}: {failure}") from failure


def _default_signals() -> None:
    """An inherited Python handler would never run while JavaScript does."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)


def _close_descriptors() -> None:
    os.closerange(WORKER_SOCKET + 1, 1 << 20)


def _die_with(parent_pid: int) -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        raise OSError("the zygote is gone already")


def name_process(name: str) -> None:
    """Set what `ps` and `top` show (15 characters)."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    prctl(_PR_SET_NAME, ctypes.addressof(buffer))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4


def prctl(option: int, argument: int) -> None:
    """prctl(2) with one argument.

    :raises OSError: the kernel refused.
    """
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
