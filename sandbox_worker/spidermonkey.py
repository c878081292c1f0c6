"""Starts SpiderMonkey out of pythonmonkey: the only module that loads it.

pythonmonkey brings the engine and starts it when its native module is imported; nothing else of it is used. What has
to be done before that, or in place of what it does, needs a few facts that are not in the symbol table of the library.
They hold for the builds in `KNOWN_BUILDS` only, which is why the version is pinned and the build id is checked before
anything is written.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
import types
from typing import Literal, NamedTuple

from sandbox_worker.elf import build_id

_Pointer = ctypes.c_void_p
_Word = ctypes.c_uint64

Threads = Literal["none", "idle", "working"]
"""The engine's helper threads. A fork loses them, so before a fork there must be none (the engine is told so
before it starts) or they must never be given work; a process that does not fork may have them work."""


class _Build(NamedTuple):
    """What is not in the symbol table of a build: offsets in bytes."""

    context_runtime: int  # JSContext::runtime_ and JSRuntime::selfHostedStencil: what js::UseInternalJobQueues compares
    self_hosted_stencil: int
    can_use_extra_threads: int  # js::gCanUseExtraThreads, a local symbol, from the library's load address
    current_global: int  # JS::CurrentGlobalOrNull, an exported one, likewise: tells the load address


KNOWN_BUILDS = {
    # by the build id of libmozjs-136a1.so
    "be697ae9babb51f83013df66d0a6e418": _Build(0xD8, 0x218, 0x27A0A60, 0x1A0D230),  # manylinux, x86-64
}


class EngineError(Exception):
    """The engine could not be loaded, or refused a call that has to work."""


def start(package_folder: str, threads: Threads) -> tuple[ctypes.PyDLL, int]:
    """Load and start the engine. Returns its library and the address of its one context.

    `package_folder` holds `pythonmonkey.so` and `libmozjs-136a1.so`.

    :raises EngineError: the library is not a build that is known, or the engine refuses what has to work.
    """
    path = os.path.join(package_folder, "libmozjs-136a1.so")
    build = KNOWN_BUILDS.get(build_id(path))
    if build is None:
        raise EngineError("this build of libmozjs-136a1.so is not a known one; install pythonmonkey 1.4.1 again")
    library = ctypes.PyDLL(path, mode=ctypes.RTLD_GLOBAL)
    if threads == "none":
        _forbid_threads(library, build)
    native = _import_native_module(package_folder)
    context = int(_Pointer.in_dll(ctypes.PyDLL(native), "GLOBAL_CX").value or 0)
    if threads == "idle":
        _keep_threads_idle(library, context)
    _use_internal_job_queue(library, context, build)
    return library, context


def _forbid_threads(library: ctypes.PyDLL, build: _Build) -> None:
    address = ctypes.cast(library._ZN2JS19CurrentGlobalOrNullEP9JSContext, _Pointer).value
    assert address is not None
    flag = ctypes.c_ubyte.from_address(address - build.current_global + build.can_use_extra_threads)
    if flag.value != 1:
        raise EngineError(f"js::gCanUseExtraThreads holds {flag.value}, not 1")
    flag.value = 0


def _keep_threads_idle(library: ctypes.PyDLL, context: int) -> None:
    for symbol in (
        "_Z36JS_SetOffthreadIonCompilationEnabledP9JSContextb",
        "_Z41JS_SetOffthreadBaselineCompilationEnabledP9JSContextb",
        "_Z28JS_SetParallelParsingEnabledP9JSContextb",
    ):
        function = getattr(library, symbol)
        function.restype, function.argtypes = None, [_Pointer, ctypes.c_bool]
        function(context, False)
    function = library._ZN2JS27SetHelperThreadTaskCallbackEPFvPNS_16HelperThreadTaskEEmm
    function.restype, function.argtypes = None, [_Pointer, ctypes.c_size_t, ctypes.c_size_t]
    function(None, 0, 524288)


def _use_internal_job_queue(library: ctypes.PyDLL, context: int, build: _Build) -> None:
    """Give the context SpiderMonkey's own promise job queue in place of pythonmonkey's, which needs asyncio.

    `js::UseInternalJobQueues` insists on being called before the self-hosted code is loaded, only so that
    embedders do not forget it; that pointer is hidden from it for the length of the call. A microtask then
    costs 0.13 µs, against 3.6 µs through Python.
    """
    runtime = _Word.from_address(context + build.context_runtime).value
    slot = _Word.from_address(runtime + build.self_hosted_stencil)
    saved, slot.value = slot.value, 0
    use = library._ZN2js20UseInternalJobQueuesEP9JSContext
    use.restype, use.argtypes = ctypes.c_bool, [_Pointer]
    done = use(context)
    slot.value = saved
    if not saved or not done:
        raise EngineError("SpiderMonkey refused its internal job queue")


def preload(package_folder: str) -> None:
    """Map the engine's libraries without starting it: forks share their relocations (mode `fork_first`)."""
    for name in ("libmozjs-136a1.so", "pythonmonkey.so"):
        ctypes.PyDLL(os.path.join(package_folder, name), mode=ctypes.RTLD_GLOBAL)


class _IdleEvent:
    """Stands in for `asyncio.Event`, of which pythonmonkey makes one at start and which nothing here ever waits for."""

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def is_set(self) -> bool:
        return True


def _import_native_module(package_folder: str) -> str:
    """Import `pythonmonkey.pythonmonkey` without the package's own Python, and return the library's path.

    The package would build a Node-like global that hands scripts `python.eval`. asyncio and inspect, of which the
    native module asks for a name each, are stood in for: without them a fork copies a third fewer mappings.
    """
    stand_ins: dict[str, dict[str, object]] = {
        "pythonmonkey": {"__path__": [package_folder], "simpleUncaughtExceptionHandler": lambda *_: None},
        "asyncio": {"Event": _IdleEvent},
        "inspect": {},
    }
    for name, attributes in stand_ins.items():
        module = types.ModuleType(name)
        module.__dict__.update(attributes)
        sys.modules.setdefault(name, module)
    native = importlib.import_module("pythonmonkey.pythonmonkey")
    path = native.__file__
    assert path is not None
    return path
