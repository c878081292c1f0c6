// Two promises: nothing of the prelude's own objects can be reached, and a script that patches intrinsics makes
// only its own run strange. The second case breaks the globals, so it comes last and asserts with what it kept.

test("neither core nor host can be reached from the global object", () => {
  const { core, host } = harness;
  const forbidden = new Map([[core, "core"], [host, "host"]]);
  const { test: _t, assert: _a, data: _d, harness: _h } = globalThis;
  for (const name of ["test", "assert", "data", "harness"]) delete globalThis[name];
  const seen = new Set();
  const queue = [[globalThis, "globalThis"], [new URL("http://h/?a").searchParams.entries(), "iterator"], [new AbortController().signal, "signal"]];
  for (const sample of [() => {}, async () => {}, function* () {}, async function* () {}, [].values(), new Map().entries(), new TextDecoder(), new Event("x"), new DOMException()]) queue.push([sample, "sample"]);
  const found = [];
  try {
    for (let at = 0; at < queue.length; at++) {
      const [value, path] = queue[at];
      if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) continue;
      seen.add(value);
      if (forbidden.has(value)) found.push(`${path} is ${forbidden.get(value)}`);
      queue.push([Object.getPrototypeOf(value), `${path}.__proto__`]);
      for (const key of Reflect.ownKeys(value)) {
        const descriptor = Object.getOwnPropertyDescriptor(value, key);
        const name = `${path}.${String(key)}`;
        if ("value" in descriptor) queue.push([descriptor.value, name]);
        else {
          queue.push([descriptor.get, `${name} (get)`], [descriptor.set, `${name} (set)`]);
          try {
            queue.push([value[key], `${name}()`]);
          } catch {
            // a brand check
          }
        }
      }
    }
  } finally {
    Object.assign(globalThis, { test: _t, assert: _a, data: _d, harness: _h });
  }
  // What core holds, but for what every script has anyway.
  const helpers = Reflect.ownKeys(core).filter((key) => typeof core[key] === "function" && !/Constructor$|^(Event|EventTarget|DOMException)$/.test(key));
  const builtin = /^(apply|construct|ownKeys|create|define(Property|Properties)|freeze|get(OwnPropertyDescriptor|OwnPropertySymbols|PrototypeOf)|setPrototypeOf|hasOwn|isExtensible|objectKeys|isArray|json(Parse|Stringify)|from(CharCode|CodePoint)|dateNow|isInteger|floor|trunc|sqrt|round|numberOf|bigintOf|parse(Integer|Floating)|isView)$/;
  for (const key of helpers) if (!builtin.test(key) && seen.has(core[key])) found.push(`core.${key} can be reached`);
  for (const key of Reflect.ownKeys(host)) if (seen.has(host[key])) found.push(`host.${key} can be reached`);
  assert.same(found, []);
  assert.ok(seen.size > 500);
});

test("caller and arguments show nothing of the prelude", () => {
  const got = [];
  function spy() {
    for (const read of [() => spy.caller, () => spy.arguments, () => spy.caller?.caller]) {
      try {
        got.push(read());
      } catch {
        // refused
      }
    }
    return "spied";
  }
  console.log("%j %s", { toJSON: spy }, new (class { toString() { return spy(); } })());
  queueMicrotask(spy);
  setTimeout(spy, 0);
  harness.runTimers(performance.now() + 10);
  const target = new EventTarget();
  target.addEventListener("x", spy);
  target.dispatchEvent(new Event("x"));
  new URLSearchParams([["a", { toString: spy }]]);
  new URLSearchParams("a=1").forEach(spy);
  assert.same(got.filter((value) => typeof value === "function" && value !== spy && !/spy/.test(String(value))), []);
});

test("setters on Object.prototype and Array.prototype see nothing", () => {
  const caught = new Set();
  const set = (value) => {
    caught.add(value);
  };
  const keys = ["0", "1", "entries", "keys", "length2", "handler", "listener", "name", "order", "text", "fields", "cells", "made", "buffer"];
  const saved = [];
  for (const holder of [Object.prototype, Array.prototype]) {
    for (const key of keys) saved.push({ holder, key, descriptor: Object.getOwnPropertyDescriptor(holder, key) });
  }
  for (const { holder, key } of saved) Object.defineProperty(holder, key, { __proto__: null, set, configurable: true });
  let clone, text;
  try {
    clone = structuredClone({ a: [1, { b: 2 }], m: new Map([[1, new Set([2])]]) });
    setTimeout(() => {}, 1);
    harness.runTimers(performance.now() + 10);
    harness.log.length = 0;
    console.log("%o", { a: [1, 2], m: new Map([[1, 2]]) });
    console.table([{ x: 1 }]);
    new EventTarget().addEventListener("x", () => {});
    const url = new URL("http://h/a/b?x=1&y=2");
    url.searchParams.append("z", "3");
    text = url.href;
    new AbortController().abort();
  } finally {
    for (const { holder, key, descriptor } of saved) {
      delete holder[key];
      if (descriptor) Object.defineProperty(holder, key, descriptor);
    }
  }
  assert.same(clone.a, [1, { b: 2 }]);
  assert.equal(text, "http://h/a/b?x=1&y=2&z=3");
  const own = [...caught].filter((value) => typeof value === "object" && value !== null && Object.getPrototypeOf(value) === null);
  assert.equal(own.length, 0, "records of the prelude that a setter saw:");
});

test("the platform works when a script has broken every intrinsic", () => {
  const keep = { log: harness.log, core: harness.core, url: URL, is: Object.is, ErrorType: Error, runDue: harness.core.timers.runDue, set: setTimeout, now: performance.now() };
  keep.log.length = 0;
  const broken = () => {
    throw new keep.ErrorType("a patched intrinsic was used");
  };
  const sample = { a: [1, 2, { b: "x" }], m: new Map([["k", new Set([1])]]), d: new Date(0), r: /x/g, e: [1, , 2] };
  const error = new TypeError("bad");
  const { log: write, table } = console;
  const prototypes = [Array, String, Map, Set, WeakMap, WeakSet, Promise, RegExp, Date, Number, Symbol, Function, ArrayBuffer, Uint8Array, Object.getPrototypeOf(Uint8Array)].map((type) => type.prototype);
  prototypes.push(Object.getPrototypeOf([].values()), Object.getPrototypeOf(new Map().entries()), Object.getPrototypeOf(new Set().values()));
  const ownKeys = Reflect.ownKeys, descriptorOf = Object.getOwnPropertyDescriptor, define = Object.defineProperty;
  const undo = [];
  const breakAll = (holder, except) => {
    const keys = ownKeys(holder);
    for (let index = 0; index < keys.length; index++) {
      const key = keys[index], descriptor = descriptorOf(holder, key);
      if (!descriptor.configurable || key === "constructor" || (except && except(key))) continue;
      if (typeof descriptor.value !== "function" && descriptor.get === undefined) continue;
      undo[undo.length] = [holder, key, descriptor];
      define(holder, key, { ...descriptor, ...("value" in descriptor ? { value: broken } : { get: broken }) });
    }
  };
  let failure, ran = 0, href, copy;
  for (let index = 0; index < prototypes.length; index++) breakAll(prototypes[index]);
  breakAll(JSON);
  breakAll(Math);
  breakAll(Reflect);
  breakAll(Object, (key) => key === "prototype");
  try {
    write("%s %d %j %o", "x", 4, sample.a, sample);
    write(sample, error, keep.url);
    table(sample.a);
    keep.set(() => ran++, 0);
    keep.runDue(keep.now + 1000);
    href = new keep.url("../x?y=é#z", "http://EXAMPLE.org:80/a/b/").href;
    copy = structuredClone(sample);
    keep.text = keep.core.inspect(sample);
    keep.bytes = new TextDecoder().decode(new TextEncoder().encode("é"));
    keep.base64 = atob(btoa("abc"));
    keep.uuid = crypto.randomUUID().length;
  } catch (thrown) {
    failure = thrown;
  }
  for (let index = undo.length - 1; index >= 0; index--) define(undo[index][0], undo[index][1], undo[index][2]);
  if (failure !== undefined) throw failure;
  assert.equal(ran, 1);
  assert.equal(href, "http://example.org/a/x?y=%C3%A9#z");
  assert.equal(keep.text, keep.core.inspect(sample));
  assert.equal(keep.core.inspect(copy), keep.text);
  assert.same([keep.bytes, keep.base64, keep.uuid], ["é", "abc", 36]);
  assert.ok(keep.log.length >= 2 && keep.log[0].text.startsWith("x 4 [1,2,"), keep.log[0]?.text);
});
