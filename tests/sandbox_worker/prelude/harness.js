// What the `*.test.js` files are written with: test, assert, and a look behind the prelude. Tests only.
(function (core, host) {
  "use strict";

  const cases = [];
  const results = [];
  const data = {};
  const log = [];
  let running = null;
  const { stringify, parse } = JSON;

  const writeLog = host.log;
  host.log = (level, text) => {
    log[log.length] = { level, text }; // a case may have broken push
    return writeLog(level, text);
  };

  // A test that counts milliseconds stops the clock: the machine may be busy.
  const readClock = host.monotonicMs;
  let stoppedAt = null;
  host.monotonicMs = () => (stoppedAt === null ? readClock() : String(stoppedAt));

  class AssertionError extends Error {
    get name() {
      return "AssertionError";
    }
  }

  const show = (value) => {
    try {
      return core.inspect(value, { depth: 6 });
    } catch (error) {
      return `(inspect threw ${error})`;
    }
  };

  function same(a, b) {
    if (Object.is(a, b)) return true;
    if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
    if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
    const keys = Reflect.ownKeys(a);
    return keys.length === Reflect.ownKeys(b).length && keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]));
  }

  const assert = {
    equal(actual, expected, what = "") {
      if (!Object.is(actual, expected)) throw new AssertionError(`${what} expected ${show(expected)}, got ${show(actual)}`);
    },
    same(actual, expected, what = "") {
      if (!same(actual, expected)) throw new AssertionError(`${what} expected ${show(expected)}, got ${show(actual)}`);
    },
    ok(value, what = "") {
      if (!value) throw new AssertionError(`${what} expected something true, got ${show(value)}`);
    },
    // `name`: of the error, such as TypeError or, for a DOMException, DataCloneError.
    throws(run, name, what = "") {
      let thrown;
      try {
        run();
      } catch (error) {
        thrown = { error };
      }
      if (thrown === undefined) throw new AssertionError(`${what} expected ${name} to be thrown`);
      if (thrown.error?.name !== name) throw new AssertionError(`${what} expected ${name}, got ${thrown.error}`);
      return thrown.error;
    },
  };

  Object.assign(globalThis, {
    test: (name, run) => cases.push({ name, run }),
    assert,
    data,
    harness: {
      core,
      host,
      log,
      stopClock() {
        stoppedAt = Number(readClock());
        return stoppedAt;
      },
      startClock() {
        stoppedAt = null;
      },
      // Runs what is due up to `now`, in the order of the timers' deadlines.
      runTimers(now) {
        let count = 0;
        while (core.timers.runDue(now)) count++;
        return count;
      },
    },
  });

  const finish = (error) => {
    results.push({ name: running.name, error });
    running = null;
  };
  const fail = (error) => finish(`${error}\n${error?.stack ?? ""}`);

  return {
    setData: (name, text) => {
      data[name] = parse(text);
    },
    runNext() {
      if (running !== null) {
        fail(new AssertionError("the case never settles"));
        return;
      }
      running = cases.shift() ?? null;
      if (running === null) return;
      try {
        const returned = running.run();
        if (returned instanceof Promise) returned.then(() => finish(""), fail);
        else finish("");
      } catch (error) {
        fail(error);
      }
    },
    pending: () => running !== null || cases.length > 0,
    report: () => stringify(results),
  };
})
