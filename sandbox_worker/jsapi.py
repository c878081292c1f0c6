"""SpiderMonkey's C++ API, called through ctypes.

None of pythonmonkey's bridge between Python and JavaScript is used. Every call here goes to a symbol that the
library exports, so that no Python object ever exists inside the engine: a script that walks everything it can reach
finds JavaScript only.

The layout of `CompileOptions`, of a rooted cell and of a `Value` is that of this build only; `spidermonkey` has checked
that it is the one before anything here runs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from sandbox_worker import spidermonkey
from sandbox_worker.spidermonkey import EngineError, Threads

_Pointer = ctypes.c_void_p
_Word = ctypes.c_uint64


# Values are NaN-boxed, the tag in the upper 17 bits (js/public/Value.h, JS_PUNBOX64).
_TAG_SHIFT = 47
_TAG_INT32, _TAG_UNDEFINED, _TAG_BOOLEAN, _TAG_STRING, _TAG_OBJECT = 0x1FFF1, 0x1FFF3, 0x1FFF2, 0x1FFF6, 0x1FFFC
_PAYLOAD = (1 << _TAG_SHIFT) - 1
UNDEFINED = _TAG_UNDEFINED << _TAG_SHIFT

# JS::RootKind (js/public/TraceKind.h)
_ROOT_OBJECT, _ROOT_SCRIPT, _ROOT_STRING, _ROOT_VALUE = 3, 4, 6, 14

_JSGC_MAX_BYTES = 0

HostFunction = Callable[..., str]
"""What JavaScript may call: takes strings, returns a string, must not raise."""


class JsApi:
    """The engine of this process. There is one; it is never torn down (`os._exit` ends the process)."""

    def __init__(self, package_folder: str, threads: Threads) -> None:
        """Load and start SpiderMonkey.

        `package_folder` holds `pythonmonkey.so` and `libmozjs-136a1.so`.

        :raises EngineError: the library is not a build that is known.
        """
        self._library, self._context = spidermonkey.start(package_folder, threads)
        self._keep_alive: list[object] = []
        self._bind()
        self._module, self._script = self._root(_ROOT_OBJECT), self._root(_ROOT_SCRIPT)
        self._no_this, self._string = self._root(_ROOT_OBJECT), self._root(_ROOT_STRING)
        self._result = self._root(_ROOT_VALUE)
        self.host_failure: BaseException | None = None
        self._set_gc_parameter(self._context, _JSGC_MAX_BYTES, 0xFFFFFFFF)
        self._set_gc_callback(self._context, None, None)
        self._set_finalization_callback(self._context, None, None)

    def _bind(self) -> None:
        bind = self._function
        boolean, pointer = ctypes.c_bool, _Pointer
        self._compile_options = bind("_ZN2JS14CompileOptionsC1EP9JSContext", None, 2)
        self._evaluate = bind(
            "_ZN2JS8EvaluateEP9JSContextRKNS_22ReadOnlyCompileOptionsERNS_10SourceTextIN7mozilla8Utf8UnitEEENS_13"
            "MutableHandleINS_5ValueEEE",
            boolean,
            4,
        )
        self._compile_module = bind(
            "_ZN2JS13CompileModuleEP9JSContextRKNS_22ReadOnlyCompileOptionsERNS_10SourceTextIN7mozilla8Utf8UnitEEE",
            pointer,
            3,
        )
        self._compile_script = bind(
            "_ZN2JS7CompileEP9JSContextRKNS_22ReadOnlyCompileOptionsERNS_10SourceTextIN7mozilla8Utf8UnitEEE", pointer, 3
        )
        self._execute_script = bind(
            "_Z16JS_ExecuteScriptP9JSContextN2JS6HandleIP8JSScriptEENS1_13MutableHandleINS1_5ValueEEE", boolean, 3
        )
        self._current_global = bind("_ZN2JS19CurrentGlobalOrNullEP9JSContext", pointer, 1)
        self._init_reflect_parse = bind("_Z19JS_InitReflectParseP9JSContextN2JS6HandleIP8JSObjectEE", boolean, 2)
        self._module_link = bind("_ZN2JS10ModuleLinkEP9JSContextNS_6HandleIP8JSObjectEE", boolean, 2)
        self._module_evaluate = bind(
            "_ZN2JS14ModuleEvaluateEP9JSContextNS_6HandleIP8JSObjectEENS_13MutableHandleINS_5ValueEEE", boolean, 3
        )
        self._module_namespace = bind("_ZN2JS18GetModuleNamespaceEP9JSContextNS_6HandleIP8JSObjectEE", pointer, 2)
        self._call_function = bind(
            "_Z20JS_CallFunctionValueP9JSContextN2JS6HandleIP8JSObjectEENS2_INS1_5ValueEEERKNS1_16HandleValueArray"
            "ENS1_13MutableHandleIS6_EE",
            boolean,
            5,
        )
        self._pending_exception = bind(
            "_Z22JS_GetPendingExceptionP9JSContextN2JS13MutableHandleINS1_5ValueEEE", boolean, 2
        )
        self._clear_exception = bind("_Z24JS_ClearPendingExceptionP9JSContext", None, 1)
        self._new_string = bind("_Z21JS_NewStringCopyUTF8NP9JSContextRKN2JS9UTF8CharsE", pointer, 2)
        self._string_length = bind("_Z18JS_GetStringLengthP8JSString", ctypes.c_size_t, 1)
        self._copy_string = bind("_Z18JS_CopyStringCharsP9JSContextRKN7mozilla5RangeIDsEEP8JSString", boolean, 3)
        self._run_jobs = bind("_ZN2js7RunJobsEP9JSContext", None, 1)
        self._promise_result = bind("_ZN2JS16GetPromiseResultENS_6HandleIP8JSObjectEE", _Word, 1)
        self._reset_random = bind("_ZN2JS24ResetRealmMathRandomSeedEP9JSContext", None, 1)
        self._new_function = self._function_with(
            "_Z14JS_NewFunctionP9JSContextPFbS0_jPN2JS5ValueEEjjPKc",
            pointer,
            [pointer, pointer, ctypes.c_uint, ctypes.c_uint, ctypes.c_char_p],
        )
        self._add_persistent_root = self._function_with(
            "_ZN2JS17AddPersistentRootEPNS_14RootingContextENS_8RootKindEPN2js20PersistentRootedBaseE",
            None,
            [pointer, ctypes.c_int8, pointer],
        )
        self._set_gc_parameter = self._function_with(
            "_Z17JS_SetGCParameterP9JSContext12JSGCParamKeyj", None, [pointer, ctypes.c_int, ctypes.c_uint]
        )
        self._set_gc_callback = bind("_Z16JS_SetGCCallbackP9JSContextPFvS0_10JSGCStatusN2JS8GCReasonEPvES4_", None, 3)
        self._set_finalization_callback = bind(
            "_ZN2JS42SetHostCleanupFinalizationRegistryCallbackEP9JSContextPFvP10JSFunctionP8JSObjectPvES6_", None, 3
        )
        self._set_rejection_tracker = bind(
            "_ZN2JS34SetPromiseRejectionTrackerCallbackEP9JSContextPFvS1_bNS_6HandleIP8JSObjectEENS_29PromiseRejection"
            "HandlingStateEPvES7_",
            None,
            3,
        )
        self._nuke_wrapper = bind("_ZN2js27NukeCrossCompartmentWrapperEP9JSContextP8JSObject", None, 2)

    def _function(self, symbol: str, result: object, argument_count: int) -> Callable[..., int]:
        return self._function_with(symbol, result, [_Pointer] * argument_count)

    def _function_with(self, symbol: str, result: object, arguments: list[object]) -> Callable[..., int]:
        function = getattr(self._library, symbol)
        function.restype, function.argtypes = result, arguments
        return function  # type: ignore[no-any-return]

    # -- values -------------------------------------------------------------------------------------

    def _root(self, kind: int) -> _Root:
        root = _Root(UNDEFINED if kind == _ROOT_VALUE else 0)
        self._add_persistent_root(self._context, kind, root.address)
        self._keep_alive.append(root)  # the engine's list of roots runs through its memory
        return root

    def new_root(self) -> Root:
        """A place for a JavaScript value that the collector sees, updates and keeps alive."""
        return self._root(_ROOT_VALUE)

    def _text(self, bits: int) -> str:
        """The text of a string value; lone surrogates come out as U+FFFD.

        :raises MemoryError: the limit of the worker is reached.
        """
        if bits >> _TAG_SHIFT != _TAG_STRING:
            return ""
        self._string.bits = bits & _PAYLOAD
        length = self._string_length(self._string.bits)
        units = ctypes.create_string_buffer(2 * length)
        start = ctypes.addressof(units)
        chars = (_Word * 2)(start, start + 2 * length)
        if not self._copy_string(self._context, ctypes.addressof(chars), self._string.bits):
            self._clear_exception(self._context)
            raise MemoryError
        return units.raw.decode("utf-16-le", "replace")

    def text(self, root: Root) -> str:
        """The string in `root`; empty where it holds something else."""
        return self._text(root.bits)

    def number(self, root: Root) -> float:
        """The number in `root`; NaN where it holds something else."""
        bits = root.bits
        tag = bits >> _TAG_SHIFT
        if tag == _TAG_INT32:
            return float(ctypes.c_int32(bits & 0xFFFFFFFF).value)
        if tag >= _TAG_INT32:
            return float("nan")
        return ctypes.c_double.from_buffer_copy(bits.to_bytes(8, "little")).value

    def boolean(self, root: Root) -> bool:
        """Whether `root` holds `true`."""
        return root.bits == (_TAG_BOOLEAN << _TAG_SHIFT) | 1

    def set_text(self, root: Root, text: str) -> None:
        """Store a new JavaScript string in `root`; what is no text (a lone surrogate) becomes `?`.

        :raises MemoryError: the limit of the worker is reached.
        """
        data = text.encode("utf-8", "replace")
        buffer = ctypes.create_string_buffer(data, len(data) + 1)
        start = ctypes.addressof(buffer)
        chars = (_Word * 2)(start, start + len(data))
        pointer = self._new_string(self._context, ctypes.addressof(chars))
        if not pointer:
            self._clear_exception(self._context)
            raise MemoryError
        root.bits = (_TAG_STRING << _TAG_SHIFT) | pointer

    # -- evaluation ---------------------------------------------------------------------------------

    def _options(self, filename: str) -> int:
        options = ctypes.create_string_buffer(256)
        name = ctypes.create_string_buffer(filename.encode("utf-8", "replace"))
        self._compile_options(ctypes.addressof(options), self._context)
        _Word.from_buffer(options).value = ctypes.addressof(name)  # TransitiveCompileOptions::filename_ is first
        self._keep_alive += [options, name]
        return ctypes.addressof(options)

    def _source(self, source: bytes) -> int:
        units = ctypes.create_string_buffer(source, len(source) + 1)
        text = (_Word * 2)(ctypes.addressof(units), len(source))  # units_, length_ (32 bits), ownsUnits_ = false
        self._keep_alive += [units, text]
        return ctypes.addressof(text)

    def evaluate(self, source: str, filename: str, into: Root) -> bool:
        """Evaluate a classic script. `False`: it threw, and `into` holds what it threw."""
        ok = self._evaluate(
            self._context, self._options(filename), self._source(source.encode("utf-8", "replace")), into.handle
        )
        return bool(ok) or self._take_exception(into)

    def compile_script(self, source: str, filename: str, error: Root) -> bool:
        """Compile a classic script for `execute_script`. `False`: `error` holds the error."""
        script = self._compile_script(
            self._context, self._options(filename), self._source(source.encode("utf-8", "replace"))
        )
        self._script.bits = script or 0
        return bool(script) or self._take_exception(error)

    def execute_script(self, into: Root) -> bool:
        """Run the script compiled last. `into` holds the value of its last expression; `False`: what it threw."""
        ok = self._execute_script(self._context, self._script.handle, into.handle)
        return bool(ok) or self._take_exception(into)

    def compile_module(self, source: str, filename: str, namespace: Root) -> bool:
        """Compile and link an ES module. `False`: `namespace` holds the error, else its namespace object."""
        module = self._compile_module(
            self._context, self._options(filename), self._source(source.encode("utf-8", "replace"))
        )
        if not module:
            return self._take_exception(namespace)
        self._module.bits = module
        if not self._module_link(self._context, self._module.handle):
            return self._take_exception(namespace)
        pointer = self._module_namespace(self._context, self._module.handle)
        if not pointer:
            return self._take_exception(namespace)
        namespace.bits = (_TAG_OBJECT << _TAG_SHIFT) | pointer
        return True

    def evaluate_module(self, into: Root) -> bool:
        """Run the module compiled last. `into` holds its promise; `False`: the error."""
        ok = self._module_evaluate(self._context, self._module.handle, into.handle)
        return bool(ok) or self._take_exception(into)

    def call(self, function: Root, arguments: list[Root], into: Root) -> bool:
        """Call a function. `False`: it threw, and `into` holds what it threw."""
        values = (_Word * max(1, len(arguments)))(*(argument.bits for argument in arguments))
        array = (_Word * 2)(len(arguments), ctypes.addressof(values))
        ok = self._call_function(
            self._context, self._no_this.handle, function.handle, ctypes.addressof(array), into.handle
        )
        return bool(ok) or self._take_exception(into)

    def _take_exception(self, into: Root) -> bool:
        into.bits = UNDEFINED
        if self._pending_exception(self._context, into.handle):
            self._clear_exception(self._context)
        return False

    def run_jobs(self) -> None:
        """Run promise jobs until none is left."""
        self._run_jobs(self._context)

    def reseed_random(self) -> None:
        """Make `Math.random` start from fresh entropy, whatever the parent did."""
        self._reset_random(self._context)

    def define_reflect_parse(self) -> None:
        """Define `Reflect.parse`, the engine's own parser; the prelude takes it and deletes it."""
        self._module.bits = self._current_global(self._context)
        if not self._init_reflect_parse(self._context, self._module.handle):
            raise EngineError("Reflect.parse could not be defined")

    # -- host functions -----------------------------------------------------------------------------

    def host_function(self, name: str, function: HostFunction, into: Root) -> None:
        """Store in `into` a native JavaScript function that calls `function` with its arguments as strings.

        Arguments that are no strings arrive as empty ones. An exception in `function` becomes an empty result:
        nothing of Python's may be seen by a script. `host_failure` keeps it for the worker.
        """

        def native(_context: int, count: int, values: ctypes._Pointer[ctypes.c_uint64]) -> bool:
            # values[0]: callee, then the result; values[1]: this; arguments follow (JS::CallArgs)
            try:
                text = function(*[self._text(values[2 + index]) for index in range(count)])
                self.set_text(self._result, text)
                values[0] = self._result.bits
            except BaseException as failure:
                self.host_failure = failure
                values[0] = UNDEFINED
            return True

        callback = _NATIVE(native)
        pointer = self._new_function(self._context, ctypes.cast(callback, _Pointer), 0, 0, name.encode())
        if not pointer:
            raise EngineError(f"the host function {name} could not be made")
        into.bits = (_TAG_OBJECT << _TAG_SHIFT) | pointer
        self._keep_alive.append(callback)

    def track_rejections(self, tracker: Root) -> None:
        """Have `tracker(promise, handledLater, reason)` called when a promise is rejected with nobody listening,
        and again with `handledLater` true when somebody does listen after all."""
        into = self.new_root()
        promise_value, later_value, reason_value = self.new_root(), self.new_root(), self.new_root()

        def track(_context: int, _muted: bool, promise: int, state: int, _data: int) -> None:
            promise_value.bits = (_TAG_OBJECT << _TAG_SHIFT) | _Word.from_address(promise).value
            later_value.bits = (_TAG_BOOLEAN << _TAG_SHIFT) | (1 if state else 0)
            reason_value.bits = self._promise_result(promise)
            self.call(tracker, [promise_value, later_value, reason_value], into)

        callback = _TRACKER(track)
        self._set_rejection_tracker(self._context, ctypes.cast(callback, _Pointer), None)
        self._keep_alive.append(callback)

    def nuke_wrapper(self, root: Root) -> None:
        """Cut a cross-compartment wrapper from what it wraps; does nothing where `root` holds no object."""
        if root.bits >> _TAG_SHIFT == _TAG_OBJECT:
            self._nuke_wrapper(self._context, root.bits & _PAYLOAD)


class _Root:
    """A `JS::PersistentRooted`: list links, then the cell. Roots are made before scripts run and never removed."""

    __slots__ = ("_words", "address", "handle")

    def __init__(self, initial: int) -> None:
        self._words = (_Word * 4)()
        self.address = ctypes.addressof(self._words)
        self.handle = self.address + 24
        self._words[0] = self._words[1] = self.address  # mozilla::LinkedListElement, not in a list yet
        self._words[3] = initial

    @property
    def bits(self) -> int:
        return self._words[3]

    @bits.setter
    def bits(self, bits: int) -> None:
        self._words[3] = bits


Root = _Root

_NATIVE = ctypes.PYFUNCTYPE(ctypes.c_bool, _Pointer, ctypes.c_uint, ctypes.POINTER(_Word))
_TRACKER = ctypes.PYFUNCTYPE(None, _Pointer, ctypes.c_bool, _Pointer, ctypes.c_int, _Pointer)
