test("evaluating the prelude asks the host for nothing", () => {
  assert.equal(data.hostCallsWhileEvaluating, 0);
});

test("getRandomValues fills integer arrays of every kind", () => {
  for (const Kind of [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, BigInt64Array, BigUint64Array]) {
    const array = new Kind(100);
    assert.equal(crypto.getRandomValues(array), array);
    assert.ok(new Set(array).size > 20, Kind.name);
  }
  const whole = new Uint8Array(300);
  crypto.getRandomValues(whole.subarray(100, 200));
  assert.ok(whole.subarray(0, 100).every((byte) => byte === 0) && whole.subarray(200).every((byte) => byte === 0));
  assert.ok(new Set(crypto.getRandomValues(new Uint8Array(65536))).size === 256);
  assert.equal(crypto.getRandomValues(new Uint8Array(0)).length, 0);
});

test("getRandomValues refuses what it must", () => {
  assert.throws(() => crypto.getRandomValues(new Uint8Array(65537)), "QuotaExceededError");
  for (const wrong of [new Float32Array(1), new Float64Array(1), new DataView(new ArrayBuffer(1))]) {
    assert.throws(() => crypto.getRandomValues(wrong), "TypeMismatchError");
  }
  for (const wrong of [[], {}, 5, null, undefined, "x", new ArrayBuffer(1)]) assert.throws(() => crypto.getRandomValues(wrong), "TypeError");
  assert.throws(() => new Crypto(), "TypeError");
  assert.equal(crypto.subtle, undefined);
});

test("randomUUID", () => {
  const seen = new Set();
  for (let count = 0; count < 500; count++) {
    const uuid = crypto.randomUUID();
    assert.ok(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(uuid), uuid);
    seen.add(uuid);
  }
  assert.equal(seen.size, 500);
});

test("performance and navigator", () => {
  const first = performance.now();
  assert.ok(first > 0 && performance.now() >= first);
  assert.ok(Math.abs(performance.timeOrigin + performance.now() - Date.now()) < 100);
  assert.equal(performance.timeOrigin, performance.toJSON().timeOrigin);
  assert.ok(performance instanceof EventTarget);
  assert.equal(navigator.userAgent, "jsruntime");
  assert.throws(() => new Performance(), "TypeError");
  assert.throws(() => Performance.prototype.now.call({}), "TypeError");
});
