// The bridge between the worker and a script: finds the handler, calls it, and turns whatever comes of that
// into strings. Evaluated last; what it returns is called by the worker and never seen by a script.
//
// A script may have patched every intrinsic by the time any of this runs, so all of them are taken now.
(function (core, host) {
  "use strict";

  const { apply, ownKeys } = Reflect;
  const { parse, stringify } = JSON;
  const { freeze, create, defineProperty, getOwnPropertyDescriptor, prototype: objectPrototype } = Object;
  const PromiseConstructor = Promise;
  const promiseThen = Promise.prototype.then;
  const errorStack = getOwnPropertyDescriptor(Error.prototype, "stack").get;
  const isInstance = Function.prototype[Symbol.hasInstance];
  const mapSet = Map.prototype.set, mapDelete = Map.prototype.delete, mapSize = getOwnPropertyDescriptor(Map.prototype, "size").get;
  const mapForEach = Map.prototype.forEach;
  const charCodeAt = String.prototype.charCodeAt, slice = String.prototype.slice;
  const ErrorConstructor = Error, TypeErrorConstructor = TypeError, StringFunction = String;
  const dateNow = Date.now, toNumber = Number;
  const { timers } = core;
  const { AbortController, setTimeout: setTimer } = globalThis;
  const abort = AbortController.prototype.abort;
  const abortSignal = getOwnPropertyDescriptor(AbortController.prototype, "signal").get;
  const reflectParse = Reflect.parse;

  const MAX_MESSAGE_CHARS = 4096, MAX_STACK_CHARS = 32768;
  const MAX_OUTPUT_DEPTH = 500; // PostgreSQL's jsonb and the supervisor's decoder both stop somewhere above
  const ABORT_LEAD_MS = 100; // ctx.signal aborts so long before the deadline, or a tenth of the time if less
  const HANDLERS = { __proto__: null, oneoff: "run", embedded: "run", scheduled: "scheduled", http: "fetch", event: "event" };

  let finished = false;
  let plainPending = null; // what a plain script gave to ctx.waitUntil
  const unhandled = new Map(); // promise → reason, of rejections that nobody listens to yet

  // -- endings ----------------------------------------------------------------------------------

  function finish(outcome, output, error) {
    if (finished) return;
    finished = true;
    host.finish(outcome, output, error);
  }

  function read(value, key) {
    try {
      const found = value[key];
      return typeof found === "string" || typeof found === "number" ? found : undefined;
    } catch {
      return undefined;
    }
  }

  function stackOf(error) {
    try {
      return StringFunction(apply(errorStack, error, []) ?? "");
    } catch {
      return "";
    }
  }

  function isError(value) {
    try {
      return apply(isInstance, ErrorConstructor, [value]) || typeof apply(errorStack, value, []) === "string";
    } catch {
      return false;
    }
  }

  function textOf(value) {
    try {
      return typeof value === "string" ? value : core.inspect(value);
    } catch {
      return "a value that cannot be shown";
    }
  }

  // What was thrown, whatever it is, as JSON: {name, message, stack, line, column, file}.
  function describe(thrown) {
    const shown = create(null);
    if (thrown !== null && typeof thrown === "object" && isError(thrown)) {
      shown.name = StringFunction(read(thrown, "name") ?? "Error");
      shown.message = StringFunction(read(thrown, "message") ?? "");
      shown.stack = stackOf(thrown);
      shown.line = toNumber(read(thrown, "lineNumber") ?? 0);
      shown.column = toNumber(read(thrown, "columnNumber") ?? 0);
      shown.file = StringFunction(read(thrown, "fileName") ?? "");
    } else {
      shown.name = "";
      shown.message = textOf(thrown);
    }
    shown.message = cut(shown.message, MAX_MESSAGE_CHARS);
    if (shown.stack !== undefined) shown.stack = cut(shown.stack, MAX_STACK_CHARS);
    return stringify(shown);
  }

  // JSON.stringify reserves a dozen bytes a character: a huge message must not become an out of memory.
  function cut(text, length) {
    return text.length > length ? apply(slice, text, [0, length]) : text;
  }

  function fail(thrown) {
    finish(outcomeOf(thrown), "", describe(thrown));
  }

  function outcomeOf(thrown) {
    if (thrown === "out of memory") return "memory";
    if (thrown !== null && typeof thrown === "object" && read(thrown, "message") === "too much recursion") return "stack_overflow";
    return "exception";
  }

  core.reportUncaught = fail;

  function isTooDeep(text) {
    let depth = 0, inString = false;
    for (let index = 0; index < text.length; index++) {
      const code = apply(charCodeAt, text, [index]);
      if (inString) {
        if (code === 0x5c) index++;
        else if (code === 0x22) inString = false;
      } else if (code === 0x22) inString = true;
      else if (code === 0x5b || code === 0x7b) {
        if (++depth > MAX_OUTPUT_DEPTH) return true;
      } else if (code === 0x5d || code === 0x7d) depth--;
    }
    return false;
  }

  function refuse(message) {
    finish("invalid_output", "", describe(new TypeErrorConstructor(message)));
  }

  function succeed(value) {
    if (finished) return;
    let text;
    try {
      text = value === undefined ? "null" : stringify(value);
    } catch (thrown) {
      finish(outcomeOf(thrown) === "memory" ? "memory" : "invalid_output", "", describe(thrown));
      return;
    }
    if (typeof text !== "string") refuse(`the output is a ${typeof value}, which JSON cannot hold`);
    else if (text.length > 2 * MAX_OUTPUT_DEPTH && isTooDeep(text)) refuse(`the output is nested deeper than ${MAX_OUTPUT_DEPTH} levels`);
    else finish("ok", text, "");
  }

  // -- the handler ------------------------------------------------------------------------------

  function settle(value, resolved, rejected) {
    let promise;
    try {
      promise = new PromiseConstructor((resolve) => resolve(value));
      apply(promiseThen, promise, [resolved, rejected]);
    } catch (thrown) {
      rejected(thrown);
    }
  }

  function makeContext(spec, pending) {
    const deadline = dateNow() + spec.timeoutMs;
    const remaining = () => spec.timeoutMs - toNumber(host.monotonicMs());
    let controller;
    const context = {
      executionId: spec.executionId,
      scriptId: spec.scriptId,
      scriptName: spec.scriptName,
      tenantId: spec.tenantId,
      trigger: spec.trigger,
      version: spec.version,
      attempt: spec.attempt,
      deadline,
      remaining,
      waitUntil(promise) {
        pending.count++;
        const done = () => {
          if (--pending.count === 0) pending.whenNone();
        };
        settle(promise, done, (reason) => {
          host.log("error", `waitUntil: ${textOf(reason)}`);
          done();
        });
      },
    };
    defineProperty(context, "signal", {
      __proto__: null,
      enumerable: true,
      get() {
        if (controller === undefined) {
          controller = new AbortController();
          const lead = spec.timeoutMs / 10 < ABORT_LEAD_MS ? spec.timeoutMs / 10 : ABORT_LEAD_MS;
          setTimer(() => apply(abort, controller, []), remaining() - lead);
        }
        return apply(abortSignal, controller, []);
      },
    });
    return freeze(context);
  }

  function findHandler(namespace, type) {
    const name = HANDLERS[type];
    const exported = namespace.default;
    if (exported !== null && (typeof exported === "object" || typeof exported === "function")) {
      const method = exported[name];
      if (typeof method === "function" && method !== objectPrototype[name]) return { method, self: exported };
    }
    if (typeof exported === "function") return { method: exported, self: undefined };
    if (typeof namespace.main === "function") return { method: namespace.main, self: undefined };
    return null;
  }

  function invoke(namespace, spec) {
    const handler = findHandler(namespace, spec.type);
    if (handler === null) {
      const wanted = `export default { async ${HANDLERS[spec.type]}(…) { … } }`;
      finish("no_handler", "", describe(new TypeErrorConstructor(`the script has no handler for its type: a script of type ${spec.type} needs \`${wanted}\`, a default function, or an exported function main`)));
      return;
    }
    const pending = { count: 1, whenNone: () => {} };
    const context = makeContext(spec, pending);
    const env = freeze(create(null));
    const value = apply(handler.method, handler.self, [spec.input, env, context]);
    succeedWhenNonePend(value, pending);
  }

  // The output is `value`, awaited, once nothing that was given to ctx.waitUntil is pending any more.
  function succeedWhenNonePend(value, pending) {
    settle(value, (output) => {
      pending.whenNone = () => succeed(output);
      if (--pending.count === 0) succeed(output);
    }, fail);
  }

  // Makes `…; expression` of a plain script with top-level await into a module that exports its last expression.
  function exportLastExpression(source) {
    const body = reflectParse(source, { target: "module", loc: true }).body;
    const last = body.length > 0 ? body[body.length - 1] : null;
    if (last === null || last.type !== "ExpressionStatement") return source;
    const { start, end } = last.expression.loc;
    const from = offsetOf(source, start), to = offsetOf(source, end);
    return apply(slice, source, [0, from]) + "export default (" + apply(slice, source, [from, to]) + ")" + apply(slice, source, [to]);
  }

  function offsetOf(source, { line, column }) {
    let at = 0;
    for (let current = 1; current < line; at++) {
      const code = apply(charCodeAt, source, [at]);
      const isBreak = code === 0x0a || code === 0x2028 || code === 0x2029 || (code === 0x0d && apply(charCodeAt, source, [at + 1]) !== 0x0a);
      if (isBreak) current++;
    }
    return at + column - 1;
  }

  // debuggerGlobal cannot be deleted or overwritten: the engine cuts its wrapper, and any use of it throws.
  delete Reflect.parse;
  delete globalThis.WeakRef;
  delete globalThis.FinalizationRegistry;

  return {
    __proto__: null,
    describe,
    exportLastExpression,
    hasExports: (namespace) => ownKeys(namespace).length > 1, // Symbol.toStringTag is always there
    // `evaluation` is the promise of the module's top level.
    startModule(namespace, evaluation, specJson) {
      const spec = parse(specJson);
      settle(evaluation, () => {
        try {
          invoke(namespace, spec);
        } catch (thrown) {
          fail(thrown);
        }
      }, fail);
    },
    // A plain script has no handler to be called with arguments: they are globals.
    definePlainGlobals(specJson) {
      const spec = parse(specJson);
      plainPending = { count: 1, whenNone: () => {} };
      core.define("input", spec.input);
      core.define("env", freeze(create(null)));
      core.define("ctx", makeContext(spec, plainPending));
    },
    // A plain script with top-level await was rewritten: its last expression is the default export.
    startValueOf(namespace, evaluation) {
      settle(evaluation, () => succeedWhenNonePend(namespace.default, plainPending), fail);
    },
    // `value` is what a plain script's last expression came to.
    startValue(value) {
      succeedWhenNonePend(value, plainPending);
    },
    fail,
    restart() {
      finished = false;
    },
    track(promise, isHandled, reason) {
      if (isHandled) apply(mapDelete, unhandled, [promise]);
      else apply(mapSet, unhandled, [promise, reason]);
    },
    failUnhandled() {
      if (apply(mapSize, unhandled, []) === 0) return;
      let first, seen = false;
      apply(mapForEach, unhandled, [(reason) => {
        if (!seen) first = reason;
        seen = true;
      }]);
      // A result that was given already does not stand: somebody's failure would go unseen.
      finished = true;
      host.finish(outcomeOf(first) === "memory" ? "memory" : "unhandled_rejection", "", describe(first));
    },
    // Runs one timer that is due; returns the milliseconds until the next one, -1 where none is set.
    tick() {
      const now = toNumber(host.monotonicMs());
      try {
        if (timers.runDue(now)) return 0;
      } catch (thrown) {
        fail(thrown);
        return 0;
      }
      return timers.next(now);
    },
  };
})
