"""Every way in which an execution can end, as a script and what has to be recorded of it."""

from __future__ import annotations

import msgspec

from ipc.messages import Limits

SMALL = Limits(max_execution_time_ms=1000)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A script, and the state, the outcome, a part of the postmortem and a part of the error that it must lead to."""

    name: str
    source: str
    status: str = "failed"
    outcome: str
    postmortem: str = ""
    error: str = ""
    output: object = None
    limits: Limits = Limits()
    input: object = None


def _run(body: str, head: str = "") -> str:
    return f"{head}\nexport default {{ async run(input, env, ctx) {{ {body} }} }};"


def _ok(name: str, source: str, output: object, **more: object) -> Case:
    return Case(name=name, source=source, status="completed", outcome="ok", output=output, **more)  # type: ignore[arg-type]


COMPLETED = [
    _ok("a method of the default export", "export default { run(input) { return input.a + 1 } }", 2, input={"a": 1}),
    _ok("an async method", _run("await null; return [1]"), [1]),
    _ok("a default function", "export default async function (input) { return input }", 5, input=5),
    _ok("an exported main", "export async function main() { return 'main' }", "main"),
    _ok("a plain script", "const a = 40; a + 2", 42),
    _ok("a plain script with a promise", "Promise.resolve('later')", "later"),
    _ok("a plain script that awaits", "const a = await Promise.resolve(20);\na * 2", 40),
    _ok("a plain script sees its input", "input.n * 2", 42, input={"n": 21}),
    _ok(
        "top-level await",
        _run("return ready", "const ready = await new Promise((r) => setTimeout(r, 5, 'yes'));"),
        "yes",
    ),
    _ok("this is the default export", "export default { n: 3, run() { return this.n } }", 3),
    _ok(
        "timers in order",
        _run("""
        const seen = [];
        setTimeout(() => seen.push("b"), 20); setTimeout(() => seen.push("a"), 5);
        const each = setInterval(() => { seen.push("i"); if (seen.length > 4) clearInterval(each) }, 1);
        await new Promise((r) => setTimeout(r, 50));
        return [seen[0], seen.includes("a"), seen.indexOf("a") < seen.indexOf("b")];"""),
        ["i", True, True],
    ),
    _ok("undefined is null", _run("return undefined"), None),
    _ok("no return is null", _run(""), None),
    _ok("toJSON is asked", _run("return { toJSON() { return 'mine' } }"), "mine"),
    _ok("a lone surrogate is replaced", _run("return 'a\\ud800b\\udc00\\\\ud800'"), "a\ufffdb\ufffd\\ud800"),
    _ok("a pair of surrogates is kept", _run("return '\\ud83d\\ude00'"), "😀"),
    _ok(
        "200 levels deep",
        _run("let a = 1; for (let i = 0; i < 200; i++) a = [a]; return JSON.stringify(a).length"),
        401,
    ),
    _ok(
        "a rejection that is handled later",
        _run("const p = Promise.reject(new Error('x')); await null; return p.catch(() => 'ok')"),
        "ok",
    ),
    _ok(
        "waitUntil is waited for",
        _run("ctx.waitUntil(new Promise((r) => setTimeout(r, 20)).then(() => console.log('done'))); return 1"),
        1,
    ),
    _ok("a timer that is left is dropped", _run("setTimeout(() => { throw new Error('never') }, 60000); return 1"), 1),
    _ok("structuredClone", _run("return structuredClone({ a: [1, { b: 2 }] })"), {"a": [1, {"b": 2}]}),
    _ok("URL", _run("return new URL('/x?a=1', 'https://example.com').searchParams.get('a')"), "1"),
    _ok(
        "WebAssembly",
        _run("""
        const code = new Uint8Array([0,97,115,109,1,0,0,0,1,7,1,96,2,127,127,1,127,3,2,1,0,7,7,1,3,97,100,100,0,0,
                                     10,9,1,7,0,32,0,32,1,106,11]);
        return (await WebAssembly.instantiate(code)).instance.exports.add(2, 3);"""),
        5,
    ),
    _ok(
        "the signal aborts before the deadline",
        _run("""
        await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
        return ctx.remaining() > 0 && ctx.signal.aborted;"""),
        True,
        limits=SMALL,
    ),
]

THROWN = [
    Case(
        name="an Error",
        source=_run("throw new RangeError('boo')"),
        outcome="exception",
        postmortem="RangeError: boo (line 2, column",
        error="at run (",
    ),
    Case(name="an Error without a stack of ours", source=_run("null.x"), outcome="exception", postmortem="TypeError"),
    Case(name="undefined", source=_run("throw undefined"), outcome="exception", postmortem="threw undefined"),
    Case(name="null", source=_run("throw null"), outcome="exception", postmortem="threw null"),
    Case(name="a string", source=_run("throw 'text'"), outcome="exception", postmortem="threw text"),
    Case(name="a Symbol", source=_run("throw Symbol('s')"), outcome="exception", postmortem="threw Symbol(s)"),
    Case(name="a BigInt", source=_run("throw 5n"), outcome="exception", postmortem="threw 5n"),
    Case(
        name="a Proxy that throws on everything",
        source=_run("""
        const trap = () => { throw new Error("trapped") };
        throw new Proxy(function () {}, { get: trap, has: trap, ownKeys: trap, getPrototypeOf: trap,
                                          getOwnPropertyDescriptor: trap, apply: trap, construct: trap });"""),
        outcome="exception",
    ),
    Case(
        name="a revoked Proxy",
        source=_run("const r = Proxy.revocable({}, {}); r.revoke(); throw r.proxy"),
        outcome="exception",
    ),
    Case(
        name="a throwing getter",
        source=_run("throw { get message() { throw new Error('inner') }, get name() { throw 1 } }"),
        outcome="exception",
    ),
    Case(
        name="an Error with throwing getters",
        source=_run("""
        const e = new Error("x");
        for (const key of ["name", "message", "stack", "lineNumber", "fileName"])
          Object.defineProperty(e, key, { get() { throw new Error("inner") } });
        throw e;"""),
        outcome="exception",
    ),
    Case(name="an object", source=_run("throw { code: 7 }"), outcome="exception", postmortem="code: 7"),
    Case(
        name="at the top level",
        source=_run("return 1", "throw new Error('top');"),
        outcome="exception",
        postmortem="Error: top",
    ),
    Case(
        name="by a plain script",
        source="let a = 1;\nnope + a",
        outcome="exception",
        postmortem="ReferenceError: nope is not defined (line 2, column 1)",
    ),
    Case(
        name="in a timer",
        source=_run("setTimeout(() => { throw new Error('tick') }, 1); await new Promise((r) => setTimeout(r, 500))"),
        outcome="exception",
        postmortem="Error: tick",
    ),
    Case(
        name="in a microtask",
        source=_run("queueMicrotask(() => { throw new Error('micro') }); await new Promise((r) => setTimeout(r, 50))"),
        outcome="exception",
        postmortem="Error: micro",
    ),
    Case(
        name="by a then that is a getter",
        source=_run("return { get then() { throw new Error('then') } }"),
        outcome="exception",
        postmortem="Error: then",
    ),
    Case(name="a huge message", source=_run("throw new Error('x'.repeat(1e6))"), outcome="exception"),
    Case(
        name="a message with control characters",
        source=_run("throw new Error('a\\u0000\\u001b[31m\\nfake')"),
        outcome="exception",
    ),
]

SYNTAX = [
    Case(
        name="in a module",
        source="export default {\n  run( { return 1 }\n}",
        outcome="syntax_error",
        postmortem="(line 2, column 17)",
        error="                ^",
    ),
    Case(name="in a plain script", source="let x = ;", outcome="syntax_error", postmortem="(line 1, column 9)"),
    Case(name="an import", source="import x from 'y';\nexport default { run() {} }", outcome="syntax_error"),
    Case(name="a dynamic import", source=_run("await import('fs')"), outcome="exception"),
    Case(name="nothing that parses", source="}{", outcome="syntax_error"),
]

NO_RESULT = [
    Case(name="no handler", source="export const x = 1;", outcome="no_handler", postmortem="async run("),
    Case(name="a default export that is no handler", source="export default 5", outcome="no_handler"),
    Case(
        name="a promise that can never settle",
        source=_run("await new Promise(() => {})"),
        outcome="never_settles",
        postmortem="can never settle",
    ),
    Case(
        name="a top-level await that can never settle",
        source=_run("return 1", "await new Promise(() => {});"),
        outcome="never_settles",
    ),
    Case(
        name="an unhandled rejection",
        source=_run("Promise.reject(new Error('lost')); return 1"),
        outcome="unhandled_rejection",
        postmortem="Error: lost",
    ),
    Case(
        name="an unhandled rejection of a Symbol",
        source=_run("Promise.reject(Symbol('s')); await null; return 1"),
        outcome="unhandled_rejection",
        postmortem="Symbol(s)",
    ),
    Case(
        name="an unhandled rejection of undefined",
        source=_run("Promise.reject(); await new Promise((r) => setTimeout(r, 10)); return 1"),
        outcome="unhandled_rejection",
    ),
]

BAD_OUTPUT = [
    Case(
        name="circular", source=_run("const a = {}; a.a = a; return a"), outcome="invalid_output", postmortem="cyclic"
    ),
    Case(name="a BigInt", source=_run("return { n: 1n }"), outcome="invalid_output", postmortem="BigInt"),
    Case(name="a function", source=_run("return () => 1"), outcome="invalid_output", postmortem="function"),
    Case(name="a Symbol", source=_run("return Symbol('x')"), outcome="invalid_output", postmortem="symbol"),
    Case(name="a NUL character", source=_run("return ['a\\0b']"), outcome="invalid_output", postmortem="NUL"),
    Case(
        name="a NUL character in a key", source=_run("return { '\\0': 1 }"), outcome="invalid_output", postmortem="NUL"
    ),
    Case(
        name="too deep",
        source=_run("let a = []; for (let i = 0; i < 600; i++) a = [a]; return a"),
        outcome="invalid_output",
        postmortem="500 levels",
    ),
    Case(
        name="far too deep",
        source=_run("let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a"),
        outcome="invalid_output",
    ),
    Case(
        name="a toJSON that throws",
        source=_run("return { toJSON() { throw new Error('mine') } }"),
        outcome="invalid_output",
        postmortem="mine",
    ),
    Case(
        name="too large",
        source=_run("return Array(200).fill('x'.repeat(100))"),
        outcome="output_size",
        postmortem="max_output_size_bytes is 10000",
        limits=Limits(max_output_size_bytes=10_000),
    ),
    Case(
        name="too large by its UTF-8",
        source=_run("return 'é'.repeat(6000)"),
        outcome="output_size",
        limits=Limits(max_output_size_bytes=10_000),
    ),
]

LIMITS = [
    Case(
        name="recursion",
        source=_run("const f = () => f() + 1; return f()"),
        outcome="stack_overflow",
        postmortem="too much recursion",
    ),
    Case(
        name="a busy loop",
        source=_run("for (;;);"),
        status="timeout",
        outcome="wall_time",
        postmortem="max_execution_time_ms is 1000",
        limits=SMALL,
    ),
    Case(name="a busy loop at the top level", source="for (;;);", status="timeout", outcome="wall_time", limits=SMALL),
    Case(
        name="a microtask storm",
        source=_run("for (;;) await null;"),
        status="timeout",
        outcome="wall_time",
        limits=SMALL,
    ),
    Case(
        name="a timer that comes too late",
        source=_run("await new Promise((r) => setTimeout(r, 60000))"),
        status="timeout",
        outcome="wall_time",
        limits=SMALL,
    ),
    Case(
        name="a regular expression that backtracks",
        source=_run("return /^(a+)+$/.test('a'.repeat(40) + 'b')"),
        status="timeout",
        outcome="wall_time",
        limits=SMALL,
    ),
    Case(
        name="a toJSON that loops",
        source=_run("return { toJSON() { for (;;); } }"),
        status="timeout",
        outcome="wall_time",
        limits=SMALL,
    ),
    Case(
        name="a then that loops",
        source=_run("return { then() { for (;;); } }"),
        status="timeout",
        outcome="wall_time",
        limits=SMALL,
    ),
    Case(
        name="memory in objects",
        source=_run("const a = []; for (;;) a.push({ a: 1 })"),
        outcome="memory",
        postmortem="max_memory_bytes is 67108864",
    ),
    Case(
        name="memory in arrays", source=_run("const a = []; for (;;) a.push(new Array(1000).fill(1))"), outcome="memory"
    ),
    Case(
        name="memory in strings",
        source=_run("const a = []; for (let i = 0; ; i++) a.push('x'.repeat(1000) + i)"),
        outcome="memory",
    ),
    Case(
        name="memory in typed arrays",
        source=_run("const a = []; for (;;) a.push(new Uint8Array(1e6).fill(1))"),
        outcome="memory",
    ),
    Case(
        name="memory in maps", source=_run("const m = new Map(); for (let i = 0; ; i++) m.set(i, i)"), outcome="memory"
    ),
    Case(
        name="memory in closures", source=_run("const a = []; for (let i = 0; ; i++) a.push(() => i)"), outcome="memory"
    ),
    Case(
        name="memory, caught again and again",
        source=_run("""
        const kept = [];
        for (let caught = 0; caught < 50; caught++) {
          try { for (;;) kept.push(new Uint8Array(1e5).fill(1)) } catch {}
        }
        for (;;) kept.push(new Uint8Array(1e5).fill(1));"""),
        outcome="memory",
    ),
    Case(
        name="memory of a limit of its own",
        source=_run("return new Uint8Array(3e7).fill(1).length"),
        outcome="memory",
        postmortem="max_memory_bytes is 16777216",
        limits=Limits(max_memory_bytes=16 * 1024 * 1024),
    ),
]

CASES = {
    f"{group}: {case.name}": case
    for group, cases in {
        "completed": COMPLETED,
        "thrown": THROWN,
        "syntax": SYNTAX,
        "no result": NO_RESULT,
        "bad output": BAD_OUTPUT,
        "limits": LIMITS,
    }.items()
    for case in cases
}
