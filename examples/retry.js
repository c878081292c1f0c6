// Calls unreliable services the careful way: each attempt with a timeout, exponential backoff with full jitter between
// attempts, no retry where it cannot help, a circuit breaker for a service that is down, and an end to it all when
// the caller's own time is up.
//
// The services are simulated: the input says what each attempt would come to. The waiting is real (timers and
// abort signals); the log shows planned times only and the jitter comes from a seeded generator, so that the output
// is always the same. In scripts of your own, put the real operation where `simulate` is called and
// Math.random where `makeRandom` is.

const DEFAULT_POLICY = { maxAttempts: 4, baseDelayMs: 20, factor: 2, maxDelayMs: 200, timeoutMs: 50 };
const DEFAULT_BREAKER = { failureThreshold: 3, cooldownMs: 100 };
const MAX_MS = 60_000;

export default {
  async run(input, env, ctx) {
    const { calls, policy, breaker: breakerOptions, seed } = readInput(input);
    const clock = new PlannedClock();
    const random = makeRandom(seed);
    const breakers = new Map(); // one for each service
    const results = [];
    for (const call of calls) {
      if (!breakers.has(call.service)) breakers.set(call.service, new CircuitBreaker(breakerOptions, clock));
      const breaker = breakers.get(call.service);
      results.push(await callWithRetry(call, policy, { clock, random, breaker, signal: ctx.signal }));
      console.log(`${call.service}: ${results.at(-1).outcome} after ${results.at(-1).attempts.length} attempts`);
    }
    const succeeded = results.filter(({ outcome }) => outcome === "ok").length;
    return {
      results,
      succeeded,
      failed: results.length - succeeded,
      plannedMs: clock.now,
      breakers: Object.fromEntries([...breakers].map(([service, breaker]) => [service, breaker.state])),
    };
  },
};

// -- the flow ------------------------------------------------------------------------------------------

async function callWithRetry(call, policy, { clock, random, breaker, signal }) {
  const attempts = [];
  for (let attempt = 1; ; attempt++) {
    const entry = { attempt, atMs: clock.now, breaker: breaker.state };
    attempts.push(entry);
    try {
      const value = await breaker.run(() => attemptOnce(call, attempt, policy.timeoutMs, signal, clock));
      entry.outcome = "ok";
      return { service: call.service, outcome: "ok", value, attempts };
    } catch (error) {
      if (signal?.aborted) throw signal.reason; // our own time is up: nobody waits for a result
      entry.outcome = error.name;
      entry.message = error.message;
      const isFinal = error.isRetryable === false || attempt >= policy.maxAttempts;
      if (isFinal) return { service: call.service, outcome: "failed", error: error.message, attempts };
      entry.retryInMs = delayBefore(attempt + 1, policy, random, error.retryAfterMs);
      await clock.sleep(entry.retryInMs, signal);
    }
  }
}

async function attemptOnce(call, attempt, timeoutMs, signal, clock) {
  try {
    return await withTimeout((inner) => simulate(call, attempt, inner, clock), timeoutMs, signal);
  } catch (error) {
    if (error instanceof TimeoutError) clock.now += timeoutMs;
    throw error;
  }
}

// Full jitter: anything from zero up to a bound that grows with every attempt. Clients that failed together come
// back spread out. What the service itself asks for is honoured.
function delayBefore(attempt, { baseDelayMs, factor, maxDelayMs }, random, retryAfterMs = 0) {
  let bound = baseDelayMs;
  for (let step = 2; step < attempt && bound < maxDelayMs; step++) bound *= factor;
  return Math.max(Math.floor(random() * Math.min(bound, maxDelayMs)), retryAfterMs);
}

// Runs an operation with a signal that aborts when it takes too long, or when `outer` aborts.
async function withTimeout(operation, timeoutMs, outer) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new TimeoutError(timeoutMs)), timeoutMs);
  const passOn = () => controller.abort(outer.reason);
  if (outer?.aborted) passOn();
  outer?.addEventListener("abort", passOn);
  try {
    return await operation(controller.signal);
  } finally {
    clearTimeout(timer); // or it would go on waiting, and keep everything alive that it refers to
    outer?.removeEventListener("abort", passOn);
  }
}

// Resolves after so many milliseconds; rejects at once with the signal's reason when that aborts.
function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

class TimeoutError extends Error {
  name = "TimeoutError";
  constructor(timeoutMs) {
    super(`no answer within ${timeoutMs} ms`);
  }
}

class ServiceError extends Error {
  name = "ServiceError";
  constructor({ error, isRetryable, retryAfterMs }) {
    super(error);
    Object.assign(this, { isRetryable, retryAfterMs });
  }
}

class CircuitOpenError extends Error {
  name = "CircuitOpenError";
  constructor(retryAfterMs) {
    super("the service failed too often and is left alone for a while");
    this.retryAfterMs = retryAfterMs;
  }
}

// closed: all goes through. open: nothing does, until the cooldown is over. half-open: one attempt does, and
// decides which of the two comes next.
class CircuitBreaker {
  #options;
  #clock;
  #failures = 0;
  #openedAt = null;

  constructor(options, clock) {
    this.#options = options;
    this.#clock = clock;
  }

  get state() {
    if (this.#openedAt === null) return "closed";
    return this.#cooldownLeft() > 0 ? "open" : "half-open";
  }

  async run(operation) {
    const { state } = this;
    if (state === "open") throw new CircuitOpenError(this.#cooldownLeft());
    try {
      const value = await operation();
      this.#failures = 0;
      this.#openedAt = null;
      return value;
    } catch (error) {
      // "You may not do that" is an answer: a service that gives it is up.
      if (error.isRetryable === false) this.#failures = 0;
      else if (++this.#failures >= this.#options.failureThreshold || state === "half-open") this.#openedAt = this.#clock.now;
      throw error;
    }
  }

  #cooldownLeft() {
    return Math.max(0, this.#openedAt + this.#options.cooldownMs - this.#clock.now);
  }
}

// -- what makes it repeatable --------------------------------------------------------------------------

// Adds up the time that was meant to pass. Really it is always a little more, and never twice the same.
class PlannedClock {
  now = 0;
  async sleep(ms, signal) {
    await sleep(ms, signal);
    this.now += ms;
  }
}

// mulberry32: small, fast, good enough to spread retries, and of no use for secrets.
function makeRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

// The operation: what its nth attempt does is in the input, and the last entry holds for all that follow.
async function simulate({ behaviour }, attempt, signal, clock) {
  const step = behaviour[Math.min(attempt, behaviour.length) - 1];
  if (step.hangs) {
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
  }
  await clock.sleep(step.tookMs, signal);
  if (step.error !== undefined) throw new ServiceError(step);
  return step.value;
}

// -- reading the input ---------------------------------------------------------------------------------

function readInput(input) {
  if (!Array.isArray(input?.calls) || input.calls.length === 0) {
    throw new TypeError('calls: has to be a list like [{"service": "mail", "behaviour": [{"error": "busy"}, {"value": "sent"}]}]');
  }
  return {
    seed: readNumber(input.seed ?? 1, "seed", 0, 2 ** 32 - 1),
    policy: readNumbers({ ...DEFAULT_POLICY, ...input.policy }, DEFAULT_POLICY, "policy"),
    breaker: readNumbers({ ...DEFAULT_BREAKER, ...input.breaker }, DEFAULT_BREAKER, "breaker"),
    calls: input.calls.map((call, index) => readCall(call, `calls[${index}]`)),
  };
}

function readNumbers(values, known, path) {
  for (const [name, value] of Object.entries(values)) {
    if (!Object.hasOwn(known, name)) {
      throw new TypeError(`${path}.${name}: is not known; there are ${Object.keys(known).join(", ")}`);
    }
    readNumber(value, `${path}.${name}`, 1, MAX_MS);
  }
  return values;
}

function readNumber(value, path, least, most) {
  if (typeof value !== "number" || !(value >= least && value <= most)) {
    throw new TypeError(`${path}: has to be a number from ${least} to ${most}, not ${JSON.stringify(value)}`);
  }
  return value;
}

function readCall(call, path) {
  if (typeof call?.service !== "string" || call.service === "") throw new TypeError(`${path}.service: has to be the name of the service`);
  if (!Array.isArray(call.behaviour) || call.behaviour.length === 0) throw new TypeError(`${path}.behaviour: has to list what each attempt comes to`);
  return { service: call.service, behaviour: call.behaviour.map((step, at) => readStep(step, `${path}.behaviour[${at}]`)) };
}

function readStep(step, path) {
  const outcomes = ["value", "error", "hangs"].filter((name) => step !== null && typeof step === "object" && Object.hasOwn(step, name));
  if (outcomes.length !== 1) throw new TypeError(`${path}: needs exactly one of value, error and hangs`);
  const { value, error, hangs = false, isRetryable = true, retryAfterMs = 0, tookMs = 1 } = step;
  return {
    value,
    error,
    hangs,
    isRetryable,
    retryAfterMs: readNumber(retryAfterMs, `${path}.retryAfterMs`, 0, MAX_MS),
    tookMs: readNumber(tookMs, `${path}.tookMs`, 0, MAX_MS),
  };
}
