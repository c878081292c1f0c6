// core.inspect(value, options): a value as text for people, in the style of Node's util.inspect.
// Options: depth (2), showHidden (false), breakLength (80).
//
// It is total and bounded: it never throws, calls no getter, no proxy trap and no other function of a script,
// visits at most MAX_NODES values and returns at most MAX_CHARS characters. What a value is, is asked of the
// intrinsic with that brand (inspect_kinds.js); what it holds, of its property descriptors.
(function (core) {
  "use strict";

  const {
    getOwnPropertyDescriptor, getPrototypeOf, makeList, ownKeys, propertyIsEnumerable, objectKeys, hasOwn,
    stringSlice, stringRepeat, stringPadStart, stringPadEnd, stringIncludes, symbolToString,
    mapEntries, mapIteratorNext, setValues, setIteratorNext, isProxy, isRevoked, proxyTarget,
    identify, dataProperty, constructorName, functionBase, errorBase, quote, numberText,
    floor, sqrt, round, typedArraySlice, Uint8ArrayConstructor,
  } = core;

  const MAX_NODES = 10_000;
  const MAX_CHARS = 65_536;
  const MAX_DEPTH = 100; // whatever `depth` asks for: deeper values would exhaust the stack
  const MAX_ITEMS = 100; // of an array, a map or a set
  const MAX_PROBED_HOLES = 10_000; // indices looked at in a sparse array
  const MAX_KEYED_LENGTH = 1_000; // listing the keys of a longer array costs more than its extra keys are worth
  const MAX_STRING = 10_000;
  const COMPACT = 3; // the innermost levels that may share one line
  const MAX_COLUMNS = 15;

  const inspectors = new WeakMap(); // prototype → function(value) that returns {name, text} or {name, fields}

  // Has instances with this prototype shown by what `read` returns of them, since their fields are private.
  core.inspectAs = (prototype, read) => core.weakMapSet(inspectors, prototype, read);

  core.inspect = (value, options) => {
    const context = {
      __proto__: null,
      depth: options?.depth ?? 2,
      showHidden: options?.showHidden === true,
      breakLength: options?.breakLength ?? 80,
      indentation: 0,
      currentDepth: 0,
      nodes: 0,
      chars: 0,
      path: makeList(), // from the outermost value to the current one
      circular: makeList(), // values that were met again below themselves
    };
    let text;
    try {
      text = formatValue(context, value, 0, false);
    } catch {
      text = "[a value that cannot be shown]";
    }
    return text.length > MAX_CHARS ? stringSlice(text, 0, MAX_CHARS - 3) + "..." : text;
  };

  function formatValue(context, value, depth, isTyped) {
    if (++context.nodes > MAX_NODES || context.chars > MAX_CHARS) return "...";
    if ((typeof value !== "object" && typeof value !== "function") || value === null) {
      const text = formatPrimitive(context, value);
      context.chars += text.length;
      return text;
    }
    try {
      for (let hops = 0; isProxy(value); hops++) {
        if (isRevoked(value)) return "<Revoked Proxy>";
        if (hops === MAX_DEPTH) return "[Proxy]";
        value = proxyTarget(value);
      }
      if (indexIn(context.path, value) >= 0) return circularMark(context, value);
      return formatObject(context, value, depth, isTyped);
    } catch {
      return "[a value that cannot be shown]";
    }
  }

  function indexIn(list, value) {
    for (let index = 0; index < list.length; index++) if (list[index] === value) return index;
    return -1;
  }

  function circularMark(context, value) {
    let index = indexIn(context.circular, value);
    if (index < 0) {
      index = context.circular.length;
      context.circular[index] = value;
    }
    return `[Circular *${index + 1}]`;
  }

  function formatPrimitive(context, value) {
    if (typeof value === "string") return formatString(context, value);
    if (typeof value === "number") return numberText(value);
    if (typeof value === "bigint") return `${value}n`;
    if (typeof value === "symbol") return symbolToString(value);
    return `${value}`;
  }

  function formatString(context, value) {
    let trailer = "";
    if (value.length > MAX_STRING) {
      const rest = value.length - MAX_STRING;
      trailer = `... ${rest} more character${rest > 1 ? "s" : ""}`;
      value = stringSlice(value, 0, MAX_STRING);
    }
    const breaks = value.length > 16 && value.length > context.breakLength - context.indentation - 4;
    if (!breaks || !stringIncludes(value, "\n")) return quote(value) + trailer;
    let text = "", start = 0;
    for (let index = 0; index < value.length; index++) {
      if (value[index] !== "\n" && index !== value.length - 1) continue;
      if (start > 0) text += ` +\n${stringRepeat(" ", context.indentation + 2)}`;
      text += quote(stringSlice(value, start, index + 1));
      start = index + 1;
    }
    return text + trailer;
  }

  // -- objects ----------------------------------------------------------------------------------

  // `shape` is filled by the kind of the value: what stands before its braces, the braces, its entries.
  function formatObject(context, value, depth, isTyped) {
    const kind = identify(value);
    const name = constructorName(value);
    const shape = { __proto__: null, base: "", open: "{", close: "}", isArray: false, entries: null, keys: null, short: "" };
    const describe = DESCRIBE[kind] ?? describePlain;
    describe(context, shape, value, name, tagOf(value, name, context), isTyped);
    shape.keys ??= keysOf(context, value);
    if (shape.keys.length === 0 && shape.entries === null) {
      const empty = shape.base === "" || shape.open !== "{" ? shape.open + shape.close : shape.base;
      context.chars += empty.length;
      return empty;
    }
    if (depth > context.depth || depth > MAX_DEPTH) {
      if (kind === "RegExp" || kind === "Date" || kind === "Error" || kind === "Function") return shape.base;
      return `[${shape.short || stringSlice(prefix(name, tagOf(value, name, context), kind), 0, -1)}]`;
    }
    return formatEntries(context, shape, value, depth + 1);
  }

  function formatEntries(context, shape, value, depth) {
    context.path[context.path.length] = value;
    context.currentDepth = depth;
    const output = makeList();
    shape.entries?.(output, depth);
    for (let index = 0; index < shape.keys.length && context.nodes <= MAX_NODES && context.chars <= MAX_CHARS; index++) {
      output[output.length] = formatProperty(context, value, depth, shape.keys[index], shape.fields);
    }
    context.path.length--;
    const reference = indexIn(context.circular, value);
    if (reference >= 0) shape.base = `<ref *${reference + 1}>${shape.base === "" ? "" : " "}${shape.base}`;
    return layOut(context, output, shape, depth);
  }

  function keysOf(context, value, isIndexed = false) {
    const keys = makeList();
    const all = isIndexed || context.showHidden ? ownKeys(value) : objectKeys(value);
    for (let index = 0; index < all.length; index++) {
      const key = all[index];
      if (isIndexed && typeof key === "string" && isIndex(key)) continue;
      if (isIndexed && !context.showHidden && !propertyIsEnumerable(value, key)) continue;
      keys[keys.length] = key;
    }
    if (isIndexed || context.showHidden) return keys;
    const symbols = core.getOwnPropertySymbols(value);
    for (let index = 0; index < symbols.length; index++) {
      if (propertyIsEnumerable(value, symbols[index])) keys[keys.length] = symbols[index];
    }
    return keys;
  }

  function isIndex(key) {
    const number = core.numberOf(key);
    return number >= 0 && number < 4294967295 && floor(number) === number && `${number}` === key;
  }

  function extraKeysOf(context, value, length) {
    return length > MAX_KEYED_LENGTH ? makeList() : keysOf(context, value, true);
  }

  function tagOf(value, name, context) {
    const tag = dataProperty(value, Symbol.toStringTag);
    if (typeof tag !== "string" || tag === "" || tag.length > 200 || tag === name) return "";
    const isShown = context.showHidden ? hasOwn(value, Symbol.toStringTag) : propertyIsEnumerable(value, Symbol.toStringTag);
    return isShown ? "" : tag;
  }

  function prefix(name, tag, fallback, size = "") {
    if (name === null) return `[${fallback}${size}: null prototype] ${tag !== "" && fallback !== tag ? `[${tag}] ` : ""}`;
    return `${name}${size} ${tag === "" ? "" : `[${tag}] `}`;
  }

  // -- what each kind adds ----------------------------------------------------------------------

  function describePlain(context, shape, value, name, tag) {
    const read = inspectorOf(value);
    const seen = read === undefined ? undefined : tryRead(read, value);
    if (seen !== undefined) {
      if (seen.text !== undefined) {
        shape.base = seen.text;
        shape.keys = makeList();
      } else {
        shape.open = `${name ?? seen.name} {`;
        shape.short = name ?? seen.name;
        shape.fields = seen.fields;
        shape.keys = ownKeys(seen.fields);
      }
    } else if (name !== "Object" || tag !== "") shape.open = `${prefix(name, tag, "Object")}{`;
  }

  function inspectorOf(value) {
    let prototype = value;
    for (let hops = 0; hops < MAX_DEPTH && prototype !== null && !isProxy(prototype); hops++) {
      prototype = getPrototypeOf(prototype);
      if (prototype === null) return undefined;
      const read = core.weakMapGet(inspectors, prototype);
      if (read !== undefined) return read;
    }
    return undefined;
  }

  function tryRead(read, value) {
    try {
      return read(value);
    } catch {
      return undefined; // only looks like an instance
    }
  }

  function withBase(shape, base, name, tag, kind) {
    shape.base = (name === kind && tag === "" ? "" : prefix(name, tag, kind)) + base;
  }

  // An entry that says how much is not shown.
  function more(rest) {
    return `... ${rest} more item${rest > 1 ? "s" : ""}`;
  }

  function arrayEntries(context, output, value, depth) {
    let shown = 0, index = 0;
    for (; index < value.length && shown < MAX_ITEMS && index < MAX_PROBED_HOLES; shown++) {
      const descriptor = getOwnPropertyDescriptor(value, index);
      if (descriptor !== undefined) {
        output[output.length] = formatDescriptor(context, descriptor, depth);
        index++;
        continue;
      }
      const start = index;
      while (index < value.length && index < MAX_PROBED_HOLES && !hasOwn(value, index)) index++;
      if (index === MAX_PROBED_HOLES) break;
      output[output.length] = `<${index - start} empty item${index - start > 1 ? "s" : ""}>`;
    }
    if (index >= MAX_PROBED_HOLES && shown === 0 && keysOf(context, value, false).length === 0) {
      output[output.length] = `<${value.length} empty items>`;
    } else if (index < value.length) output[output.length] = more(value.length - index);
  }

  // `next` is the captured next of the iterator: maps and sets are walked without asking their own methods.
  function collectionEntries(output, size, iterator, next, show) {
    for (let shown = 0; shown < MAX_ITEMS; shown++) {
      const { done, value } = next(iterator);
      if (done) return;
      output[output.length] = show(value);
    }
    if (size > MAX_ITEMS) output[output.length] = more(size - MAX_ITEMS);
  }

  function indented(context, value, depth) {
    context.indentation += 2;
    const text = formatValue(context, value, depth, false);
    context.indentation -= 2;
    return text;
  }

  function describeBoxed(kind, read) {
    return (context, shape, value, name, tag) => {
      const text = formatPrimitive({ breakLength: Infinity, indentation: 0 }, read(value));
      const origin = name === null ? `${kind} (null prototype)` : name === kind ? kind : `${kind} (${name})`;
      shape.base = `[${origin}${tag === "" ? "" : ` [${tag}]`}: ${text}]`;
      if (kind === "String") shape.keys = extraKeysOf(context, value, text.length);
    };
  }

  const DESCRIBE = {
    __proto__: null,
    Array(context, shape, value, name, tag) {
      shape.open = `${name === "Array" && tag === "" ? "" : prefix(name, tag, "Array", `(${value.length})`)}[`;
      shape.close = "]";
      shape.isArray = true;
      shape.sample = value;
      shape.keys = extraKeysOf(context, value, value.length);
      shape.short = value.length === 0 ? "" : name === "Array" ? "Array" : "";
      if (value.length > 0) shape.entries = (output, depth) => arrayEntries(context, output, value, depth);
    },
    Arguments(context, shape) {
      shape.open = "[Arguments] {";
      shape.short = "Arguments";
    },
    TypedArray(context, shape, value, name, tag) {
      const length = core.typedArrayLength(value);
      const kind = core.typedArrayName(value);
      shape.open = `${prefix(name, tag === kind ? "" : tag, kind, `(${length})`)}[`;
      shape.close = "]";
      shape.isArray = true;
      shape.sample = value;
      shape.keys = extraKeysOf(context, value, length);
      if (length === 0) return;
      shape.entries = (output) => {
        for (let index = 0; index < length && index < MAX_ITEMS; index++) {
          output[index] = formatPrimitive(context, value[index]);
          context.chars += output[index].length;
        }
        if (length > MAX_ITEMS) output[MAX_ITEMS] = more(length - MAX_ITEMS);
      };
    },
    Map(context, shape, value, name, tag) {
      const size = core.mapSize(value);
      shape.open = `${prefix(name, tag, "Map", `(${size})`)}{`;
      shape.short = name ?? "";
      if (size === 0) return;
      shape.entries = (output, depth) =>
        collectionEntries(output, size, mapEntries(value), mapIteratorNext, (entry) =>
          `${indented(context, entry[0], depth)} => ${indented(context, entry[1], depth)}`);
    },
    Set(context, shape, value, name, tag) {
      const size = core.setSize(value);
      shape.open = `${prefix(name, tag, "Set", `(${size})`)}{`;
      shape.short = name ?? "";
      if (size === 0) return;
      shape.entries = (output, depth) =>
        collectionEntries(output, size, setValues(value), setIteratorNext, (item) => indented(context, item, depth));
    },
    WeakMap: describeUnknown("WeakMap"),
    WeakSet: describeUnknown("WeakSet"),
    Function(context, shape, value, name, tag) {
      shape.base = functionBase(value, name, tag);
    },
    RegExp(context, shape, value, name, tag) {
      withBase(shape, `/${core.regExpSource(value)}/${core.regExpFlags(value)}`, name, tag, "RegExp");
    },
    Date(context, shape, value, name, tag) {
      const isValid = core.dateGetTime(value) === core.dateGetTime(value);
      withBase(shape, isValid ? core.dateToISOString(value) : "Invalid Date", name, tag, "Date");
    },
    Error(context, shape, value, name, tag) {
      shape.keys = keysOf(context, value);
      shape.base = errorBase(value, name, tag, shape.keys, stringRepeat(" ", context.indentation));
      context.chars += shape.base.length;
    },
    ArrayBuffer(context, shape, value, name, tag) {
      shape.open = `${prefix(name, tag, "ArrayBuffer")}{`;
      shape.entries = (output) => {
        if (core.arrayBufferDetached(value)) {
          output[0] = "(detached)";
          return;
        }
        const length = core.arrayBufferByteLength(value);
        const bytes = typedArraySlice(new Uint8ArrayConstructor(value, 0, length < 50 ? length : 50), 0);
        let text = "";
        for (let index = 0; index < core.typedArrayLength(bytes); index++) {
          text += (index === 0 ? "" : " ") + stringPadStart(core.numberToString(bytes[index], 16), 2, "0");
        }
        if (length > 50) text += ` ... ${length - 50} more byte${length > 51 ? "s" : ""}`;
        output[0] = `[Uint8Contents]: <${text}>`;
        output[1] = `byteLength: ${length}`;
      };
    },
    DataView(context, shape, value, name, tag) {
      shape.open = `${prefix(name, tag, "DataView")}{`;
      shape.entries = (output, depth) => {
        output[0] = `byteLength: ${core.dataViewByteLength(value)}`;
        output[1] = `byteOffset: ${core.dataViewByteOffset(value)}`;
        output[2] = `buffer: ${indented(context, core.dataViewBuffer(value), depth)}`;
      };
    },
    Module(context, shape) {
      shape.open = "[Module: null prototype] {";
    },
    Number: describeBoxed("Number", core.numberValueOf),
    String: describeBoxed("String", core.stringValueOf),
    Boolean: describeBoxed("Boolean", core.booleanValueOf),
    BigInt: describeBoxed("BigInt", core.bigIntValueOf),
    Symbol: describeBoxed("Symbol", core.symbolValueOf),
  };

  function describeUnknown(kind) {
    return (context, shape, value, name, tag) => {
      shape.open = `${prefix(name, tag, kind)}{`;
      shape.entries = (output) => {
        output[0] = "<items unknown>";
      };
    };
  }

  // -- properties and lines ---------------------------------------------------------------------

  function formatProperty(context, value, depth, key, fields) {
    let descriptor;
    try {
      descriptor = getOwnPropertyDescriptor(fields ?? value, key);
    } catch {
      return `${typeof key === "symbol" ? symbolToString(key) : key}: <uninitialized>`; // an export before its time
    }
    const text = descriptor === undefined ? "undefined" : formatDescriptor(context, descriptor, depth);
    let name;
    if (typeof key === "symbol") name = `[${symbolToString(key)}]`;
    else if (key === "__proto__") name = "['__proto__']";
    else if (descriptor?.enumerable === false) name = `[${key}]`;
    else name = isIdentifier(key) ? key : quote(key);
    context.chars += name.length + 2;
    return `${name}: ${text}`;
  }

  function formatDescriptor(context, descriptor, depth) {
    if (hasOwn(descriptor, "value")) return indented(context, descriptor.value, depth);
    if (descriptor.get === undefined) return descriptor.set === undefined ? "undefined" : "[Setter]";
    return descriptor.set === undefined ? "[Getter]" : "[Getter/Setter]";
  }

  function isIdentifier(key) {
    if (key.length === 0 || key.length > 1000) return false;
    for (let index = 0; index < key.length; index++) {
      const char = key[index];
      const isLetter = (char >= "a" && char <= "z") || (char >= "A" && char <= "Z") || char === "_";
      if (!isLetter && (index === 0 || char < "0" || char > "9")) return false;
    }
    return true;
  }

  function layOut(context, output, shape, depth) {
    const { length } = output;
    if (shape.isArray && length > 6) output = inColumns(context, output, shape.sample);
    const start = shape.base === "" ? "" : `${shape.base} `;
    if (context.currentDepth - depth < COMPACT && length === output.length) {
      let width = output.length + output.length + context.indentation + shape.open.length + shape.base.length + 10;
      let isFlat = !stringIncludes(shape.base, "\n");
      for (let index = 0; index < output.length && isFlat && width <= context.breakLength; index++) {
        width += output[index].length;
        isFlat = !stringIncludes(output[index], "\n");
      }
      if (isFlat && width <= context.breakLength) return `${start}${shape.open} ${join(output, ", ")} ${shape.close}`;
    }
    const line = `\n${stringRepeat(" ", context.indentation)}`;
    return `${start}${shape.open}${line}  ${join(output, `,${line}  `)}${line}${shape.close}`;
  }

  function join(list, separator) {
    let text = list.length === 0 ? "" : list[0];
    for (let index = 1; index < list.length; index++) text += separator + list[index];
    return text;
  }

  // Long arrays of short items are set in columns, the way Node chooses their number.
  function inColumns(context, output, sample) {
    const count = output.length > MAX_ITEMS ? MAX_ITEMS : output.length; // the last one says how many more there are
    let total = 0, longest = 0;
    for (let index = 0; index < count; index++) {
      total += output[index].length + 2;
      if (output[index].length > longest) longest = output[index].length;
    }
    const widest = longest + 2;
    if (widest * 3 + context.indentation >= context.breakLength || (total / widest <= 5 && longest > 6)) return output;
    const biased = max(widest - 3 - sqrt(widest - total / output.length), 1);
    const columns = min(
      min(round(sqrt(2.5 * biased * count) / biased), floor((context.breakLength - context.indentation) / widest)),
      min(COMPACT * 4, MAX_COLUMNS),
    );
    if (columns <= 1) return output;
    const widths = makeList();
    for (let column = 0; column < columns; column++) {
      widths[column] = 0;
      for (let index = column; index < count; index += columns) widths[column] = max(widths[column], output[index].length + 2);
    }
    const pad = areNumbers(sample, count) ? stringPadStart : stringPadEnd;
    const lines = makeList();
    for (let first = 0; first < count; first += columns) {
      const end = min(first + columns, count);
      let line = "";
      for (let index = first; index < end - 1; index++) line += pad(`${output[index]}, `, widths[index - first], " ");
      const last = output[end - 1];
      lines[lines.length] = line + (pad === stringPadStart ? pad(last, widths[end - 1 - first] - 2, " ") : last);
    }
    if (output.length > count) lines[lines.length] = output[count];
    return lines;
  }

  function areNumbers(sample, count) {
    for (let index = 0; index < count; index++) {
      const value = getOwnPropertyDescriptor(sample, index)?.value;
      if (typeof value !== "number" && typeof value !== "bigint") return false;
    }
    return true;
  }

  const max = (a, b) => (a > b ? a : b);
  const min = (a, b) => (a < b ? a : b);
})
