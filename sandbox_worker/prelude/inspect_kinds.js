// What core.inspect asks of a value: what kind it is, the name of its class, and the text of functions, errors
// and strings. Nothing here runs code of a script: kinds are found by prototype and confirmed by the intrinsic
// that only works on the real thing, names are read from property descriptors.
(function (core) {
  "use strict";

  const {
    getOwnPropertyDescriptor, getPrototypeOf, isProxy, isArray, hasOwn, objectToString, functionToString, errorStack,
    stringSlice, stringStartsWith, stringIncludes, stringIndexOf, stringLastIndexOf, stringCharCodeAt, stringPadStart,
    stringToUpperCase, numberToString, mapGet,
  } = core;

  core.getOwnPropertySymbols = Object.getOwnPropertySymbols;

  const MAX_HOPS = 100; // up a chain of prototypes
  const MAX_NAME = 200;
  const MAX_MESSAGE = 10_000;
  const MAX_FRAMES = 30;
  const PRELUDE_FRAME = "jsruntime:prelude/";

  // prototype → [kind, a function that throws or returns undefined for anything that only inherits from it]
  const probe = {};
  const kinds = new core.MapConstructor([
    [Map.prototype, { kind: "Map", confirm: core.mapSize }],
    [Set.prototype, { kind: "Set", confirm: core.setSize }],
    [WeakMap.prototype, { kind: "WeakMap", confirm: (value) => core.weakMapHas(value, probe) }],
    [WeakSet.prototype, { kind: "WeakSet", confirm: (value) => core.weakSetHas(value, probe) }],
    [Date.prototype, { kind: "Date", confirm: core.dateGetTime }],
    [RegExp.prototype, { kind: "RegExp", confirm: (value) => (value === RegExpPrototype ? undefined : core.regExpSource(value)) }],
    [Error.prototype, { kind: "Error", confirm: () => true }],
    [ArrayBuffer.prototype, { kind: "ArrayBuffer", confirm: core.arrayBufferByteLength }],
    [DataView.prototype, { kind: "DataView", confirm: core.dataViewBuffer }],
    [getPrototypeOf(Uint8Array.prototype), { kind: "TypedArray", confirm: core.typedArrayName }],
    [Number.prototype, { kind: "Number", confirm: core.numberValueOf }],
    [String.prototype, { kind: "String", confirm: core.stringValueOf }],
    [Boolean.prototype, { kind: "Boolean", confirm: core.booleanValueOf }],
    [BigInt.prototype, { kind: "BigInt", confirm: core.bigIntValueOf }],
    [Symbol.prototype, { kind: "Symbol", confirm: core.symbolValueOf }],
  ]);
  const RegExpPrototype = RegExp.prototype;
  const ErrorPrototype = Error.prototype;
  const ObjectPrototype = Object.prototype;

  core.identify = (value) => {
    if (typeof value === "function") return "Function";
    if (isArray(value)) return "Array";
    let prototype = getPrototypeOf(value);
    if (prototype === null || prototype === ObjectPrototype) return identifyPlain(value);
    for (let hops = 0; hops < MAX_HOPS && prototype !== null && !isProxy(prototype); hops++) {
      const found = mapGet(kinds, prototype);
      if (found !== undefined) return isConfirmed(found, value) ? found.kind : "Object";
      prototype = getPrototypeOf(prototype);
    }
    return "Object";
  };

  function isConfirmed(found, value) {
    if (value === ErrorPrototype) return false;
    try {
      return found.confirm(value) !== undefined;
    } catch {
      return false;
    }
  }

  function identifyPlain(value) {
    const tag = getOwnPropertyDescriptor(value, Symbol.toStringTag);
    if (tag !== undefined) return tag.value === "Module" && getPrototypeOf(value) === null ? "Module" : "Object";
    if (dataProperty(value, Symbol.toStringTag) !== undefined) return "Object"; // somebody tagged Object.prototype
    const text = getPrototypeOf(value) === null || !hasOwn(ObjectPrototype, Symbol.toStringTag) ? objectToString(value) : "";
    return text === "[object Arguments]" ? "Arguments" : text === "[object Error]" ? "Error" : "Object";
  }

  // The value of a property that is plain data, own or inherited; undefined for a getter or behind a proxy.
  function dataProperty(value, key) {
    for (let hops = 0; hops < MAX_HOPS && value !== null && !isProxy(value); hops++) {
      const descriptor = getOwnPropertyDescriptor(value, key);
      if (descriptor !== undefined) return descriptor.value;
      value = getPrototypeOf(value);
    }
    return undefined;
  }
  core.dataProperty = dataProperty;

  // null for an object without a prototype.
  core.constructorName = (value) => {
    let holder = value;
    for (let hops = 0; hops < MAX_HOPS && holder !== null; hops++) {
      if (isProxy(holder)) return "Object <Proxy prototype>";
      const found = getOwnPropertyDescriptor(holder, "constructor")?.value;
      if (typeof found === "function" && !isProxy(found)) {
        const name = getOwnPropertyDescriptor(found, "name")?.value;
        const prototype = getOwnPropertyDescriptor(found, "prototype")?.value;
        if (typeof name === "string" && name !== "" && inherits(value, prototype)) return stringSlice(name, 0, MAX_NAME);
      }
      holder = getPrototypeOf(holder);
    }
    return getPrototypeOf(value) === null ? null : "Object <Complex prototype>";
  };

  function inherits(value, prototype) {
    for (let hops = 0; hops < MAX_HOPS && value !== null && !isProxy(value); hops++) {
      value = getPrototypeOf(value);
      if (value === prototype) return value !== null;
    }
    return false;
  }

  // -- functions --------------------------------------------------------------------------------

  const AsyncPrototype = getPrototypeOf(async () => {});
  const GeneratorPrototype = getPrototypeOf(function* () {});
  const AsyncGeneratorPrototype = getPrototypeOf(async function* () {});

  core.functionBase = (value, constructorName, tag) => {
    const found = getOwnPropertyDescriptor(value, "name")?.value;
    const name = typeof found === "string" ? stringSlice(found, 0, MAX_NAME) : "";
    if (stringStartsWith(functionToString(value), "class")) return classBase(value, name, constructorName, tag);
    let kind = "Function";
    if (inherits(value, AsyncPrototype)) kind = "AsyncFunction";
    else if (inherits(value, GeneratorPrototype)) kind = "GeneratorFunction";
    else if (inherits(value, AsyncGeneratorPrototype)) kind = "AsyncGeneratorFunction";
    let base = `[${kind}${constructorName === null ? " (null prototype)" : ""}${name === "" ? " (anonymous)" : `: ${name}`}]`;
    if (constructorName !== kind && constructorName !== null && constructorName !== "Function") base += ` ${constructorName}`;
    return tag !== "" && tag !== kind && constructorName !== tag ? `${base} [${tag}]` : base;
  };

  function classBase(value, name, constructorName, tag) {
    let base = `[class ${name === "" ? "(anonymous)" : name}`;
    if (constructorName !== "Function" && constructorName !== null) base += ` [${constructorName}]`;
    if (tag !== "" && constructorName !== tag) base += ` [${tag}]`;
    const parent = getPrototypeOf(value);
    if (parent === null) return `${base} extends [null prototype]]`;
    const parentName = isProxy(parent) ? "" : getOwnPropertyDescriptor(parent, "name")?.value;
    return typeof parentName === "string" && parentName !== "" ? `${base} extends ${stringSlice(parentName, 0, MAX_NAME)}]` : `${base}]`;
  }

  // -- errors -----------------------------------------------------------------------------------

  // "Name: message" with the frames below it. What else the error holds is added to `keys`.
  core.errorBase = (error, constructorName, tag, keys, indentation) => {
    addHidden(error, keys, "cause");
    addHidden(error, keys, "errors");
    const own = getOwnPropertyDescriptor(error, "stack")?.value;
    if (typeof own === "string" && own !== "") return indentLines(stringSlice(own, 0, MAX_MESSAGE), indentation);
    let name = dataProperty(error, "name");
    if (typeof name !== "string") name = core.domExceptionName?.(error) ?? "Error";
    if (name === "Error" && constructorName !== null && !stringIncludes(constructorName, " ")) name = constructorName;
    let message = dataProperty(error, "message");
    if (typeof message !== "string") message = core.domExceptionMessage?.(error) ?? "";
    let head = stringSlice(name, 0, MAX_NAME);
    if (constructorName === null) head = `[${head}: null prototype]`;
    if (tag !== "" && !stringIncludes(head, tag)) head += ` [${tag}]`;
    if (message !== "") head += (head === "" ? "" : ": ") + stringSlice(message, 0, MAX_MESSAGE);
    const frames = framesOf(error);
    dropShown(keys, "name", name);
    dropShown(keys, "message", message);
    return indentLines(frames === "" ? `[${head}]` : head + frames, indentation);
  };

  function addHidden(error, keys, key) {
    const descriptor = getOwnPropertyDescriptor(error, key);
    if (descriptor !== undefined && !descriptor.enumerable) keys[keys.length] = key;
  }

  // An own name or message that the first line shows already is not listed again.
  function dropShown(keys, key, shown) {
    let kept = 0;
    for (let index = 0; index < keys.length; index++) {
      if (keys[index] !== key || typeof shown !== "string") keys[kept++] = keys[index];
    }
    keys.length = kept;
  }

  function framesOf(error) {
    let stack;
    for (let holder = error, hops = 0; holder !== null; holder = getPrototypeOf(holder), hops++) {
      if (isProxy(holder) || hops > MAX_HOPS) return "";
    }
    try {
      stack = errorStack(error);
    } catch {
      return "";
    }
    return typeof stack === "string" ? core.stackFrames(stack) : "";
  }

  // SpiderMonkey's `function@file:line:column` lines as `    at function (file:line:column)`; the prelude's own are dropped.
  core.stackFrames = (stack) => {
    let text = "", start = 0;
    for (let count = 0; start < stack.length && count < MAX_FRAMES; ) {
      const found = stringIndexOf(stack, "\n", start);
      const end = found < 0 ? stack.length : found;
      const line = stringSlice(stack, start, end);
      start = end + 1;
      const at = stringLastIndexOf(line, "@");
      if (at < 0 || line.length > 1000) continue;
      const name = stringSlice(line, 0, at), place = stringSlice(line, at + 1);
      if (stringStartsWith(place, PRELUDE_FRAME) || stringStartsWith(place, "self-hosted")) continue;
      text += name === "" ? `\n    at ${place}` : `\n    at ${name} (${place})`;
      count++;
    }
    return text;
  };

  function indentLines(text, indentation) {
    if (indentation === "" || !stringIncludes(text, "\n")) return text;
    let result = "";
    for (let index = 0; index < text.length; index++) {
      result += text[index];
      if (text[index] === "\n") result += indentation;
    }
    return result;
  }

  // -- strings and numbers ----------------------------------------------------------------------

  const ESCAPES = { __proto__: null, "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", "\\": "\\\\" };

  core.quote = (text) => {
    let mark = "'";
    if (stringIncludes(text, "'")) {
      if (!stringIncludes(text, '"')) mark = '"';
      else if (!stringIncludes(text, "`") && !stringIncludes(text, "${")) mark = "`";
    }
    let quoted = mark, start = 0;
    for (let index = 0; index < text.length; index++) {
      const code = stringCharCodeAt(text, index);
      let escaped;
      if (code < 0x20 || code === 0x5c || (code >= 0x7f && code <= 0x9f)) {
        escaped = ESCAPES[text[index]] ?? `\\x${stringToUpperCase(stringPadStart(numberToString(code, 16), 2, "0"))}`;
      } else if (text[index] === mark) escaped = `\\${mark}`;
      else if (code >= 0xd800 && code <= 0xdfff) {
        const next = code < 0xdc00 && index + 1 < text.length ? stringCharCodeAt(text, index + 1) : 0;
        if (next >= 0xdc00 && next <= 0xdfff) {
          index++;
          continue;
        }
        escaped = `\\u${stringToUpperCase(numberToString(code, 16))}`;
      } else continue;
      quoted += stringSlice(text, start, index) + escaped;
      start = index + 1;
    }
    return quoted + stringSlice(text, start) + mark;
  };

  core.numberText = (number) => (number === 0 && 1 / number < 0 ? "-0" : `${number}`);
})
