// URL and URLSearchParams, after the URL Standard.
(function (core) {
  "use strict";

  const {
    makeList, stringSlice, stringSplit, stringIndexOf, stringIncludes, toUSVString, requireArguments, requireFunction, apply, TypeErrorConstructor, url,
  } = core;
  const { percentEncode, percentDecode, serialize, serializePath, serializeHostAndPort, serializeOrigin, hasOpaquePath } = url;

  const spread = (text, from, to) => {
    const parts = stringSplit(text, from);
    let joined = parts[0];
    for (let index = 1; index < parts.length; index++) joined += to + parts[index];
    return joined;
  };

  // -- application/x-www-form-urlencoded ------------------------------------------------------------

  function parseForm(text) {
    const list = makeList();
    const sequences = stringSplit(text, "&");
    for (let index = 0; index < sequences.length; index++) {
      if (sequences[index] === "") continue;
      const pair = stringIncludes(sequences[index], "+") ? spread(sequences[index], "+", " ") : sequences[index];
      const at = stringIndexOf(pair, "=");
      list[list.length] = {
        __proto__: null,
        name: percentDecode(at < 0 ? pair : stringSlice(pair, 0, at)),
        value: at < 0 ? "" : percentDecode(stringSlice(pair, at + 1)),
      };
    }
    return list;
  }

  function serializeForm(list) {
    const encode = (text) => spread(percentEncode(text, url.FORM), "%20", "+");
    let text = "";
    for (let index = 0; index < list.length; index++) {
      text += `${index === 0 ? "" : "&"}${encode(list[index].name)}=${encode(list[index].value)}`;
    }
    return text;
  }

  function fromSequence(init) {
    const list = makeList();
    for (const pair of init) {
      if (pair === null || typeof pair !== "object") throw new TypeErrorConstructor("each entry of URLSearchParams is a pair of strings");
      const parts = makeList();
      for (const part of pair) parts[parts.length] = toUSVString(part);
      if (parts.length !== 2) throw new TypeErrorConstructor("each entry of URLSearchParams is a pair of strings");
      list[list.length] = { __proto__: null, name: parts[0], value: parts[1] };
    }
    return list;
  }

  function fromRecord(init) {
    const list = makeList();
    const keys = core.ownKeys(init);
    for (let index = 0; index < keys.length; index++) {
      if (!core.getOwnPropertyDescriptor(init, keys[index])?.enumerable) continue;
      const name = toUSVString(keys[index]);
      const value = toUSVString(init[keys[index]]);
      const at = indexOfName(list, name);
      if (at >= 0) list[at].value = value;
      else list[list.length] = { __proto__: null, name, value };
    }
    return list;
  }

  function indexOfName(list, name) {
    for (let index = 0; index < list.length; index++) if (list[index].name === name) return index;
    return -1;
  }

  // -- URLSearchParams ------------------------------------------------------------------------------

  let paramsOf, setParams; // how URL reaches into its URLSearchParams

  const makeIterator = core.makeIterators("URLSearchParams Iterator", (state) => {
    const list = paramsOf(state.params);
    if (state.index >= list.length) return undefined;
    const { name, value } = list[state.index++];
    return { value: state.kind === "keys" ? name : state.kind === "values" ? value : [name, value] };
  });

  class URLSearchParams {
    #list;
    #update = null; // of a URL's: writes the list into the URL

    constructor(init = "") {
      if (typeof init === "function" || (typeof init === "object" && init !== null)) {
        const method = init[Symbol.iterator];
        this.#list = method === undefined || method === null ? fromRecord(init) : fromSequence(init);
      } else {
        const text = toUSVString(init);
        this.#list = parseForm(text[0] === "?" ? stringSlice(text, 1) : text);
      }
    }

    get size() { return this.#list.length; }

    append(name, value) {
      this.#list;
      requireArguments(arguments.length, 2, "append");
      this.#list[this.#list.length] = { __proto__: null, name: toUSVString(name), value: toUSVString(value) };
      this.#update?.();
    }

    delete(name, value = undefined) {
      this.#list;
      requireArguments(arguments.length, 1, "delete");
      this.#remove(toUSVString(name), value === undefined ? undefined : toUSVString(value), 0);
      this.#update?.();
    }

    get(name) {
      this.#list;
      requireArguments(arguments.length, 1, "get");
      const at = indexOfName(this.#list, toUSVString(name));
      return at < 0 ? null : this.#list[at].value;
    }

    getAll(name) {
      const list = this.#list;
      requireArguments(arguments.length, 1, "getAll");
      const wanted = toUSVString(name);
      const values = [];
      for (let index = 0; index < list.length; index++) {
        if (list[index].name === wanted) core.arrayPush(values, list[index].value);
      }
      return values;
    }

    has(name, value = undefined) {
      const list = this.#list;
      requireArguments(arguments.length, 1, "has");
      const wanted = toUSVString(name);
      const wantedValue = value === undefined ? undefined : toUSVString(value);
      for (let index = 0; index < list.length; index++) {
        if (list[index].name === wanted && (wantedValue === undefined || list[index].value === wantedValue)) return true;
      }
      return false;
    }

    set(name, value) {
      this.#list;
      requireArguments(arguments.length, 2, "set");
      const wanted = toUSVString(name);
      const text = toUSVString(value);
      const at = indexOfName(this.#list, wanted);
      if (at < 0) this.#list[this.#list.length] = { __proto__: null, name: wanted, value: text };
      else {
        this.#list[at].value = text;
        this.#remove(wanted, undefined, at + 1);
      }
      this.#update?.();
    }

    sort() {
      core.arraySort(this.#list, (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
      this.#update?.();
    }

    toString() {
      return serializeForm(this.#list);
    }

    forEach(callback, thisArg = undefined) {
      this.#list;
      requireArguments(arguments.length, 1, "forEach");
      requireFunction(callback, "the argument of forEach");
      for (let index = 0; index < this.#list.length; index++) {
        apply(callback, thisArg, [this.#list[index].value, this.#list[index].name, this]);
      }
    }

    entries() {
      this.#list;
      return makeIterator({ __proto__: null, params: this, index: 0, kind: "entries" });
    }

    keys() {
      this.#list;
      return makeIterator({ __proto__: null, params: this, index: 0, kind: "keys" });
    }

    values() {
      this.#list;
      return makeIterator({ __proto__: null, params: this, index: 0, kind: "values" });
    }

    #remove(name, value, from) {
      let kept = from;
      for (let index = from; index < this.#list.length; index++) {
        const entry = this.#list[index];
        if (entry.name !== name || (value !== undefined && entry.value !== value)) this.#list[kept++] = entry;
      }
      this.#list.length = kept;
    }

    static {
      paramsOf = (params) => params.#list;
      setParams = (params, text, update) => {
        params.#list = parseForm(text);
        params.#update = update;
      };
      core.inspectAs(URLSearchParams.prototype, (params) => {
        const list = params.#list;
        let text = "";
        for (let index = 0; index < list.length && text.length < 10_000; index++) {
          text += `${index === 0 ? " " : ", "}${core.quote(list[index].name)} => ${core.quote(list[index].value)}`;
        }
        return { text: `URLSearchParams {${text}${text === "" ? "" : " "}}` };
      });
    }
  }

  core.defineProperty(URLSearchParams.prototype, Symbol.iterator, {
    __proto__: null, value: URLSearchParams.prototype.entries, writable: true, configurable: true,
  });

  // -- URL ------------------------------------------------------------------------------------------

  // The record of `input` against `base`, or null.
  function parseWithBase(input, base) {
    const text = toUSVString(input);
    if (base === undefined) return url.parse(text, null);
    const baseRecord = url.parse(toUSVString(base), null);
    return baseRecord === null ? null : url.parse(text, baseRecord);
  }

  const cannotHaveCredentials = (record) => record.host === null || record.host === "" || record.scheme === "file";
  const withoutFirst = (text, first) => (text[0] === first ? stringSlice(text, 1) : text);
  const parsed = {}; // given to the constructor with a record instead of text

  class URL {
    #record;
    #params = null;

    constructor(input, base = undefined) {
      requireArguments(arguments.length, 1, "URL");
      const record = input === parsed ? base : parseWithBase(input, base);
      if (record === null) {
        const shown = core.quote(stringSlice(`${input}`, 0, 200));
        const against = base === undefined ? "" : ` against the base ${core.quote(stringSlice(`${base}`, 0, 200))}`;
        throw new TypeErrorConstructor(`${shown} is not a valid URL${against}`);
      }
      this.#record = record;
    }

    static parse(input, base = undefined) {
      requireArguments(arguments.length, 1, "URL.parse");
      const record = parseWithBase(input, base);
      return record === null ? null : new URL(parsed, record);
    }

    static canParse(input, base = undefined) {
      requireArguments(arguments.length, 1, "URL.canParse");
      return parseWithBase(input, base) !== null;
    }

    get href() { return serialize(this.#record); }
    set href(value) {
      this.#record;
      const record = url.parse(toUSVString(value), null);
      if (record === null) throw new TypeErrorConstructor(`${core.quote(stringSlice(`${value}`, 0, 200))} is not a valid URL`);
      this.#record = record;
      this.#followQuery();
    }

    get origin() { return serializeOrigin(this.#record); }

    get protocol() { return `${this.#record.scheme}:`; }
    set protocol(value) { url.parsePart(`${toUSVString(value)}:`, this.#record, "schemeStart"); }

    get username() { return this.#record.username; }
    set username(value) {
      const text = toUSVString(value);
      if (!cannotHaveCredentials(this.#record)) this.#record.username = percentEncode(text, url.USERINFO);
    }

    get password() { return this.#record.password; }
    set password(value) {
      const text = toUSVString(value);
      if (!cannotHaveCredentials(this.#record)) this.#record.password = percentEncode(text, url.USERINFO);
    }

    get host() { return this.#record.host === null ? "" : serializeHostAndPort(this.#record); }
    set host(value) {
      const text = toUSVString(value);
      if (!hasOpaquePath(this.#record)) url.parsePart(text, this.#record, "host");
    }

    get hostname() { return this.#record.host ?? ""; }
    set hostname(value) {
      const text = toUSVString(value);
      if (!hasOpaquePath(this.#record)) url.parsePart(text, this.#record, "hostname");
    }

    get port() { return this.#record.port === null ? "" : `${this.#record.port}`; }
    set port(value) {
      const text = toUSVString(value);
      if (cannotHaveCredentials(this.#record)) return;
      if (text === "") this.#record.port = null;
      else url.parsePart(text, this.#record, "port");
    }

    get pathname() { return serializePath(this.#record); }
    set pathname(value) {
      const text = toUSVString(value);
      if (hasOpaquePath(this.#record)) return;
      this.#record.path = makeList();
      url.parsePart(text, this.#record, "pathStart");
    }

    get search() {
      const { query } = this.#record;
      return query === null || query === "" ? "" : `?${query}`;
    }
    set search(value) {
      const text = toUSVString(value);
      if (text === "") this.#record.query = null;
      else {
        this.#record.query = "";
        url.parsePart(withoutFirst(text, "?"), this.#record, "query");
      }
      this.#followQuery();
    }

    get searchParams() {
      if (this.#params === null) {
        this.#record;
        this.#params = new URLSearchParams();
        this.#followQuery();
      }
      return this.#params;
    }

    get hash() {
      const { fragment } = this.#record;
      return fragment === null || fragment === "" ? "" : `#${fragment}`;
    }
    set hash(value) {
      const text = toUSVString(value);
      if (text === "") {
        this.#record.fragment = null;
        return;
      }
      this.#record.fragment = "";
      url.parsePart(withoutFirst(text, "#"), this.#record, "fragment");
    }

    toString() {
      return serialize(this.#record);
    }

    toJSON() {
      return serialize(this.#record);
    }

    // Has searchParams, where it was asked for, hold what the query says.
    #followQuery() {
      if (this.#params === null) return;
      setParams(this.#params, this.#record.query ?? "", () => {
        const text = serializeForm(paramsOf(this.#params));
        this.#record.query = text === "" ? null : text;
      });
    }

    static {
      core.inspectAs(URL.prototype, (self) => {
        const record = self.#record;
        return {
          name: "URL",
          fields: {
            href: serialize(record), origin: serializeOrigin(record), protocol: `${record.scheme}:`, username: record.username,
            password: record.password, host: record.host === null ? "" : serializeHostAndPort(record), hostname: record.host ?? "",
            port: record.port === null ? "" : `${record.port}`, pathname: serializePath(record),
            search: record.query === null || record.query === "" ? "" : `?${record.query}`,
            searchParams: new URLSearchParams(record.query ?? ""),
            hash: record.fragment === null || record.fragment === "" ? "" : `#${record.fragment}`,
          },
        };
      });
    }
  }

  core.defineClass(URLSearchParams);
  core.defineClass(URL);
})
