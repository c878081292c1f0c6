// The basic URL parser and the serializers of the URL Standard: a state machine with one function a state.
//
// A record is {scheme, username, password, host, port, path, query, fragment}, `host` serialized already, `path` a
// list of segments or, where it is opaque, a string. Every state sees the code unit at the pointer, "" at the end.
(function (core) {
  "use strict";

  const { makeList, stringSlice, stringToLowerCase, regExpExec, numberOf, url } = core;
  const { C0, FRAGMENT, QUERY, SPECIAL_QUERY, PATH, USERINFO, percentEncode, parseHost } = url;

  const FAILURE = false, DONE = true; // what a state returns to end the parse
  const DEFAULT_PORTS = { __proto__: null, ftp: 21, file: null, http: 80, https: 443, ws: 80, wss: 443 };

  const isSpecialScheme = (scheme) => scheme in DEFAULT_PORTS;
  const isSpecial = (record) => record.scheme in DEFAULT_PORTS;
  const hasOpaquePath = (record) => typeof record.path === "string";
  const hasCredentials = (record) => record.username !== "" || record.password !== "";
  const isAlpha = (c) => (c >= "a" && c <= "z") || (c >= "A" && c <= "Z");
  const isDigit = (c) => c >= "0" && c <= "9";
  const matches = (pattern, text) => regExpExec(pattern, text) !== null;

  const DRIVE_LETTER = /^[a-zA-Z][:|]$/;
  const NORMALIZED_DRIVE_LETTER = /^[a-zA-Z]:$/;
  const STARTS_WITH_DRIVE_LETTER = /^[a-zA-Z][:|](?:$|[/\\?#])/;
  const SINGLE_DOT = /^(?:\.|%2e)$/i;
  const DOUBLE_DOT = /^(?:\.|%2e){2}$/i;

  function newRecord() {
    return { __proto__: null, scheme: "", username: "", password: "", host: null, port: null, path: makeList(), query: null, fragment: null };
  }

  function copyPath(path) {
    if (typeof path === "string") return path;
    const copy = makeList();
    for (let index = 0; index < path.length; index++) copy[index] = path[index];
    return copy;
  }

  function shortenPath(record) {
    const { path } = record;
    if (record.scheme === "file" && path.length === 1 && matches(NORMALIZED_DRIVE_LETTER, path[0])) return;
    if (path.length > 0) path.length--;
  }

  function copyAuthority(record, base) {
    record.username = base.username;
    record.password = base.password;
    record.host = base.host;
    record.port = base.port;
  }

  function startQuery(m) {
    m.record.query = "";
    m.state = "query";
  }

  function startFragment(m) {
    m.record.fragment = "";
    m.state = "fragment";
  }

  // Goes to another state, which looks at the same code unit again.
  function again(m, state) {
    m.state = state;
    m.pointer--;
  }

  const isSlash = (m, c) => c === "/" || (c === "\\" && isSpecial(m.record));
  const endsAuthority = (m, c) => c === "" || c === "/" || c === "?" || c === "#" || (c === "\\" && isSpecial(m.record));

  const STATES = {
    __proto__: null,

    schemeStart(m, c) {
      if (isAlpha(c)) {
        m.buffer += stringToLowerCase(c);
        m.state = "scheme";
      } else if (m.override === null) again(m, "noScheme");
      else return FAILURE;
    },

    scheme(m, c) {
      const { record, base } = m;
      if (isAlpha(c) || isDigit(c) || c === "+" || c === "-" || c === ".") {
        m.buffer += stringToLowerCase(c);
        return;
      }
      if (c !== ":") {
        if (m.override !== null) return FAILURE;
        m.buffer = "";
        m.state = "noScheme";
        m.pointer = -1;
        return;
      }
      if (m.override !== null) {
        if (isSpecial(record) !== isSpecialScheme(m.buffer)) return DONE;
        if ((hasCredentials(record) || record.port !== null) && m.buffer === "file") return DONE;
        if (record.scheme === "file" && record.host === "") return DONE;
        record.scheme = m.buffer;
        if (record.port === DEFAULT_PORTS[record.scheme]) record.port = null;
        return DONE;
      }
      record.scheme = m.buffer;
      m.buffer = "";
      if (record.scheme === "file") m.state = "file";
      else if (isSpecial(record)) m.state = base !== null && base.scheme === record.scheme ? "specialRelativeOrAuthority" : "specialAuthoritySlashes";
      else if (m.input[m.pointer + 1] === "/") {
        m.state = "pathOrAuthority";
        m.pointer++;
      } else {
        record.path = "";
        m.state = "opaquePath";
      }
    },

    noScheme(m, c) {
      const { record, base } = m;
      if (base === null || (hasOpaquePath(base) && c !== "#")) return FAILURE;
      if (hasOpaquePath(base)) {
        record.scheme = base.scheme;
        record.path = base.path;
        record.query = base.query;
        startFragment(m);
      } else again(m, base.scheme === "file" ? "file" : "relative");
    },

    specialRelativeOrAuthority(m, c) {
      if (c === "/" && m.input[m.pointer + 1] === "/") {
        m.state = "specialAuthorityIgnoreSlashes";
        m.pointer++;
      } else again(m, "relative");
    },

    pathOrAuthority(m, c) {
      if (c === "/") m.state = "authority";
      else again(m, "path");
    },

    relative(m, c) {
      const { record, base } = m;
      record.scheme = base.scheme;
      if (isSlash(m, c)) {
        m.state = "relativeSlash";
        return;
      }
      copyAuthority(record, base);
      record.path = copyPath(base.path);
      record.query = base.query;
      if (c === "?") startQuery(m);
      else if (c === "#") startFragment(m);
      else if (c !== "") {
        record.query = null;
        shortenPath(record);
        again(m, "path");
      }
    },

    relativeSlash(m, c) {
      if (isSpecial(m.record) && (c === "/" || c === "\\")) m.state = "specialAuthorityIgnoreSlashes";
      else if (c === "/") m.state = "authority";
      else {
        copyAuthority(m.record, m.base);
        again(m, "path");
      }
    },

    specialAuthoritySlashes(m, c) {
      if (c === "/" && m.input[m.pointer + 1] === "/") {
        m.state = "specialAuthorityIgnoreSlashes";
        m.pointer++;
      } else again(m, "specialAuthorityIgnoreSlashes");
    },

    specialAuthorityIgnoreSlashes(m, c) {
      if (c !== "/" && c !== "\\") again(m, "authority");
    },

    authority(m, c) {
      if (c === "@") {
        addCredentials(m.record, m);
        m.buffer = "";
      } else if (endsAuthority(m, c)) {
        if (m.atSignSeen && m.buffer === "") return FAILURE;
        m.pointer -= m.buffer.length + 1;
        m.buffer = "";
        m.state = "host";
      } else m.buffer += c;
    },

    host(m, c) {
      const { record } = m;
      if (m.override !== null && record.scheme === "file") {
        again(m, "fileHost");
      } else if (c === ":" && !m.insideBrackets) {
        if (m.buffer === "" || m.override === "hostname") return FAILURE;
        if (!takeHost(m)) return FAILURE;
        m.state = "port";
      } else if (endsAuthority(m, c)) {
        m.pointer--;
        if (isSpecial(record) && m.buffer === "") return FAILURE;
        if (m.override !== null && m.buffer === "" && (hasCredentials(record) || record.port !== null)) return FAILURE;
        if (!takeHost(m)) return FAILURE;
        m.state = "pathStart";
        if (m.override !== null) return DONE;
      } else {
        if (c === "[") m.insideBrackets = true;
        if (c === "]") m.insideBrackets = false;
        m.buffer += c;
      }
    },

    hostname: (m, c) => STATES.host(m, c),

    port(m, c) {
      const { record } = m;
      if (isDigit(c)) m.buffer += c;
      else if (endsAuthority(m, c) || m.override !== null) {
        if (m.buffer !== "") {
          const port = numberOf(m.buffer);
          if (port > 65535) return FAILURE;
          record.port = port === DEFAULT_PORTS[record.scheme] ? null : port;
          m.buffer = "";
          if (m.override !== null) return DONE;
        }
        if (m.override !== null) return FAILURE;
        again(m, "pathStart");
      } else return FAILURE;
    },

    file(m, c) {
      const { record, base } = m;
      record.scheme = "file";
      record.host = "";
      if (c === "/" || c === "\\") m.state = "fileSlash";
      else if (base !== null && base.scheme === "file") {
        record.host = base.host;
        record.path = copyPath(base.path);
        record.query = base.query;
        if (c === "?") startQuery(m);
        else if (c === "#") startFragment(m);
        else if (c !== "") {
          record.query = null;
          if (startsWithDriveLetter(m)) record.path = makeList();
          else shortenPath(record);
          again(m, "path");
        }
      } else again(m, "path");
    },

    fileSlash(m, c) {
      const { record, base } = m;
      if (c === "/" || c === "\\") {
        m.state = "fileHost";
        return;
      }
      if (base !== null && base.scheme === "file") {
        record.host = base.host;
        if (!startsWithDriveLetter(m) && base.path.length > 0 && matches(NORMALIZED_DRIVE_LETTER, base.path[0])) record.path[0] = base.path[0];
      }
      again(m, "path");
    },

    fileHost(m, c) {
      const { record } = m;
      if (c !== "" && c !== "/" && c !== "\\" && c !== "?" && c !== "#") {
        m.buffer += c;
        return;
      }
      m.pointer--;
      if (m.override === null && matches(DRIVE_LETTER, m.buffer)) {
        m.state = "path"; // the buffer is the start of the path
        return;
      }
      if (m.buffer === "") record.host = "";
      else {
        if (!takeHost(m)) return FAILURE;
        if (record.host === "localhost") record.host = "";
      }
      if (m.override !== null) return DONE;
      m.state = "pathStart";
    },

    pathStart(m, c) {
      const { record } = m;
      if (isSpecial(record)) {
        m.state = "path";
        if (c !== "/" && c !== "\\") m.pointer--;
      } else if (m.override === null && c === "?") startQuery(m);
      else if (m.override === null && c === "#") startFragment(m);
      else if (c !== "") {
        m.state = "path";
        if (c !== "/") m.pointer--;
      } else if (m.override !== null && record.host === null) record.path[record.path.length] = "";
    },

    path(m, c) {
      const ends = c === "" || isSlash(m, c) || (m.override === null && (c === "?" || c === "#"));
      if (!ends) {
        m.buffer += c;
        return;
      }
      addSegment(m.record, m.buffer, isSlash(m, c));
      m.buffer = "";
      if (c === "?") startQuery(m);
      if (c === "#") startFragment(m);
    },

    opaquePath(m, c) {
      const { record } = m;
      if (c !== "" && c !== "?" && c !== "#") {
        m.buffer += c;
        return;
      }
      let path = percentEncode(m.buffer, C0);
      // Else the space would be lost when what follows is taken away and the URL parsed again.
      if (c !== "" && path[path.length - 1] === " ") path = `${stringSlice(path, 0, -1)}%20`;
      record.path = path;
      m.buffer = "";
      if (c === "?") startQuery(m);
      if (c === "#") startFragment(m);
    },

    query(m, c) {
      if (c !== "" && (c !== "#" || m.override !== null)) {
        m.buffer += c;
        return;
      }
      m.record.query += percentEncode(m.buffer, isSpecial(m.record) ? SPECIAL_QUERY : QUERY);
      m.buffer = "";
      if (c === "#") startFragment(m);
    },

    fragment(m, c) {
      if (c !== "") m.buffer += c;
      else m.record.fragment += percentEncode(m.buffer, FRAGMENT);
    },
  };

  function addCredentials(record, m) {
    const text = m.atSignSeen ? `%40${m.buffer}` : m.buffer;
    m.atSignSeen = true;
    let start = 0;
    for (let at = 0; at < text.length && !m.passwordSeen; at++) {
      if (text[at] !== ":") continue;
      record.username += percentEncode(stringSlice(text, 0, at), USERINFO);
      m.passwordSeen = true;
      start = at + 1;
    }
    const rest = percentEncode(stringSlice(text, start), USERINFO);
    if (m.passwordSeen) record.password += rest;
    else record.username += rest;
  }

  function takeHost(m) {
    const host = parseHost(m.buffer, !isSpecial(m.record));
    m.buffer = "";
    if (host !== null) m.record.host = host;
    return host !== null;
  }

  function startsWithDriveLetter(m) {
    return matches(STARTS_WITH_DRIVE_LETTER, stringSlice(m.input, m.pointer, m.pointer + 3));
  }

  function addSegment(record, segment, isFollowed) {
    const { path } = record;
    if (matches(DOUBLE_DOT, segment)) {
      shortenPath(record);
      if (!isFollowed) path[path.length] = "";
    } else if (matches(SINGLE_DOT, segment)) {
      if (!isFollowed) path[path.length] = "";
    } else {
      if (record.scheme === "file" && path.length === 0 && matches(DRIVE_LETTER, segment)) segment = `${segment[0]}:`;
      path[path.length] = percentEncode(segment, PATH);
    }
  }

  function strip(input) {
    let start = 0, end = input.length;
    while (start < end && input[start] <= " ") start++;
    while (end > start && input[end - 1] <= " ") end--;
    return stringSlice(input, start, end);
  }

  function withoutTabsAndNewlines(input) {
    let kept = "", start = 0;
    for (let at = 0; at < input.length; at++) {
      if (input[at] !== "\t" && input[at] !== "\n" && input[at] !== "\r") continue;
      kept += stringSlice(input, start, at);
      start = at + 1;
    }
    return start === 0 ? input : kept + stringSlice(input, start);
  }

  // A new record, or null where `input` is no URL. `input` is well formed.
  function parse(input, base) {
    const record = newRecord();
    return run(withoutTabsAndNewlines(strip(input)), base, record, null, "schemeStart") ? record : null;
  }

  // Parses `input` as one part of a URL, from the state `override` on, and changes `record`.
  function parsePart(input, record, override) {
    return run(withoutTabsAndNewlines(input), null, record, override, override);
  }

  function run(input, base, record, override, state) {
    const m = { __proto__: null, input, base, record, override, state, pointer: 0, buffer: "", atSignSeen: false, passwordSeen: false, insideBrackets: false };
    for (; m.pointer <= input.length; m.pointer++) {
      const ended = STATES[m.state](m, m.pointer < input.length ? input[m.pointer] : "");
      if (ended !== undefined) return ended;
    }
    return true;
  }

  // -- serializing ------------------------------------------------------------------------------

  function serializePath(record) {
    if (hasOpaquePath(record)) return record.path;
    let text = "";
    for (let index = 0; index < record.path.length; index++) text += `/${record.path[index]}`;
    return text;
  }

  function serialize(record) {
    let text = `${record.scheme}:`;
    if (record.host !== null) {
      text += "//";
      if (hasCredentials(record)) text += `${record.username}${record.password === "" ? "" : `:${record.password}`}@`;
      text += serializeHostAndPort(record);
    } else if (!hasOpaquePath(record) && record.path.length > 1 && record.path[0] === "") text += "/.";
    text += serializePath(record);
    if (record.query !== null) text += `?${record.query}`;
    if (record.fragment !== null) text += `#${record.fragment}`;
    return text;
  }

  function serializeHostAndPort(record) {
    return record.port === null ? record.host : `${record.host}:${record.port}`;
  }

  function serializeOrigin(record) {
    if (record.scheme === "blob") {
      const inner = hasOpaquePath(record) ? parse(record.path, null) : null;
      return inner !== null && (inner.scheme === "http" || inner.scheme === "https") ? serializeOrigin(inner) : "null";
    }
    return isSpecial(record) && record.scheme !== "file" ? `${record.scheme}://${serializeHostAndPort(record)}` : "null";
  }

  url.parse = parse;
  url.parsePart = parsePart;
  url.serialize = serialize;
  url.serializePath = serializePath;
  url.serializeHostAndPort = serializeHostAndPort;
  url.serializeOrigin = serializeOrigin;
  url.hasOpaquePath = hasOpaquePath;
})
