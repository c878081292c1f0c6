// The intrinsics of ECMAScript as they were before any script ran, and the helpers that every other file of
// the prelude builds on. Fills `core`; defines no global but a `Proxy` that remembers its proxies.
//
// Scripts may replace `Array.prototype.push`, `JSON.stringify` or `Symbol.iterator`; what runs later on behalf
// of the platform uses the functions captured here: `core.stringSlice(text, 1)` is `text.slice(1)`. For the
// same reason the prelude keeps away from spread, array destructuring and `for…of`, which ask the iterators.
(function (core) {
  "use strict";

  const { apply, construct, ownKeys } = Reflect;
  const { create, defineProperty, getOwnPropertyDescriptor, getPrototypeOf, setPrototypeOf } = Object;
  const { bind, call } = Function.prototype;
  // uncurry(method)(self, …) is method.call(self, …), and as fast: the engine sees through bound `call`.
  const uncurry = apply(bind, bind, [call]);

  const METHODS = {
    Array: "push sort",
    ArrayBuffer: "transfer",
    BigInt: "valueOf",
    Boolean: "valueOf",
    Date: "getTime toISOString",
    Function: "toString",
    Map: "delete entries get has set",
    Number: "toString valueOf toFixed",
    Object: "toString",
    Promise: "then",
    RegExp: "exec",
    Set: "add has values",
    String:
      "charCodeAt codePointAt endsWith includes indexOf lastIndexOf normalize padEnd padStart repeat slice split startsWith toLowerCase toUpperCase toWellFormed valueOf",
    Symbol: "toString valueOf",
    WeakMap: "get has set",
    WeakSet: "add has",
  };
  for (const [kind, names] of Object.entries(METHODS)) {
    for (const name of names.split(" ")) {
      const capital = name[0].toUpperCase() + name.slice(1);
      core[kind[0].toLowerCase() + kind.slice(1) + capital] = uncurry(globalThis[kind].prototype[name]);
    }
  }

  const typedArrayPrototype = getPrototypeOf(Uint8Array.prototype);
  const getter = (prototype, key) => uncurry(getOwnPropertyDescriptor(prototype, key).get);
  Object.assign(core, {
    uncurry,
    getter,
    apply,
    construct,
    ownKeys,
    create,
    defineProperty,
    defineProperties: Object.defineProperties,
    freeze: Object.freeze,
    getOwnPropertyDescriptor,
    getPrototypeOf,
    setPrototypeOf,
    hasOwn: Object.hasOwn,
    isExtensible: Object.isExtensible,
    objectKeys: Object.keys,
    propertyIsEnumerable: uncurry(Object.prototype.propertyIsEnumerable),
    isArray: Array.isArray,
    jsonStringify: JSON.stringify,
    fromCharCode: String.fromCharCode,
    fromCodePoint: String.fromCodePoint,
    dateNow: Date.now,
    isInteger: Number.isInteger,
    floor: Math.floor,
    trunc: Math.trunc,
    sqrt: Math.sqrt,
    round: Math.round,
    numberOf: Number,
    parseInteger: parseInt,
    parseFloating: parseFloat,
    isView: ArrayBuffer.isView,
    mapSize: getter(Map.prototype, "size"),
    setSize: getter(Set.prototype, "size"),
    mapIteratorNext: uncurry(getPrototypeOf(new Map().entries()).next),
    setIteratorNext: uncurry(getPrototypeOf(new Set().values()).next),
    errorStack: getter(Error.prototype, "stack"),
    regExpSource: getter(RegExp.prototype, "source"),
    arrayBufferByteLength: getter(ArrayBuffer.prototype, "byteLength"),
    dataViewByteLength: getter(DataView.prototype, "byteLength"),
    dataViewByteOffset: getter(DataView.prototype, "byteOffset"),
    dataViewBuffer: getter(DataView.prototype, "buffer"),
    typedArrayName: getter(typedArrayPrototype, Symbol.toStringTag), // undefined for anything else
    typedArrayLength: getter(typedArrayPrototype, "length"),
    typedArrayBuffer: getter(typedArrayPrototype, "buffer"),
    typedArrayByteLength: getter(typedArrayPrototype, "byteLength"),
    typedArrayByteOffset: getter(typedArrayPrototype, "byteOffset"),
    typedArraySet: uncurry(typedArrayPrototype.set),
    typedArraySubarray: uncurry(typedArrayPrototype.subarray),
    typedArraySlice: uncurry(typedArrayPrototype.slice),
    arrayBufferDetached: getter(ArrayBuffer.prototype, "detached"),
    MapConstructor: Map,
    PromiseConstructor: Promise,
    ErrorConstructor: Error,
    TypeErrorConstructor: TypeError,
    RangeErrorConstructor: RangeError,
    Uint8ArrayConstructor: Uint8Array,
  });

  const REGEXP_FLAGS = {
    d: "hasIndices", g: "global", i: "ignoreCase", m: "multiline", s: "dotAll", u: "unicode", v: "unicodeSets", y: "sticky",
  };
  const flagGetters = Object.entries(REGEXP_FLAGS).map(([letter, name]) => ({ letter, read: getter(RegExp.prototype, name) }));
  core.regExpFlags = (regexp) => {
    let flags = "";
    for (let index = 0; index < flagGetters.length; index++) {
      if (flagGetters[index].read(regexp)) flags += flagGetters[index].letter;
    }
    return flags;
  };

  // -- helpers ----------------------------------------------------------------------------------

  // An array that inherits nothing: setters on Array.prototype do not see what is stored in it.
  core.makeList = () => setPrototypeOf([], null);

  // Replaced by run.js: an error that no script can catch any more.
  core.reportUncaught = (error) => {
    throw error;
  };

  core.define = (name, value) => {
    defineProperty(globalThis, name, { __proto__: null, value, writable: true, enumerable: false, configurable: true });
  };

  // Gives a class the looks that Web IDL asks for (members enumerable, a tag) and makes it a global.
  core.defineClass = (constructor, tag = constructor.name) => {
    core.weakSetAdd(platformPrototypes, constructor.prototype);
    makeMembersEnumerable(constructor, ["prototype", "length", "name"]);
    makeMembersEnumerable(constructor.prototype, ["constructor"]);
    defineProperty(constructor.prototype, Symbol.toStringTag, { __proto__: null, value: tag, configurable: true });
    core.define(constructor.name, constructor);
  };

  const platformPrototypes = new WeakSet();
  core.isPlatformPrototype = (prototype) => core.weakSetHas(platformPrototypes, prototype);

  function makeMembersEnumerable(holder, except) {
    for (const key of ownKeys(holder)) {
      if (typeof key === "symbol" || except.includes(key)) continue;
      defineProperty(holder, key, { __proto__: null, enumerable: true });
    }
  }

  core.defineConstants = (constructor, constants) => {
    for (const [name, value] of Object.entries(constants)) {
      const descriptor = { __proto__: null, value, enumerable: true };
      defineProperty(constructor, name, descriptor);
      defineProperty(constructor.prototype, name, descriptor);
    }
  };

  // The prototype of the iterators that a class with entries(), keys() and values() hands out.
  // `step(state)` returns the next value in an object, or undefined at the end.
  core.makeIterators = (tag, step) => {
    const states = new WeakMap();
    const iteratorPrototype = getPrototypeOf(getPrototypeOf([][Symbol.iterator]()));
    const prototype = create(iteratorPrototype, {
      [Symbol.toStringTag]: { __proto__: null, value: tag, configurable: true },
    });
    const { next } = {
      next() {
        const state = core.weakMapGet(states, this);
        if (state === undefined) throw new core.TypeErrorConstructor(`next was called on something that is no ${tag}`);
        const found = step(state);
        return found === undefined ? { value: undefined, done: true } : { value: found.value, done: false };
      },
    };
    defineProperty(prototype, "next", { __proto__: null, value: next, writable: true, enumerable: true, configurable: true });
    return (state) => {
      const iterator = create(prototype);
      core.weakMapSet(states, iterator, state);
      return iterator;
    };
  };

  core.requireArguments = (given, needed, what) => {
    if (given >= needed) return;
    throw new core.TypeErrorConstructor(`${what} needs ${needed} argument${needed === 1 ? "" : "s"}, and got ${given}`);
  };

  core.requireFunction = (value, what) => {
    if (typeof value !== "function") throw new core.TypeErrorConstructor(`${what} is not a function`);
  };

  // Web IDL's USVString: lone surrogates become U+FFFD, symbols are refused.
  core.toUSVString = (value) => core.stringToWellFormed(`${value}`);

  // Web IDL dictionaries: undefined and null are the empty one, other primitives are refused.
  core.toDictionary = (value, what) => {
    if (value === undefined || value === null) return create(null);
    if (typeof value !== "object" && typeof value !== "function") {
      throw new core.TypeErrorConstructor(`${what} is not an object`);
    }
    return value;
  };

  // -- proxies ----------------------------------------------------------------------------------

  // Whether an object is a proxy cannot be asked without running its traps, so every proxy is written down
  // when it is made: console and structuredClone never run a trap.
  const targets = new WeakMap();
  const RealProxy = Proxy;
  const { revocable: realRevocable } = RealProxy;

  const makeProxy = function Proxy(target, handler) {
    if (new.target === undefined) throw new core.TypeErrorConstructor("calling a builtin Proxy constructor without new is forbidden");
    const proxy = new RealProxy(target, handler);
    core.weakMapSet(targets, proxy, target);
    return proxy;
  };
  // A bound function has neither a `prototype` nor a source, as the original.
  const RecordingProxy = apply(bind, makeProxy, [undefined]);
  defineProperty(RecordingProxy, "name", { __proto__: null, value: "Proxy" });
  const { revocable } = {
    revocable(target, handler) {
      const made = realRevocable(target, handler);
      core.weakMapSet(targets, made.proxy, target);
      return made;
    },
  };
  defineProperty(RecordingProxy, "revocable", { __proto__: null, value: revocable, writable: true, configurable: true });
  core.define("Proxy", RecordingProxy);

  core.isProxy = (value) => core.weakMapHas(targets, value);
  core.proxyTarget = (value) => core.weakMapGet(targets, value);
  core.isRevoked = (proxy) => {
    try {
      core.isArray(proxy);
      return false;
    } catch {
      return true;
    }
  };
})
