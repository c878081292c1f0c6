"""The lock-down, as two lists to be read from top to bottom. A step that fails ends the process.

`confine_zygote` runs once, when the engine has started; forks inherit it. `confine_worker` runs in each fork, before
anything of a tenant's is there; `rlimits.apply_for_script` follows when the execution and its limits are known.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

from sandbox_worker import rlimits
from sandbox_worker.scrub import scrub_command_line

WORKER_SOCKET = 3
"""The only descriptor above standard error that a worker has."""

PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_NO_NEW_PRIVS = 38

_SIGCHLD, _SIGKILL, _SIG_DFL = int(signal.SIGCHLD), int(signal.SIGKILL), 0
_names = [ctypes.create_string_buffer(name) for name in (b"jsruntime-zygot", b"jsruntime-worke")]
_ZYGOTE_NAME, _WORKER_NAME = (ctypes.addressof(name) for name in _names)

_Step = tuple[str, Callable[[], None]]


class ConfinementError(Exception):
    """A step of the lock-down failed; the message names it."""


def confine_zygote() -> None:
    """Lock the zygote down as far as one that forks can be.

    It was started with an empty environment, in a session of its own, isolated from the user's Python settings,
    and with no descriptor but its control socket and the standard ones.

    :raises ConfinementError: a step failed; the zygote has to exit.
    """
    _take(
        (
            ("host paths out of the command line", lambda: scrub_command_line("jsruntime: zygote")),
            ("name", lambda: prctl(_PR_SET_NAME, _ZYGOTE_NAME)),
            # user, mount, network, IPC, UTS and PID namespaces belong here
            # landlock belongs here
            ("no new privileges", lambda: prctl(_PR_SET_NO_NEW_PRIVS, 1)),
            ("not dumpable", lambda: prctl(_PR_SET_DUMPABLE, 0)),
            ("no core dumps", rlimits.forbid_core_dumps),
        )
    )


def confine_worker(parent_pid: int) -> None:
    """Lock this worker down. `parent_pid` is the zygote's.

    :raises ConfinementError: a step failed; the worker has to exit.
    """
    _take(
        (
            ("default signals", _default_signals),
            ("own descriptors only", _close_descriptors),
            ("death with the zygote", lambda: _die_with(parent_pid)),
            ("name", lambda: prctl(_PR_SET_NAME, _WORKER_NAME)),
            ("fixed limits", rlimits.apply_fixed),
            # the system-call filter belongs here, last
        )
    )


def _take(steps: tuple[_Step, ...]) -> None:
    for name, step in steps:
        try:
            step()
        except (OSError, ValueError) as failure:
            raise ConfinementError(f"{name}: {failure}") from failure


def _default_signals() -> None:
    """The zygote handles one signal, its children's deaths; all others have the kernel's default or are ignored.

    Python's own `signal.signal` goes through enums and copies a hundred pages more in each fork.
    """
    _libc.signal(_SIGCHLD, _SIG_DFL)


def _close_descriptors() -> None:
    os.closerange(WORKER_SOCKET + 1, 1 << 20)


def _die_with(parent_pid: int) -> None:
    prctl(PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != parent_pid:
        raise OSError("the zygote is gone already")


_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
_libc.signal.argtypes, _libc.signal.restype = [ctypes.c_int, ctypes.c_size_t], ctypes.c_size_t


def prctl(option: int, argument: int) -> None:
    """prctl(2) with one argument.

    :raises OSError: the kernel refused.
    """
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
