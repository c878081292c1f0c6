const text = (value) => harness.core.inspect(value, { depth: 9 });

test("values come out as they went in", () => {
  const sparse = [1, , 3];
  sparse.extra = "e";
  const values = [
    1, -0, "s", null, undefined, true, 10n, NaN, {}, [], { a: { b: [1, { c: 2 }] } }, sparse, new Array(5), new Date(5), new Date(NaN), /a\/b/giu,
    new Map([[{ k: 1 }, new Set([1, [2]])]]), new Number(3), new String("abc"), new Boolean(false), Object(5n), new Uint8Array([1, 2]), new Float64Array([1.5]),
    new BigInt64Array([5n]), new ArrayBuffer(3), new DataView(new ArrayBuffer(8), 2, 4), { ["__proto__"]: 1 }, Object.assign(Object.create(null), { a: 1 }),
  ];
  for (const value of values) {
    const clone = structuredClone(value);
    if (Object(value) === value) assert.ok(clone !== value);
    assert.equal(text(clone), text(value).replace("[Object: null prototype] ", ""));
  }
  assert.ok(!(1 in structuredClone(sparse)));
});

test("classes become plain objects, getters become values, what is hidden is left out", () => {
  class Point {
    #secret = 1;
    x = 1;
    get y() { return this.#secret; }
  }
  const clone = structuredClone(new Point());
  assert.equal(Object.getPrototypeOf(clone), Object.prototype);
  assert.same(clone, { x: 1 });
  assert.same(structuredClone({ get a() { return 5; }, [Symbol("s")]: 1 }), { a: 5 });
  assert.same(structuredClone(Object.defineProperty({ a: 1 }, "b", { value: 2 })), { a: 1 });
  const expression = /a/g;
  expression.lastIndex = 5;
  assert.equal(structuredClone(expression).lastIndex, 0);
});

test("what is shared stays shared, also in circles", () => {
  const shared = {};
  const value = { a: shared, b: shared, list: [], map: new Map() };
  value.self = value;
  value.list.push(value);
  value.map.set(value, shared);
  const clone = structuredClone(value);
  assert.ok(clone.a === clone.b && clone.a !== shared && clone.self === clone && clone.list[0] === clone && clone.map.get(clone) === clone.a);
  const buffer = new ArrayBuffer(8);
  const views = structuredClone([new Uint8Array(buffer, 2, 3), new Uint16Array(buffer), buffer]);
  assert.ok(views[0].buffer === views[2] && views[1].buffer === views[2]);
  assert.same([views[0].byteOffset, views[0].length], [2, 3]);
});

test("errors", () => {
  class AppError extends RangeError {}
  const error = new AppError("m", { cause: { a: 1 } });
  error.code = 5;
  const clone = structuredClone(error);
  assert.ok(clone instanceof RangeError && !(clone instanceof AppError));
  assert.same([clone.name, clone.message, clone.cause.a, clone.code, clone.stack === error.stack], ["RangeError", "m", 1, undefined, true]);
  const named = new Error("x");
  named.name = "Odd";
  assert.equal(structuredClone(named).constructor, Error);
  const exception = structuredClone(new DOMException("gone", "AbortError"));
  assert.ok(exception instanceof DOMException && exception.code === 20);
  assert.equal(structuredClone(new Error()).hasOwnProperty("message"), false);
});

test("what cannot be cloned is refused", () => {
  const values = [
    () => {}, class {}, Symbol("x"), Object(Symbol()), new WeakMap(), new WeakSet(), Promise.resolve(), new Proxy({}, {}), new URL("http://h/"), new AbortController(),
    new EventTarget(), new Event("x"), new TextDecoder(), new Map().entries(), (function* () {})(), [].values(), new Intl.NumberFormat(), performance, crypto,
  ];
  for (const value of values) {
    assert.throws(() => structuredClone(value), "DataCloneError", text(value));
    assert.throws(() => structuredClone({ deep: [value] }), "DataCloneError");
  }
  assert.throws(() => structuredClone(), "TypeError");
  assert.throws(() => structuredClone({ get a() { throw new RangeError("mine"); } }), "RangeError");
});

test("buffers are transferred", () => {
  const buffer = Uint8Array.of(1, 2, 3).buffer;
  const view = new Uint8Array(buffer, 1);
  const clone = structuredClone({ view, buffer }, { transfer: [buffer] });
  assert.equal(buffer.byteLength, 0);
  assert.equal(view.length, 0);
  assert.same([...clone.view], [2, 3]);
  assert.equal(clone.view.buffer, clone.buffer);
  const kept = new ArrayBuffer(2);
  assert.throws(() => structuredClone(() => {}, { transfer: [kept] }), "DataCloneError");
  assert.equal(kept.byteLength, 2, "a refused clone transfers nothing:");
  for (const transfer of [[kept, kept], [buffer], [{}], [1], [view]]) assert.throws(() => structuredClone(1, { transfer }), "DataCloneError");
  assert.throws(() => structuredClone(buffer), "DataCloneError");
  assert.throws(() => structuredClone(1, 5), "TypeError");
  const resizable = structuredClone(new ArrayBuffer(2, { maxByteLength: 8 }));
  assert.same([resizable.resizable, resizable.byteLength, resizable.maxByteLength], [true, 2, 8]);
});
