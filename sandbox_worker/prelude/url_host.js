// The host parser and the percent-encode sets of the URL Standard.
//
// Domains are brought to ASCII by an approximation of UTS #46 that needs no tables: NFKC and lower case in place of
// its mapping, general categories in place of its list of disallowed code points, a simple rule
// for joiners, and no bidi rule.
(function (core) {
  "use strict";

  const {
    makeList, encodeUtf8, decodeUtf8, fromCodePoint, fromCharCode, stringCharCodeAt, stringCodePointAt, stringSlice, stringSplit, stringIncludes,
    stringLastIndexOf, stringEndsWith, stringStartsWith, stringNormalize, stringToLowerCase, stringToUpperCase, stringPadStart,
    numberToString, numberOf, floor, regExpExec, typedArraySubarray, typedArrayLength,
  } = core;

  const Uint16ArrayConstructor = Uint16Array;

  // -- percent-encoding -------------------------------------------------------------------------

  const C0 = 1, FRAGMENT = 2, QUERY = 4, SPECIAL_QUERY = 8, PATH = 16, USERINFO = 32, COMPONENT = 64, FORM = 128;
  const encodeSets = new Uint8Array(128); // character code → the sets it is in
  const addTo = (sets, characters) => {
    for (const character of characters) encodeSets[character.charCodeAt(0)] |= sets;
  };
  for (let code = 0; code < 128; code++) if (code < 0x20 || code === 0x7f) encodeSets[code] = 255;
  addTo(FRAGMENT, ' "<>`');
  addTo(QUERY | SPECIAL_QUERY | PATH | USERINFO | COMPONENT | FORM, ' "#<>');
  addTo(SPECIAL_QUERY, "'");
  addTo(PATH | USERINFO | COMPONENT | FORM, "?^`{}");
  addTo(USERINFO | COMPONENT | FORM, "/:;=@[\\]|");
  addTo(COMPONENT | FORM, "$%&+,");
  addTo(FORM, "!'()~");

  const percent = (byte) => `%${stringToUpperCase(stringPadStart(numberToString(byte, 16), 2, "0"))}`;

  // `text` in UTF-8 with what is in `set`, or not ASCII, as %XX.
  function percentEncode(text, set) {
    let result = "", start = 0;
    for (let at = 0; at < text.length; at++) {
      const code = stringCharCodeAt(text, at);
      if (code < 128 && (encodeSets[code] & set) === 0) continue;
      let end = at + 1;
      if (code >= 128) while (end < text.length && stringCharCodeAt(text, end) >= 128) end++;
      const bytes = encodeUtf8(stringSlice(text, at, end));
      result += stringSlice(text, start, at);
      for (let index = 0, count = typedArrayLength(bytes); index < count; index++) result += percent(bytes[index]);
      at = end - 1;
      start = end;
    }
    return start === 0 ? text : result + stringSlice(text, start);
  }

  const hexValue = (code) => {
    if (code >= 0x30 && code <= 0x39) return code - 0x30;
    const lower = code | 0x20;
    return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
  };

  function percentDecode(text) {
    if (!stringIncludes(text, "%")) return text;
    const bytes = encodeUtf8(text);
    const length = typedArrayLength(bytes);
    let written = 0;
    for (let at = 0; at < length; at++) {
      let byte = bytes[at];
      if (byte === 0x25 && at + 2 < length) {
        const high = hexValue(bytes[at + 1]), low = hexValue(bytes[at + 2]);
        if (high >= 0 && low >= 0) {
          byte = high * 16 + low;
          at += 2;
        }
      }
      bytes[written++] = byte;
    }
    return decodeUtf8(typedArraySubarray(bytes, 0, written));
  }

  // -- Punycode (RFC 3492) ----------------------------------------------------------------------

  const BASE = 36, T_MIN = 1, T_MAX = 26, SKEW = 38, DAMP = 700, INITIAL_BIAS = 72, INITIAL_N = 128;
  const MAX_CODE_POINT = 0x10ffff;

  function adapt(delta, count, isFirst) {
    delta = isFirst ? floor(delta / DAMP) : delta >> 1;
    delta += floor(delta / count);
    let k = 0;
    for (; delta > ((BASE - T_MIN) * T_MAX) >> 1; k += BASE) delta = floor(delta / (BASE - T_MIN));
    return k + floor(((BASE - T_MIN + 1) * delta) / (delta + SKEW));
  }

  const threshold = (k, bias) => (k <= bias ? T_MIN : k >= bias + T_MAX ? T_MAX : k - bias);
  const digitOf = (value) => fromCharCode(value < 26 ? value + 0x61 : value - 26 + 0x30);

  function codePointsOf(text) {
    const points = makeList();
    for (let at = 0; at < text.length; ) {
      const point = stringCodePointAt(text, at);
      points[points.length] = point;
      at += point > 0xffff ? 2 : 1;
    }
    return points;
  }

  function punycodeEncode(label) {
    const points = codePointsOf(label);
    let output = "";
    for (let index = 0; index < points.length; index++) if (points[index] < 128) output += fromCharCode(points[index]);
    const basic = output.length;
    let handled = basic, n = INITIAL_N, delta = 0, bias = INITIAL_BIAS;
    if (basic > 0) output += "-";
    while (handled < points.length) {
      let next = MAX_CODE_POINT;
      for (let index = 0; index < points.length; index++) if (points[index] >= n && points[index] < next) next = points[index];
      delta += (next - n) * (handled + 1);
      n = next;
      for (let index = 0; index < points.length; index++) {
        if (points[index] < n) delta++;
        if (points[index] !== n) continue;
        let q = delta;
        for (let k = BASE; ; k += BASE) {
          const t = threshold(k, bias);
          if (q < t) break;
          output += digitOf(t + ((q - t) % (BASE - t)));
          q = floor((q - t) / (BASE - t));
        }
        output += digitOf(q);
        bias = adapt(delta, handled + 1, handled === basic);
        delta = 0;
        handled++;
      }
      delta++;
      n++;
    }
    return output;
  }

  // null for what is no Punycode.
  function punycodeDecode(text) {
    const delimiter = stringLastIndexOf(text, "-");
    let points = codePointsOf(delimiter > 0 ? stringSlice(text, 0, delimiter) : "");
    let n = INITIAL_N, i = 0, bias = INITIAL_BIAS;
    for (let at = delimiter > 0 ? delimiter + 1 : 0; at < text.length; ) {
      const old = i;
      for (let w = 1, k = BASE; ; k += BASE) {
        if (at >= text.length) return null;
        const code = stringCharCodeAt(text, at++) | 0x20;
        const digit = code >= 0x61 && code <= 0x7a ? code - 0x61 : code >= 0x30 && code <= 0x39 ? code - 0x30 + 26 : BASE;
        if (digit >= BASE) return null;
        i += digit * w;
        const t = threshold(k, bias);
        if (digit < t) break;
        w *= BASE - t;
        if (i > 0x7fffffff || w > 0x7fffffff) return null;
      }
      bias = adapt(i - old, points.length + 1, old === 0);
      n += floor(i / (points.length + 1));
      i %= points.length + 1;
      if (n > MAX_CODE_POINT || (n >= 0xd800 && n <= 0xdfff)) return null;
      const longer = makeList();
      for (let index = 0; index <= points.length; index++) longer[index] = index < i ? points[index] : index === i ? n : points[index - 1];
      points = longer;
      i++;
    }
    let decoded = "";
    for (let index = 0; index < points.length; index++) decoded += fromCodePoint(points[index]);
    return decoded;
  }

  // -- domains ----------------------------------------------------------------------------------

  const IGNORED = /[\u00ad\u034f\u180b-\u180d\u180f\u200b\u2060\u2064\ufe00-\ufe0f\ufeff]|\u{1bca0}|[\u{e0100}-\u{e01ef}]/u;
  const DISALLOWED = /[\p{Cn}\p{Co}\p{Cs}\p{Cc}\p{Zl}\p{Zp}\u061c\u06dd\u070f\u08e2\u180e\u200e\u200f\u202a-\u202e\u2061-\u2063\u2066-\u206f\u2ff0-\u2fff\u31e3\ufff9-\ufffd]|[\u{e0001}-\u{e007f}]/u;
  const STARTS_WITH_MARK = /^\p{M}/u;
  const LONE_JOINER = /(?:^|[^\p{M}\p{Script=Arabic}\p{Script=Syriac}])\u200c|(?:^|\P{M})\u200d/u;
  const matches = (pattern, text) => regExpExec(pattern, text) !== null;

  function isAscii(text) {
    for (let at = 0; at < text.length; at++) if (stringCharCodeAt(text, at) >= 128) return false;
    return true;
  }

  function mapDomain(domain) {
    let kept = "";
    const points = codePointsOf(domain);
    for (let index = 0; index < points.length; index++) {
      const character = fromCodePoint(points[index]);
      if (points[index] >= 128 && matches(IGNORED, character)) continue;
      // One at a time: a capital sigma is to become σ wherever it stands. The capital sharp s becomes ß.
      if (points[index] === 0x3002) kept += ".";
      else kept += points[index] === 0x1e9e ? "ß" : stringToLowerCase(stringNormalize(character, "NFKC"));
    }
    return stringNormalize(stringToLowerOneByOne(stringNormalize(kept, "NFKC")), "NFC");
  }

  function stringToLowerOneByOne(text) {
    let lower = "";
    for (let at = 0; at < text.length; ) {
      const character = fromCodePoint(stringCodePointAt(text, at));
      lower += character === "\u3002" ? "." : stringToLowerCase(character);
      at += character.length;
    }
    return lower;
  }

  function isValidLabel(label) {
    return !matches(DISALLOWED, label) && !matches(STARTS_WITH_MARK, label) && !matches(LONE_JOINER, label);
  }

  // null for a domain that cannot be one.
  function domainToAscii(domain) {
    const mapped = isAscii(domain) ? stringToLowerCase(domain) : mapDomain(domain);
    const labels = stringSplit(mapped, ".");
    let result = "";
    for (let index = 0; index < labels.length; index++) {
      let label = labels[index];
      if (stringStartsWith(label, "xn--")) {
        if (!isAscii(label)) return null;
        const decoded = punycodeDecode(stringSlice(label, 4));
        if (decoded === null || decoded === "" || isAscii(decoded) || !isValidLabel(decoded) || mapDomain(decoded) !== decoded) return null;
        if (`xn--${punycodeEncode(decoded)}` !== label) return null;
      } else if (!isAscii(label)) {
        if (!isValidLabel(label)) return null;
        label = `xn--${punycodeEncode(label)}`;
      }
      result += (index === 0 ? "" : ".") + label;
    }
    return result === "" ? null : result;
  }

  // -- IPv4 and IPv6 ----------------------------------------------------------------------------

  const DECIMAL = /^[0-9]+$/, OCTAL = /^[0-7]*$/, HEXADECIMAL = /^[0-9a-fA-F]*$/;

  function parseIPv4Number(text) {
    if (text === "") return null;
    if (stringStartsWith(text, "0x") || stringStartsWith(text, "0X")) {
      const digits = stringSlice(text, 2);
      return matches(HEXADECIMAL, digits) ? (digits === "" ? 0 : numberOf(`0x${digits}`)) : null;
    }
    if (text.length > 1 && text[0] === "0") return matches(OCTAL, text) ? numberOf(`0o${text}`) : null;
    return matches(DECIMAL, text) ? numberOf(text) : null;
  }

  function endsInNumber(domain) {
    const parts = stringSplit(domain, ".");
    let count = parts.length;
    if (parts[count - 1] === "") {
      if (count === 1) return false;
      count--;
    }
    return matches(DECIMAL, parts[count - 1]) || parseIPv4Number(parts[count - 1]) !== null;
  }

  function parseIPv4(domain) {
    const parts = stringSplit(domain, ".");
    let count = parts.length;
    if (count > 1 && parts[count - 1] === "") count--;
    if (count > 4) return null;
    let address = 0;
    for (let index = 0; index < count; index++) {
      const number = parseIPv4Number(parts[index]);
      const limit = index === count - 1 ? 256 ** (5 - count) : 256;
      if (number === null || number >= limit) return null;
      address += index === count - 1 ? number : number * 256 ** (3 - index);
    }
    let text = "";
    for (let power = 3; power >= 0; power--) text += `${floor(address / 256 ** power) % 256}${power > 0 ? "." : ""}`;
    return text;
  }

  function parseIPv6(text) {
    const pieces = new Uint16ArrayConstructor(8);
    let piece = 0, compress = -1, at = 0;
    if (text[0] === ":") {
      if (text[1] !== ":") return null;
      at = 2;
      compress = ++piece;
    }
    while (at < text.length) {
      if (piece === 8) return null;
      if (text[at] === ":") {
        if (compress >= 0) return null;
        at++;
        compress = ++piece;
        continue;
      }
      let value = 0, length = 0;
      for (; length < 4 && at < text.length && hexValue(stringCharCodeAt(text, at)) >= 0; length++) {
        value = value * 16 + hexValue(stringCharCodeAt(text, at++));
      }
      if (text[at] === ".") {
        if (length === 0 || piece > 6) return null;
        const low = parseDottedTail(stringSlice(text, at - length));
        if (low === null) return null;
        pieces[piece++] = low >>> 16;
        pieces[piece++] = low & 0xffff;
        at = text.length;
        break;
      }
      if (text[at] === ":") {
        if (++at >= text.length) return null;
      } else if (at < text.length) return null;
      pieces[piece++] = value;
    }
    if (compress >= 0) {
      for (let from = piece - 1, to = 7; to > from && from >= compress; from--, to--) {
        pieces[to] = pieces[from];
        pieces[from] = 0;
      }
    } else if (piece !== 8) return null;
    return serializeIPv6(pieces);
  }

  // The last 32 bits of an IPv6 address as a.b.c.d, each without leading zeros.
  function parseDottedTail(text) {
    const parts = stringSplit(text, ".");
    if (parts.length !== 4) return null;
    let value = 0;
    for (let index = 0; index < 4; index++) {
      const part = parts[index];
      if (!matches(DECIMAL, part) || part.length > 3 || (part.length > 1 && part[0] === "0") || numberOf(part) > 255) return null;
      value = value * 256 + numberOf(part);
    }
    return value;
  }

  function serializeIPv6(pieces) {
    let start = -1, length = 1; // the longest run of zeros, at least two
    for (let at = 0; at < 8; at++) {
      let end = at;
      while (end < 8 && pieces[end] === 0) end++;
      if (end - at > length) {
        start = at;
        length = end - at;
      }
      if (end > at) at = end;
    }
    let text = "[";
    for (let at = 0; at < 8; at++) {
      if (at === start) {
        text += at === 0 ? "::" : ":";
        at += length - 1;
        continue;
      }
      text += numberToString(pieces[at], 16) + (at < 7 ? ":" : "");
    }
    return `${text}]`;
  }

  // -- hosts ------------------------------------------------------------------------------------

  const FORBIDDEN_HOST = /[\0\t\n\r #/:<>?@[\\\]^|]/;
  const FORBIDDEN_DOMAIN = /[\0-\x20#%/:<>?@[\\\]^|\x7f]/;

  // The serialized host, or null where `input` is none. `isOpaque`: of a URL that is not special.
  function parseHost(input, isOpaque) {
    if (input[0] === "[") return stringEndsWith(input, "]") ? parseIPv6(stringSlice(input, 1, -1)) : null;
    if (isOpaque) return matches(FORBIDDEN_HOST, input) ? null : percentEncode(input, C0);
    const domain = domainToAscii(percentDecode(input));
    if (domain === null || matches(FORBIDDEN_DOMAIN, domain)) return null;
    return endsInNumber(domain) ? parseIPv4(domain) : domain;
  }

  core.url = { __proto__: null, C0, FRAGMENT, QUERY, SPECIAL_QUERY, PATH, USERINFO, COMPONENT, FORM, percentEncode, percentDecode, parseHost };
})
