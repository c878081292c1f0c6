test("listeners run in order, capturing ones first, once and removed", () => {
  const target = new EventTarget();
  const seen = [];
  const listener = () => seen.push("a");
  target.addEventListener("x", listener);
  target.addEventListener("x", listener);
  target.addEventListener("x", { handleEvent(event) { seen.push(this === event.currentTarget ? "?" : "object"); } }, { once: true });
  target.addEventListener("x", () => seen.push("capture"), true);
  target.addEventListener("y", () => seen.push("other"));
  target.addEventListener("x", null);
  target.dispatchEvent(new Event("x"));
  target.removeEventListener("x", listener);
  target.dispatchEvent(new Event("x"));
  assert.same(seen, ["capture", "a", "object", "capture"]);
});

test("stopImmediatePropagation, preventDefault, passive", () => {
  const target = new EventTarget();
  const seen = [];
  target.addEventListener("x", (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
  });
  target.addEventListener("x", () => seen.push("never"));
  assert.equal(target.dispatchEvent(new Event("x", { cancelable: true })), false);
  assert.equal(target.dispatchEvent(new Event("x")), true);
  assert.same(seen, []);
  const other = new EventTarget();
  other.addEventListener("x", (event) => event.preventDefault(), { passive: true });
  assert.equal(other.dispatchEvent(new Event("x", { cancelable: true })), true);
});

test("members of an event, before, during and after", () => {
  const target = new EventTarget();
  const event = new CustomEvent("x", { detail: { a: 1 }, bubbles: true });
  assert.same([event.type, event.target, event.eventPhase, event.bubbles, event.isTrusted, event.composedPath().length], ["x", null, 0, true, false, 0]);
  let during;
  target.addEventListener("x", function (given) {
    during = [given === event, this === target, given.target === target, given.currentTarget === target, given.eventPhase, given.composedPath()[0] === target];
    assert.throws(() => target.dispatchEvent(given), "InvalidStateError");
  });
  target.dispatchEvent(event);
  assert.same(during, [true, true, true, true, 2, true]);
  assert.same([event.target === target, event.currentTarget, event.eventPhase], [true, null, 0]);
  assert.same(event.detail, { a: 1 });
  assert.ok(event.timeStamp >= 0);
  assert.equal(Event.AT_TARGET, 2);
  assert.equal(event.AT_TARGET, 2);
});

test("what a listener throws is reported, and the next one runs", () => {
  const { reportUncaught } = harness.core;
  const seen = [];
  harness.core.reportUncaught = (error) => seen.push(error);
  const target = new EventTarget();
  target.addEventListener("x", () => { throw 1; });
  target.addEventListener("x", { handleEvent: 5 });
  target.addEventListener("x", () => seen.push("next"));
  target.dispatchEvent(new Event("x"));
  harness.core.reportUncaught = reportUncaught;
  assert.equal(seen[0], 1);
  assert.ok(seen[1] instanceof TypeError);
  assert.equal(seen[2], "next");
});

test("a listener is removed by its signal", () => {
  const target = new EventTarget();
  const controller = new AbortController();
  let count = 0;
  target.addEventListener("x", () => count++, { signal: controller.signal });
  target.dispatchEvent(new Event("x"));
  controller.abort();
  target.dispatchEvent(new Event("x"));
  target.addEventListener("x", () => count++, { signal: controller.signal });
  target.dispatchEvent(new Event("x"));
  assert.equal(count, 1);
  assert.throws(() => target.addEventListener("x", () => {}, { signal: {} }), "TypeError");
});

test("AbortController", () => {
  const controller = new AbortController();
  const { signal } = controller;
  const seen = [];
  signal.onabort = (event) => seen.push(event.type, event.isTrusted, event.target === signal);
  signal.throwIfAborted();
  controller.abort();
  controller.abort("again");
  assert.same(seen, ["abort", true, true]);
  assert.equal(signal.reason.name, "AbortError");
  assert.equal(signal.reason.code, 20);
  assert.throws(() => signal.throwIfAborted(), "AbortError");
  assert.equal(AbortSignal.abort(5).reason, 5);
  assert.throws(() => new AbortSignal(), "TypeError");
  signal.onabort = "no function";
  assert.equal(signal.onabort, null);
  assert.throws(() => { Object.create(AbortSignal.prototype).onabort; }, "TypeError");
});

test("AbortSignal.any and timeout", () => {
  const [a, b] = [new AbortController(), new AbortController()];
  const any = AbortSignal.any([a.signal, b.signal]);
  const nested = AbortSignal.any([any]);
  const order = [];
  any.addEventListener("abort", () => order.push("any", nested.aborted));
  nested.addEventListener("abort", () => order.push("nested"));
  b.abort("why");
  a.abort("late");
  assert.same([any.reason, nested.reason], ["why", "why"]);
  assert.same(order, ["any", true, "nested"]);
  assert.equal(AbortSignal.any([]).aborted, false);
  assert.equal(AbortSignal.any([AbortSignal.abort(1)]).reason, 1);
  assert.throws(() => AbortSignal.any([{}]), "TypeError");
  const late = AbortSignal.timeout(50);
  harness.runTimers(performance.now() + 100);
  assert.equal(late.reason.name, "TimeoutError");
  assert.throws(() => AbortSignal.timeout(-1), "TypeError");
});

test("DOMException", () => {
  const error = new DOMException("m", "DataCloneError");
  assert.ok(error instanceof Error && error instanceof DOMException);
  assert.same([error.name, error.message, error.code, String(error)], ["DataCloneError", "m", 25, "DataCloneError: m"]);
  assert.equal(new DOMException().name, "Error");
  assert.equal(new DOMException("m", { name: "AbortError", cause: 1 }).cause, 1);
  assert.equal(DOMException.ABORT_ERR, 20);
  assert.equal(typeof error.stack, "string");
  assert.ok(!Object.hasOwn(error, "message"));
  assert.throws(() => DOMException.prototype.name, "TypeError");
});

test("the looks of the classes", () => {
  for (const name of ["Event", "CustomEvent", "EventTarget", "AbortController", "AbortSignal", "DOMException", "URL", "URLSearchParams", "TextEncoder", "TextDecoder", "Crypto", "Performance"]) {
    const { prototype } = globalThis[name];
    assert.equal(prototype[Symbol.toStringTag], name);
    assert.equal(Object.getOwnPropertyDescriptor(globalThis, name).enumerable, false);
    for (const key of Object.getOwnPropertyNames(prototype)) {
      assert.equal(Object.getOwnPropertyDescriptor(prototype, key).enumerable, key !== "constructor", `${name}.${key}`);
    }
    assert.throws(() => globalThis[name](), "TypeError");
  }
  for (const [holder, name, length] of [[EventTarget, "addEventListener", 2], [EventTarget, "dispatchEvent", 1], [URLSearchParams, "append", 2], [URLSearchParams, "delete", 1], [TextDecoder, "decode", 0], [TextEncoder, "encodeInto", 2], [Crypto, "getRandomValues", 1]]) {
    assert.equal(holder.prototype[name].length, length, name);
    assert.throws(() => holder.prototype[name].call({}, "a", "b"), "TypeError", name);
  }
  assert.equal(Event.length, 1);
  assert.equal(URL.length, 1);
  assert.equal(self, globalThis);
});
