const { inspect } = harness.core;
const logged = (run) => {
  harness.log.length = 0;
  run();
  return harness.log.map(({ text }) => text).join("\n");
};

for (const [source, expected] of data.inspect.inspect) {
  test(`inspect ${source}`, () => assert.equal(inspect((0, eval)(source)), expected));
}
for (const [source, expected] of data.inspect.format) {
  test(`format ${source}`, () => assert.equal(logged(() => console.log(...(0, eval)(source))), expected));
}

test("each method has its level", () => {
  harness.log.length = 0;
  console.debug(1);
  console.log(2);
  console.info(3);
  console.warn(4);
  console.error(5);
  console.assert(true, "no");
  console.assert(false, "why %s", "x");
  console.assert(false);
  console.assert(false, { a: 1 });
  assert.same(harness.log.map(({ level, text }) => `${level} ${text}`), [
    "debug 1", "log 2", "info 3", "warn 4", "error 5", "error Assertion failed: why x", "error Assertion failed", "error Assertion failed: { a: 1 }",
  ]);
});

test("groups indent, counters count, timers time", () => {
  assert.equal(logged(() => {
    console.group("outer");
    console.groupCollapsed();
    console.log("a\nb");
    console.groupEnd();
    console.log("c");
    console.groupEnd();
    console.groupEnd();
    console.log("d");
    console.count();
    console.count("x");
    console.count();
    console.countReset();
    console.count();
  }), "outer\n    a\n    b\n  c\nd\ndefault: 1\nx: 1\ndefault: 2\ndefault: 1");
  const text = logged(() => {
    console.time("t%s");
    console.timeLog("t%s", "so far", 1);
    console.timeEnd("t%s");
    console.timeEnd("t%s");
  });
  assert.ok(/^t%s: [\d.]+ms so far 1\nt%s: [\d.]+ms\nno timer is called 't%s'/.test(text), text);
});

test("trace shows the script's frames only", () => {
  const text = logged(function caller() { console.trace("here %d", 1); });
  assert.ok(text.startsWith("Trace: here 1\n    at caller (console.test.js:"), text);
  assert.ok(!text.includes("prelude"), text);
});

test("tables", () => {
  assert.equal(logged(() => console.table([{ a: 1, b: "x" }, { a: 2, c: true }])), [
    "┌─────────┬───┬─────┬──────┐",
    "│ (index) │ a │  b  │  c   │",
    "├─────────┼───┼─────┼──────┤",
    "│    0    │ 1 │ 'x' │      │",
    "│    1    │ 2 │     │ true │",
    "└─────────┴───┴─────┴──────┘",
  ].join("\n"));
  assert.equal(logged(() => console.table(5)), "5");
  assert.ok(logged(() => console.table(new Map([["k", 1]]))).includes("'k'"));
  assert.ok(!logged(() => console.table([{ a: 1, b: 2 }], ["b"])).includes("a"));
  logged(() => console.table([{ get a() { throw 1; } }, new Proxy({}, { get() { throw 1; } })]));
});

test("errors show message, frames, cause and more", () => {
  const error = new TypeError("bad", { cause: new RangeError("why") });
  error.code = "E_BAD";
  const text = inspect(error);
  assert.ok(/^TypeError: bad\n {4}at .*console\.test\.js:\d+:\d+/.test(text), text);
  assert.ok(text.includes("code: 'E_BAD'") && text.includes("[cause]: RangeError: why\n"), text);
  class AppError extends Error {}
  assert.ok(inspect(new AppError("x")).startsWith("AppError: x\n"));
  const bare = new Error("no frames");
  bare.stack = "";
  Object.defineProperty(bare, "stack", { enumerable: false });
  assert.ok(inspect(new AggregateError([1], "all")).includes("[errors]: [ 1 ]"));
  assert.ok(inspect(new DOMException("gone", "AbortError")).startsWith("AbortError: gone\n"), inspect(new DOMException("gone", "AbortError")));
  const odd = new Error("x");
  Object.defineProperty(odd, "message", { get() { throw 1; } });
  Object.defineProperty(odd, "name", { value: new Proxy({}, { get() { throw 1; } }) });
  assert.ok(inspect(odd).startsWith("Error"));
  assert.ok(inspect([new Error("nested")]).includes("\n  Error: nested\n      at "), inspect([new Error("nested")]));
});

test("the platform's own objects show what they are", () => {
  assert.ok(inspect(new URL("http://h/?a=1")).startsWith("URL {\n  href: 'http://h/?a=1',"));
  assert.equal(inspect(new URLSearchParams("a=1&b")), "URLSearchParams { 'a' => '1', 'b' => '' }");
  assert.equal(inspect(new AbortController()), "AbortController { signal: AbortSignal { aborted: false } }");
  assert.ok(inspect(URL.prototype).includes("href: [Getter/Setter]"));
});

// -- hostile values ---------------------------------------------------------------------------------

const trap = () => {
  throw new Error("a trap ran");
};
const traps = new Proxy({}, { get: () => trap });

test("no trap of a proxy ever runs", () => {
  let ran = 0;
  const counting = new Proxy({}, { get: () => { ran++; return undefined; } });
  const values = [
    new Proxy({ a: 1 }, counting), new Proxy([1], counting), new Proxy(function f() {}, counting), new Proxy(class A {}, counting),
    Object.create(new Proxy({}, counting)), new Proxy(new Proxy(new Map([[1, 2]]), counting), counting), new Proxy(new Error("x"), counting),
    Object.setPrototypeOf(new Error("y"), new Proxy({}, counting)), Proxy.revocable({}, counting).proxy,
    { constructor: new Proxy(class B {}, counting) }, Object.create({ constructor: new Proxy(class B {}, counting) }),
    Object.setPrototypeOf(function f() {}, new Proxy(function g() {}, counting)), Object.setPrototypeOf([], new Proxy([], counting)),
    { toString: new Proxy(() => "x", counting) },
  ];
  for (const value of values) {
    for (const shown of [value, [value], new Map([[value, value]])]) {
      console.log(shown);
      console.log("%s %o %O %d", shown, shown, shown, 1);
      console.table(shown);
      console.dir(shown, { showHidden: true, depth: 9 });
    }
  }
  assert.equal(ran, 0);
  const { proxy, revoke } = Proxy.revocable({ a: 1 }, {});
  assert.equal(inspect(proxy), "{ a: 1 }");
  revoke();
  assert.equal(inspect(proxy), "<Revoked Proxy>");
  console.log(traps);
});

test("Proxy looks like the original", () => {
  assert.equal(Proxy.name, "Proxy");
  assert.equal(Proxy.length, 2);
  assert.equal(Object.hasOwn(Proxy, "prototype"), false);
  assert.throws(() => Proxy({}, {}), "TypeError");
  assert.throws(() => new Proxy(1, {}), "TypeError");
  assert.throws(() => class extends Proxy {}, "TypeError");
  assert.equal(new Proxy({}, { get: (_, key) => key }).x, "x");
  assert.ok(Function.prototype.toString.call(Proxy).includes("[native code]"));
});

test("no getter runs", () => {
  let ran = 0;
  const bait = { get() { ran++; return "x"; }, enumerable: true, configurable: true };
  class Bait {
    get [Symbol.toStringTag]() { ran++; return "x"; }
    static get [Symbol.hasInstance]() { ran++; return () => true; }
  }
  const error = new Error("e");
  for (const key of ["name", "message", "stack", "cause"]) Object.defineProperty(error, key, bait);
  const named = function () {};
  Object.defineProperty(named, "name", bait);
  Object.defineProperty(named, "prototype", { value: null });
  const array = [1, 2];
  Object.defineProperty(array, 0, bait);
  Object.defineProperty(array, "constructor", bait);
  const values = [Object.defineProperty({}, "a", bait), new Bait(), error, named, array, Object.defineProperty(new Map(), "size", bait), Object.defineProperty(new Uint8Array(2), "length", bait)];
  for (const value of values) {
    console.log(value, [value]);
    console.log("%s%o", value, value);
    console.table([value]);
  }
  assert.equal(ran, 0);
});

test("nothing makes console throw", () => {
  const deep = {};
  for (let at = deep, depth = 0; depth < 20_000; depth++) at = at.next = {};
  const values = [
    deep, Object.assign(Object.create(null), { toString: trap, valueOf: trap, toJSON: trap, [Symbol.toPrimitive]: trap }), Object.create(Map.prototype),
    Object.create(Date.prototype), Object.create(Error.prototype), Object.create(Uint8Array.prototype), Object.setPrototypeOf(new Date(NaN), Map.prototype),
    Object.create(URL.prototype), Object.create(AbortSignal.prototype), Object.create(DOMException.prototype), Error.prototype, RegExp.prototype, Symbol.prototype,
    "\ud800", Object.defineProperty([], "length", { value: 4294967295 }), new Array(4294967295), Object.assign([], { 4294967294: 1 }),
    Object.defineProperty({}, Symbol.toStringTag, { value: {} }), { constructor: 1 }, { constructor: { name: trap } }, function* () {}, globalThis,
  ];
  const buffer = new ArrayBuffer(8);
  const view = new Uint8Array(buffer);
  structuredClone(buffer, { transfer: [buffer] });
  values.push(buffer, view, { __proto__: { __proto__: null } });
  for (const value of values) {
    for (const method of ["log", "dir", "table", "trace"]) console[method](value);
    console.log("%s %d %i %f %o %O", value, value, value, value, value, value);
    if (!Array.isArray(value)) console.log("%j", value); // JSON of four billion holes is the script's own waste
    console.dir(value, { depth: Infinity, showHidden: true });
    console.assert(false, value);
  }
  console.dir({}, { get depth() { throw 1; } });
  console.dir({}, new Proxy({}, traps));
  const recurse = () => {
    try {
      recurse();
    } finally {
      console.log({ a: [1, { b: 2 }] });
    }
  };
  try {
    recurse();
  } catch {
    // too much recursion, of the script's own
  }
});

test("an inspection is bounded", () => {
  const wide = Object.fromEntries(Array.from({ length: 50_000 }, (_, index) => [`key${index}`, { index }]));
  const started = Date.now();
  for (const value of [wide, Array(100).fill(Array(100).fill(Array(100).fill("xxxxxxxxxx"))), "x".repeat(1e6), { a: "y".repeat(1e6) }, ["\n".repeat(9000), "\n".repeat(9000)], new Uint8Array(1e7), Array.from({ length: 1e6 }, () => 1)]) {
    assert.ok(inspect(value, { depth: Infinity }).length <= 65_536);
    assert.ok(logged(() => console.log(value)).length <= 65_600);
    assert.ok(logged(() => console.log("%s|%o", value, value)).length <= 65_600);
  }
  let dag = [];
  for (let depth = 0; depth < 60; depth++) dag = [dag, dag];
  assert.ok(inspect(dag, { depth: Infinity }).length <= 65_536);
  assert.ok(Date.now() - started < 5000, `${Date.now() - started} ms:`);
});
