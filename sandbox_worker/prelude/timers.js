// setTimeout, setInterval, their clears, and queueMicrotask, after the HTML Standard, kept in a heap of our
// own. The worker's event loop asks core.timers when the next one is due and has it run; `now` is in
// milliseconds of host.monotonicMs.
(function (core, host) {
  "use strict";

  const { makeList, apply, mapGet, mapSet, mapDelete, mapSize, numberOf, trunc, requireFunction, requireArguments } = core;

  const MAX_DELAY_MS = 2 ** 31 - 1;

  // Timers in a binary heap, ordered by deadline and then by age. A cleared timer stays in the heap as a dead
  // one until it comes to the top or the dead are the majority.
  let heap = makeList();
  const byId = new Map();
  let lastId = 0;

  function isBefore(a, b) {
    return a.deadline < b.deadline || (a.deadline === b.deadline && a.order < b.order);
  }

  function insert(timer) {
    let at = heap.length;
    heap[at] = timer;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(timer, heap[parent])) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = timer;
  }

  function removeFirst() {
    const last = heap[heap.length - 1];
    heap.length--;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
      if (!isBefore(heap[child], last)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
  }

  function first() {
    while (heap.length > 0 && !heap[0].alive) removeFirst();
    return heap.length > 0 ? heap[0] : undefined;
  }

  function dropDead() {
    const old = heap;
    heap = makeList();
    for (let index = 0; index < old.length; index++) if (old[index].alive) insert(old[index]);
  }

  let lastOrder = 0;

  function arm(timer, now) {
    timer.deadline = now + timer.delay;
    timer.order = ++lastOrder;
    insert(timer);
  }

  // Web IDL's long, then what is negative becomes 0: a delay of 2 ** 31 and more counts as none in browsers and
  // in Node, which surprises; here it is the longest there is.
  function toDelay(value) {
    const delay = trunc(numberOf(value));
    return delay > 0 ? (delay < MAX_DELAY_MS ? delay : MAX_DELAY_MS) : 0;
  }

  function start(name, handler, delay, values, repeats) {
    if (typeof handler !== "function") {
      throw new core.TypeErrorConstructor(`${name} needs a function; a ${typeof handler} is never evaluated as code`);
    }
    const timer = { __proto__: null, id: ++lastId, handler, values, delay: toDelay(delay), repeats, alive: true, deadline: 0, order: 0 };
    arm(timer, numberOf(host.monotonicMs()));
    mapSet(byId, timer.id, timer);
    return timer.id;
  }

  function clear(id) {
    const key = numberOf(id);
    const timer = mapGet(byId, key);
    if (timer === undefined) return;
    timer.alive = false;
    timer.handler = timer.values = undefined;
    mapDelete(byId, key);
    if (heap.length > 64 && mapSize(byId) < heap.length >> 1) dropDead();
  }

  core.timers = {
    __proto__: null,

    // Milliseconds from `now` until the earliest timer is due, 0 if it is overdue, -1 if there is none.
    next(now) {
      const timer = first();
      if (timer === undefined) return -1;
      return timer.deadline > now ? timer.deadline - now : 0;
    },

    // Runs the callback of the earliest timer if it is due, and says whether it did. What it throws, goes on.
    runDue(now) {
      const timer = first();
      if (timer === undefined || timer.deadline > now) return false;
      removeFirst();
      const { handler, values } = timer;
      if (!timer.repeats) clear(timer.id);
      try {
        apply(handler, globalThis, values);
      } finally {
        if (timer.repeats && timer.alive) arm(timer, numberOf(host.monotonicMs()));
      }
      return true;
    },

    size() {
      return mapSize(byId);
    },
  };

  // -- globals ----------------------------------------------------------------------------------

  const settled = Promise.resolve();
  const { then } = Promise.prototype;
  // `then` asks the promise for its constructor's species: with neither, it takes the intrinsic Promise.
  core.defineProperty(settled, "constructor", { __proto__: null, value: core.create(null) });

  const globals = {
    setTimeout(handler, timeout = 0, ...values) {
      requireArguments(arguments.length, 1, "setTimeout");
      return start("setTimeout", handler, timeout, values, false);
    },
    setInterval(handler, timeout = 0, ...values) {
      requireArguments(arguments.length, 1, "setInterval");
      return start("setInterval", handler, timeout, values, true);
    },
    clearTimeout(id = 0) {
      clear(id);
    },
    clearInterval(id = 0) {
      clear(id);
    },
    queueMicrotask(callback) {
      requireArguments(arguments.length, 1, "queueMicrotask");
      requireFunction(callback, "the argument of queueMicrotask");
      apply(then, settled, [
        () => {
          try {
            callback();
          } catch (error) {
            core.reportUncaught(error);
          }
        },
      ]);
    },
  };
  for (const name of core.ownKeys(globals)) core.define(name, globals[name]);
  core.define("self", globalThis);
})
