// The global `console`, after the Console Standard, with Node's formatting. Every line goes to the host as
// one call with its level; a hostile value shows strangely at worst and never makes a call throw.
(function (core, host) {
  "use strict";

  const {
    inspect, makeList, isArray, isProxy, ownKeys, getOwnPropertyDescriptor, dataProperty, functionToString, hasOwn, apply,
    stringSlice, stringSplit, stringIncludes, stringRepeat, stringIndexOf, symbolToString, numberOf, numberText, numberToFixed,
    parseInteger, parseFloating, jsonStringify, mapGet, mapSet, mapDelete, mapHas, ErrorConstructor, errorStack, propertyIsEnumerable,
    identify, mapEntries, mapIteratorNext, mapSize, setValues, setIteratorNext, setSize, typedArrayLength,
  } = core;

  const MAX_LINE = 65_536; // characters of one message
  const MAX_INDENTATION = 100;
  const MAX_ROWS = 1_000;
  const MAX_COLUMNS = 50;

  let indentation = "";
  const counts = new Map();
  const startTimes = new Map();

  function write(level, text) {
    if (text.length > MAX_LINE) text = `${stringSlice(text, 0, MAX_LINE)}... ${text.length - MAX_LINE} more characters`;
    if (indentation !== "") {
      const lines = stringSplit(text, "\n");
      text = "";
      for (let index = 0; index < lines.length; index++) text += (index === 0 ? "" : "\n") + indentation + lines[index];
    }
    host.log(level, text);
  }

  function print(level, values) {
    let text;
    try {
      text = format(values);
    } catch {
      text = "[a message that cannot be shown]";
    }
    write(level, text);
  }

  // -- formatting -------------------------------------------------------------------------------

  function format(values) {
    if (values.length === 0) return "";
    let used = 0, text = "";
    if (typeof values[0] === "string") {
      used = 1;
      text = values[0];
      if (values.length > 1 && stringIncludes(text, "%")) {
        const filled = fill(text, values);
        used = filled.used;
        text = filled.text;
      }
    }
    for (; used < values.length && text.length <= MAX_LINE; used++) {
      const value = values[used];
      text += (used === 0 ? "" : " ") + (typeof value === "string" ? value : inspect(value));
    }
    return text;
  }

  function fill(template, values) {
    let text = "", used = 1, start = 0;
    for (let at = stringIndexOf(template, "%"); at >= 0 && at < template.length - 1; at = stringIndexOf(template, "%", at)) {
      const directive = template[at + 1];
      let shown;
      if (directive === "%") shown = "%";
      else if (used < values.length && (shown = show(directive, values[used])) !== undefined) used++;
      if (shown === undefined) {
        at++;
        continue;
      }
      text += stringSlice(template, start, at) + shown;
      start = at += 2;
    }
    return { text: text + stringSlice(template, start), used };
  }

  function show(directive, value) {
    switch (directive) {
      case "s":
        return showString(value);
      case "d":
        return typeof value === "bigint" ? `${value}n` : showNumber(value, numberOf);
      case "i":
        return typeof value === "bigint" ? `${value}n` : showNumber(value, parseInteger);
      case "f":
        return showNumber(value, parseFloating);
      case "j":
        return showJson(value);
      case "o":
        return inspect(value, { __proto__: null, showHidden: true, depth: 4 });
      case "O":
        return inspect(value);
      case "c":
        return "";
      default:
        return undefined;
    }
  }

  function showNumber(value, convert) {
    const isConvertible = (typeof value !== "object" || value === null) && typeof value !== "function" && typeof value !== "symbol";
    return isConvertible ? numberText(convert(value)) : "NaN"; // an object would be asked for its valueOf
  }

  function showString(value) {
    if (typeof value === "string") return value;
    if (typeof value === "symbol") return symbolToString(value);
    if (typeof value === "function" && !isProxy(value)) return functionToString(value);
    if (typeof value !== "object" || value === null) return inspect(value);
    const own = isProxy(value) ? undefined : dataProperty(value, "toString");
    if (typeof own === "function" && !isProxy(own) && !stringIncludes(functionToString(own), "[native code]")) {
      try {
        return `${apply(own, value, [])}`;
      } catch {
        // its own toString threw
      }
    }
    return inspect(value, { __proto__: null, depth: 0 });
  }

  function showJson(value) {
    try {
      return `${jsonStringify(value)}`;
    } catch (error) {
      const message = isProxy(error) ? "" : dataProperty(error, "message");
      return typeof message === "string" && stringIncludes(message, "cyclic") ? "[Circular]" : "[no JSON]";
    }
  }

  // -- tables -----------------------------------------------------------------------------------

  // The rows of what console.table was given: [{index, value}], or null where it is nothing to make a table of.
  function rowsOf(data) {
    if (typeof data !== "object" || data === null || isProxy(data)) return null;
    const rows = makeList();
    const add = (index, value) => {
      rows[rows.length] = { __proto__: null, index, value };
    };
    const kind = identify(data);
    if (kind === "Map") {
      const entries = mapEntries(data);
      const count = mapSize(data);
      for (let at = 0; at < count && at < MAX_ROWS; at++) {
        const { value } = mapIteratorNext(entries);
        add(at, { __proto__: null, Key: value[0], Values: value[1] });
      }
    } else if (kind === "Set") {
      const items = setValues(data);
      const count = setSize(data);
      for (let at = 0; at < count && at < MAX_ROWS; at++) add(at, setIteratorNext(items).value);
    } else if (kind === "TypedArray") {
      for (let at = 0; at < typedArrayLength(data) && at < MAX_ROWS; at++) add(at, data[at]);
    } else {
      const keys = ownKeys(data);
      for (let at = 0; at < keys.length && rows.length < MAX_ROWS; at++) {
        const descriptor = getOwnPropertyDescriptor(data, keys[at]);
        if (typeof keys[at] === "string" && descriptor?.enumerable) add(keys[at], descriptor.value);
      }
    }
    return rows;
  }

  function cellText(value) {
    return inspect(value, { __proto__: null, depth: typeof value === "object" && value !== null && isArray(value) ? 0 : -1, breakLength: Infinity });
  }

  function table(data, wanted) {
    const rows = rowsOf(data);
    if (rows === null) return null;
    const columns = makeList(); // {name, cells: text by row}
    const byName = new core.MapConstructor();
    const column = (name) => {
      let found = mapGet(byName, name);
      if (found === undefined) {
        found = { __proto__: null, name, cells: makeList() };
        mapSet(byName, name, found);
        if (columns.length < MAX_COLUMNS) columns[columns.length] = found;
      }
      return found;
    };
    const index = { __proto__: null, name: "(index)", cells: makeList() };
    const values = { __proto__: null, name: "Values", cells: makeList() };
    if (isArray(wanted)) for (let at = 0; at < wanted.length && at < MAX_COLUMNS; at++) column(`${wanted[at]}`);
    for (let row = 0; row < rows.length; row++) {
      const { value } = rows[row];
      index.cells[row] = `${rows[row].index}`;
      if ((typeof value !== "object" && typeof value !== "function") || value === null || isProxy(value)) {
        values.cells[row] = inspect(value);
        continue;
      }
      const keys = ownKeys(value);
      for (let at = 0; at < keys.length && at < MAX_COLUMNS; at++) {
        const key = keys[at];
        if (typeof key !== "string" || !propertyIsEnumerable(value, key)) continue;
        if (isArray(wanted) && !mapHas(byName, key)) continue;
        const descriptor = getOwnPropertyDescriptor(value, key);
        column(key).cells[row] = hasOwn(descriptor, "value") ? cellText(descriptor.value) : "[Getter]";
      }
    }
    const all = makeList();
    all[0] = index;
    for (let at = 0; at < columns.length; at++) all[at + 1] = columns[at];
    if (values.cells.length > 0) all[all.length] = values;
    return draw(all, rows.length);
  }

  function draw(columns, rowCount) {
    const rule = (left, middle, right) => {
      let text = left;
      for (let at = 0; at < columns.length; at++) text += (at === 0 ? "" : middle) + stringRepeat("─", columns[at].width);
      return text + right;
    };
    const line = (cellOf) => {
      let text = "│";
      for (let at = 0; at < columns.length; at++) text += `${(at === 0 ? "" : "│")}${centred(cellOf(columns[at]), columns[at].width)}`;
      return `${text}│`;
    };
    for (let at = 0; at < columns.length; at++) {
      const { name, cells } = columns[at];
      let width = name.length;
      for (let row = 0; row < cells.length; row++) if (cells[row]?.length > width) width = cells[row].length;
      columns[at].width = width + 2;
    }
    let text = `${rule("┌", "┬", "┐")}\n${line((column) => column.name)}\n${rule("├", "┼", "┤")}\n`;
    for (let row = 0; row < rowCount && text.length < MAX_LINE; row++) text += `${line((column) => column.cells[row] ?? "")}\n`;
    return text + rule("└", "┴", "┘");
  }

  function centred(text, width) {
    const left = core.floor((width - text.length) / 2);
    return stringRepeat(" ", left) + text + stringRepeat(" ", width - text.length - left);
  }

  // -- times ------------------------------------------------------------------------------------

  function elapsed(label) {
    const ms = numberOf(host.monotonicMs()) - mapGet(startTimes, label);
    if (ms < 1000) return `${numberOf(numberToFixed(ms, 3))}ms`;
    if (ms < 60_000) return `${numberToFixed(ms / 1000, 3)}s`;
    const minutes = core.floor(ms / 60_000);
    return `${minutes}:${core.stringPadStart(numberToFixed((ms - minutes * 60_000) / 1000, 3), 6, "0")} (m:ss.mmm)`;
  }

  function isUnknownTimer(label) {
    if (mapHas(startTimes, label)) return false;
    write("warn", `no timer is called ${core.quote(label)}: console.time starts one`);
    return true;
  }

  function prepended(first, values, skipped = 0) {
    const list = makeList();
    list[0] = first;
    for (let index = skipped; index < values.length; index++) list[list.length] = values[index];
    return list;
  }

  const printer = (level, name) => ({ [name](...data) { print(level, data); } })[name];

  const members = {
    debug: printer("debug", "debug"),
    log: printer("log", "log"),
    info: printer("info", "info"),
    warn: printer("warn", "warn"),
    error: printer("error", "error"),
    trace(...data) {
      const message = data.length === 0 ? "" : `: ${format(data)}`;
      write("debug", `Trace${message}${core.stackFrames(errorStack(new ErrorConstructor()))}`);
    },
    assert(condition = false, ...data) {
      if (condition) return;
      if (typeof data[0] === "string") print("error", prepended(`Assertion failed: ${data[0]}`, data, 1));
      else print("error", data.length === 0 ? ["Assertion failed"] : prepended("Assertion failed:", data));
    },
    dir(item = undefined, options = undefined) {
      const wanted = { __proto__: null };
      if (typeof options === "object" && options !== null && !isProxy(options)) {
        const depth = dataProperty(options, "depth");
        wanted.showHidden = dataProperty(options, "showHidden") === true;
        if (depth === null) wanted.depth = Infinity;
        else if (typeof depth === "number") wanted.depth = depth;
      }
      write("log", inspect(item, wanted));
    },
    dirxml(...data) {
      print("log", data);
    },
    table(tabularData = undefined, properties = undefined) {
      let text = null;
      try {
        text = table(tabularData, properties);
      } catch {
        // a hostile value: shown like any other
      }
      if (text === null) print("log", [tabularData]);
      else write("log", text);
    },
    count(label = "default") {
      label = `${label}`;
      const count = (mapGet(counts, label) ?? 0) + 1;
      mapSet(counts, label, count);
      write("log", `${label}: ${count}`);
    },
    countReset(label = "default") {
      label = `${label}`;
      if (!mapDelete(counts, label)) write("warn", `no counter is called ${core.quote(label)}`);
    },
    group(...data) {
      if (data.length > 0) print("log", data);
      if (indentation.length < MAX_INDENTATION) indentation += "  ";
    },
    groupCollapsed(...data) {
      apply(members.group, undefined, data);
    },
    groupEnd() {
      indentation = stringSlice(indentation, 0, indentation.length < 2 ? 0 : indentation.length - 2);
    },
    time(label = "default") {
      label = `${label}`;
      if (mapHas(startTimes, label)) write("warn", `the timer ${core.quote(label)} runs already`);
      else mapSet(startTimes, label, numberOf(host.monotonicMs()));
    },
    timeLog(label = "default", ...data) {
      label = `${label}`;
      if (isUnknownTimer(label)) return;
      const values = format(prepended("", data)); // the label is no template
      write("log", `${label}: ${elapsed(label)}${values}`);
    },
    timeEnd(label = "default") {
      label = `${label}`;
      if (isUnknownTimer(label)) return;
      write("log", `${label}: ${elapsed(label)}`);
      mapDelete(startTimes, label);
    },
    clear() {
      indentation = "";
    },
  };

  // What a namespace object looks like: its prototype is an empty object of its own.
  const console = core.create(core.create(Object.prototype));
  for (const key of ownKeys(members)) console[key] = members[key];
  core.defineProperty(console, Symbol.toStringTag, { __proto__: null, value: "console", configurable: true });
  core.define("console", console);
})
