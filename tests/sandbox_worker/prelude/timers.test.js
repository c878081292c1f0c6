const now = () => performance.now();

test("timers run in the order of deadline, then of age", () => {
  const seen = [];
  const start = harness.stopClock();
  for (const [delay, name] of [[30, "c"], [10, "a"], [20, "b"], [10, "a2"], [0, "first"]]) setTimeout((text) => seen.push(text), delay, name);
  assert.equal(harness.core.timers.size(), 5);
  harness.runTimers(start + 15);
  assert.same(seen, ["first", "a", "a2"]);
  assert.ok(harness.core.timers.next(start + 15) > 0);
  harness.runTimers(start + 1000);
  assert.same(seen, ["first", "a", "a2", "b", "c"]);
  assert.equal(harness.core.timers.next(start), -1);
  harness.startClock();
});

test("many timers, many cleared", () => {
  const seen = [];
  const ids = [];
  const start = harness.stopClock();
  for (let index = 0; index < 2000; index++) {
    const delay = (index * 7919) % 1000;
    ids.push(setTimeout(() => seen.push(delay), delay));
  }
  for (let index = 0; index < 2000; index += 2) clearTimeout(ids[index]);
  harness.runTimers(start + 5000);
  harness.startClock();
  assert.equal(seen.length, 1000);
  assert.ok(seen.every((delay, index) => index === 0 || seen[index - 1] <= delay));
  assert.equal(harness.core.timers.size(), 0);
});

test("an interval repeats until it is cleared, also from within", () => {
  let count = 0;
  const id = setInterval(() => {
    if (++count === 3) clearInterval(id);
  }, 10);
  for (let step = 1; step <= 10; step++) harness.runTimers(now() + 20);
  assert.equal(count, 3);
  assert.equal(harness.core.timers.size(), 0);
});

test("an interval that throws goes on, and the error goes to the caller", () => {
  const id = setInterval(() => {
    throw new RangeError("boom");
  }, 0);
  assert.throws(() => harness.core.timers.runDue(now() + 1), "RangeError");
  assert.equal(harness.core.timers.size(), 1);
  clearInterval(id);
});

test("a callback clears another that is due", () => {
  const seen = [];
  setTimeout(() => {
    seen.push(1);
    clearTimeout(second);
  }, 0);
  const second = setTimeout(() => seen.push(2), 0);
  harness.runTimers(now() + 10);
  assert.same(seen, [1]);
});

test("delays and arguments", () => {
  for (const handler of ["alert(1)", undefined, null, {}, 5]) assert.throws(() => setTimeout(handler), "TypeError");
  assert.throws(() => setTimeout(), "TypeError");
  const start = now();
  const ids = [NaN, -5, "abc", undefined, {}, null].map((delay) => setTimeout(() => {}, delay));
  assert.equal(typeof ids[0], "number");
  assert.equal(harness.runTimers(start + 100), 6);
  setTimeout(() => {}, 1e12);
  assert.ok(harness.core.timers.next(start) <= 2 ** 31 + 1000);
  assert.equal(harness.runTimers(start + 2 ** 31 + 1000), 1);
  clearTimeout();
  clearTimeout("nothing");
  clearTimeout(12345);
  let self;
  setTimeout(function () { self = this; }, 0);
  harness.runTimers(now() + 1);
  assert.equal(self, globalThis);
});

test("queueMicrotask", async () => {
  const seen = [];
  queueMicrotask(() => seen.push("a"));
  Promise.resolve().then(() => seen.push("b"));
  assert.throws(() => queueMicrotask("x"), "TypeError");
  const { reportUncaught } = harness.core;
  harness.core.reportUncaught = (error) => seen.push(error);
  queueMicrotask(() => {
    throw 7;
  });
  await null;
  await null;
  await null;
  harness.core.reportUncaught = reportUncaught;
  assert.same(seen, ["a", "b", 7]);
});

test("the looks of the functions", () => {
  for (const [name, length] of [["setTimeout", 1], ["setInterval", 1], ["clearTimeout", 0], ["queueMicrotask", 1], ["structuredClone", 1], ["atob", 1]]) {
    assert.equal(globalThis[name].name, name);
    assert.equal(globalThis[name].length, length, name);
    assert.throws(() => new globalThis[name](() => {}), "TypeError");
    assert.equal(Object.getOwnPropertyDescriptor(globalThis, name).enumerable, false);
  }
});
