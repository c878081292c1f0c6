// AbortController and AbortSignal, after the DOM Standard. A signal made by `any` is kept alive by the
// signals that it follows, and one made by `timeout` keeps the execution waiting for its timer.
(function (core) {
  "use strict";

  const { makeList, numberOf, requireArguments, DOMException, TypeErrorConstructor, Event, EventTarget } = core;
  const { MAX_SAFE_INTEGER } = Number;
  const setTimer = globalThis.setTimeout;

  const internal = {}; // given to the constructor, which scripts may not call
  const abortError = () => new DOMException("The operation was aborted.", "AbortError");

  // How this file reaches into the private fields of AbortSignal.
  let makeSignal, isSignal, isAborted, addAlgorithm, removeAlgorithm, dependOn, signalAbort;

  class AbortSignal extends EventTarget {
    #aborted = false;
    #reason = undefined;
    #algorithms = makeList();
    #sources = null; // of a signal made by `any`: the signals that it follows
    #dependents = makeList();

    constructor(token = undefined) {
      if (token !== internal) throw new TypeErrorConstructor("Illegal constructor");
      super();
    }

    get aborted() { return this.#aborted; }
    get reason() { return this.#reason; }

    throwIfAborted() {
      if (this.#aborted) throw this.#reason;
    }

    static abort(reason = undefined) {
      const signal = makeSignal();
      signal.#aborted = true;
      signal.#reason = reason === undefined ? abortError() : reason;
      return signal;
    }

    static timeout(milliseconds) {
      requireArguments(arguments.length, 1, "AbortSignal.timeout");
      const delay = core.trunc(numberOf(milliseconds));
      if (!(delay >= 0 && delay <= MAX_SAFE_INTEGER)) throw new TypeErrorConstructor("the delay of AbortSignal.timeout is out of range");
      const signal = makeSignal();
      setTimer(() => signalAbort(signal, new DOMException("The operation timed out.", "TimeoutError")), delay);
      return signal;
    }

    static any(signals) {
      requireArguments(arguments.length, 1, "AbortSignal.any");
      const given = makeList();
      for (const signal of signals) {
        if (!isSignal(signal)) throw new TypeErrorConstructor("AbortSignal.any takes AbortSignals");
        given[given.length] = signal;
      }
      const result = makeSignal();
      for (let index = 0; index < given.length; index++) {
        if (!given[index].#aborted) continue;
        result.#aborted = true;
        result.#reason = given[index].#reason;
        return result;
      }
      result.#sources = makeList();
      for (let index = 0; index < given.length; index++) dependOn(result, given[index]);
      return result;
    }

    static {
      makeSignal = () => new AbortSignal(internal);
      isSignal = (value) => typeof value === "object" && value !== null && #aborted in value;
      isAborted = (signal) => signal.#aborted;
      addAlgorithm = (signal, algorithm) => {
        if (!signal.#aborted) signal.#algorithms[signal.#algorithms.length] = algorithm;
      };
      removeAlgorithm = (signal, algorithm) => {
        const kept = makeList();
        for (let index = 0; index < signal.#algorithms.length; index++) {
          if (signal.#algorithms[index] !== algorithm) kept[kept.length] = signal.#algorithms[index];
        }
        signal.#algorithms = kept;
      };
      // A signal that follows a signal made by `any` follows what that one follows.
      dependOn = (signal, source) => {
        if (source.#sources !== null) {
          for (let index = 0; index < source.#sources.length; index++) dependOn(signal, source.#sources[index]);
          return;
        }
        for (let index = 0; index < signal.#sources.length; index++) if (signal.#sources[index] === source) return;
        signal.#sources[signal.#sources.length] = source;
        source.#dependents[source.#dependents.length] = signal;
      };
      signalAbort = (signal, reason) => {
        if (signal.#aborted) return;
        const all = makeList();
        all[0] = signal;
        for (let index = 0; index < signal.#dependents.length; index++) {
          if (!signal.#dependents[index].#aborted) all[all.length] = signal.#dependents[index];
        }
        const why = reason === undefined ? abortError() : reason;
        for (let index = 0; index < all.length; index++) {
          all[index].#aborted = true;
          all[index].#reason = why;
        }
        for (let index = 0; index < all.length; index++) {
          const algorithms = all[index].#algorithms;
          all[index].#algorithms = makeList();
          for (let at = 0; at < algorithms.length; at++) algorithms[at]();
          core.fireEvent(all[index], new Event("abort"));
        }
      };
      core.inspectAs(AbortSignal.prototype, (signal) => ({ name: "AbortSignal", fields: { aborted: signal.#aborted } }));
    }
  }

  class AbortController {
    #signal = makeSignal();

    get signal() { return this.#signal; }

    abort(reason = undefined) {
      signalAbort(this.#signal, reason);
    }

    static {
      core.inspectAs(AbortController.prototype, (controller) => ({ name: "AbortController", fields: { signal: controller.#signal } }));
    }
  }

  // For what can be aborted: whether `value` is a signal, and functions to run, once, when it aborts.
  core.isAbortSignal = isSignal;
  core.isAborted = isAborted;
  core.addAbortAlgorithm = addAlgorithm;
  core.removeAbortAlgorithm = removeAlgorithm;

  core.defineEventHandler(AbortSignal, "abort", isSignal);
  core.defineClass(AbortSignal);
  core.defineClass(AbortController);
})
