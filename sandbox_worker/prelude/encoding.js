// TextEncoder and TextDecoder, after the Encoding Standard, for UTF-8, UTF-16LE, UTF-16BE and windows-1252
// (which is what the labels latin1, iso-8859-1 and ascii mean); other labels are refused with a RangeError.
(function (core) {
  "use strict";

  const {
    makeList, apply, fromCharCode, isView, stringCharCodeAt, stringToLowerCase, stringSlice, toUSVString, toDictionary,
    typedArraySlice, typedArrayName, typedArrayLength, Uint8ArrayConstructor,
    TypeErrorConstructor, RangeErrorConstructor, requireArguments,
  } = core;

  const CHUNK = 8192; // code units that one call of String.fromCharCode takes
  const REPLACEMENT = 0xfffd;

  // -- UTF-8 in ---------------------------------------------------------------------------------

  core.encodeUtf8 = (text) => {
    let size = text.length;
    for (let at = 0; at < text.length; at++) {
      const code = stringCharCodeAt(text, at);
      if (code >= 0x80) size += code < 0x800 ? 1 : 2; // two more for either half of a pair, of which encodeInto uses one
    }
    const bytes = new Uint8ArrayConstructor(size);
    const { written } = encodeInto(text, bytes, size);
    return written === size ? bytes : typedArraySlice(bytes, 0, written);
  };

  // Writes whole characters of `text`, lone surrogates as U+FFFD, while they fit.
  function encodeInto(text, bytes, capacity) {
    const { length } = text;
    let read = 0, written = 0;
    while (read < length) {
      let code = stringCharCodeAt(text, read), units = 1;
      if (code < 0x80) {
        if (written >= capacity) break;
        bytes[written++] = code;
        read++;
        continue;
      }
      if (code >= 0xd800 && code <= 0xdfff) {
        const next = code < 0xdc00 && read + 1 < length ? stringCharCodeAt(text, read + 1) : 0;
        if (next >= 0xdc00 && next <= 0xdfff) {
          code = 0x10000 + ((code - 0xd800) << 10) + (next - 0xdc00);
          units = 2;
        } else code = REPLACEMENT;
      }
      const size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
      if (written + size > capacity) break;
      if (size === 2) bytes[written++] = 0xc0 | (code >> 6);
      else {
        if (size === 3) bytes[written++] = 0xe0 | (code >> 12);
        else {
          bytes[written++] = 0xf0 | (code >> 18);
          bytes[written++] = 0x80 | ((code >> 12) & 0x3f);
        }
        bytes[written++] = 0x80 | ((code >> 6) & 0x3f);
      }
      bytes[written++] = 0x80 | (code & 0x3f);
      read += units;
    }
    return { read, written };
  }

  class TextEncoder {
    #brand;

    get encoding() {
      this.#brand;
      return "utf-8";
    }

    encode(input = "") {
      this.#brand;
      return core.encodeUtf8(toUSVString(input));
    }

    encodeInto(source, destination) {
      this.#brand;
      requireArguments(arguments.length, 2, "encodeInto");
      const text = `${source}`;
      if (typedArrayNameOf(destination) !== "Uint8Array") throw new TypeErrorConstructor("the second argument of encodeInto is not a Uint8Array");
      return encodeInto(text, destination, typedArrayLength(destination));
    }
  }

  function typedArrayNameOf(value) {
    return typeof value === "object" && value !== null ? typedArrayName(value) : undefined;
  }

  // -- bytes ------------------------------------------------------------------------------------

  // The bytes of a BufferSource, not copied.
  core.bytesOf = (source, what) => {
    if (isView(source)) {
      return typedArrayName(source) === undefined
        ? new Uint8ArrayConstructor(core.dataViewBuffer(source), core.dataViewByteOffset(source), core.dataViewByteLength(source))
        : new Uint8ArrayConstructor(core.typedArrayBuffer(source), core.typedArrayByteOffset(source), core.typedArrayByteLength(source));
    }
    try {
      core.arrayBufferByteLength(source);
    } catch {
      throw new TypeErrorConstructor(`${what} is neither an ArrayBuffer nor a view on one`);
    }
    return core.arrayBufferDetached(source) ? new Uint8ArrayConstructor(0) : new Uint8ArrayConstructor(source);
  };

  // Collects code units, and turns them into text a chunk at a time.
  function makeOutput() {
    const units = makeList(); // a list, since apply would ask a typed array for its length, which a script may have patched
    let text = "", used = 0;
    const flush = () => {
      units.length = used;
      text += apply(fromCharCode, undefined, units);
      used = 0;
    };
    return {
      __proto__: null,
      add(code) {
        if (code > 0xffff) {
          units[used++] = 0xd800 + ((code - 0x10000) >> 10);
          code = 0xdc00 + ((code - 0x10000) & 0x3ff);
        }
        units[used++] = code;
        if (used >= CHUNK) flush();
      },
      // Plain ASCII from `start` on; returns where it ends.
      addAscii(bytes, start, end) {
        let at = start;
        while (at < end && bytes[at] < 0x80) {
          if (used >= CHUNK) flush();
          const stop = at + CHUNK - used < end ? at + CHUNK - used : end;
          while (at < stop && bytes[at] < 0x80) units[used++] = bytes[at++];
        }
        return at;
      },
      finish() {
        flush();
        return text;
      },
    };
  }

  const malformed = () => new TypeErrorConstructor("the data is not valid for its encoding");

  // -- decoders: each has decode(bytes, output, isLast), and keeps what a stream left unfinished ----

  function makeUtf8Decoder(fatal) {
    let code = 0, needed = 0, lower = 0x80, upper = 0xbf;
    const reset = () => {
      code = needed = 0;
      lower = 0x80;
      upper = 0xbf;
    };
    const fail = (output) => {
      reset();
      if (fatal) throw malformed();
      output.add(REPLACEMENT);
    };
    return (bytes, output, isLast) => {
      const end = typedArrayLength(bytes);
      for (let at = 0; at < end; ) {
        const byte = bytes[at];
        if (needed === 0) {
          if (byte < 0x80) at = output.addAscii(bytes, at, end);
          else {
            at++;
            if (byte >= 0xc2 && byte <= 0xdf) {
              needed = 1;
              code = byte & 0x1f;
            } else if (byte >= 0xe0 && byte <= 0xef) {
              if (byte === 0xe0) lower = 0xa0;
              else if (byte === 0xed) upper = 0x9f;
              needed = 2;
              code = byte & 0x0f;
            } else if (byte >= 0xf0 && byte <= 0xf4) {
              if (byte === 0xf0) lower = 0x90;
              else if (byte === 0xf4) upper = 0x8f;
              needed = 3;
              code = byte & 0x07;
            } else fail(output);
          }
          continue;
        }
        if (byte < lower || byte > upper) {
          fail(output); // the byte is looked at again, as the start of a character
          continue;
        }
        at++;
        lower = 0x80;
        upper = 0xbf;
        code = (code << 6) | (byte & 0x3f);
        if (--needed === 0) output.add(code);
      }
      if (isLast && needed > 0) fail(output);
    };
  }

  function makeUtf16Decoder(fatal, isBigEndian) {
    let first = -1, lead = -1; // half a code unit, half a surrogate pair
    return (bytes, output, isLast) => {
      const fail = () => {
        lead = -1;
        if (fatal) {
          first = -1;
          throw malformed();
        }
        output.add(REPLACEMENT);
      };
      for (let at = 0, end = typedArrayLength(bytes); at < end; at++) {
        if (first < 0) {
          first = bytes[at];
          continue;
        }
        const unit = isBigEndian ? (first << 8) | bytes[at] : (bytes[at] << 8) | first;
        first = -1;
        const isTrail = unit >= 0xdc00 && unit <= 0xdfff;
        if (lead >= 0) {
          if (isTrail) {
            output.add(0x10000 + ((lead - 0xd800) << 10) + (unit - 0xdc00));
            lead = -1;
            continue;
          }
          fail();
        }
        if (unit >= 0xd800 && unit <= 0xdbff) lead = unit;
        else if (isTrail) fail();
        else output.add(unit);
      }
      if (isLast && (first >= 0 || lead >= 0)) {
        first = -1;
        fail();
      }
    };
  }

  // windows-1252 is Latin-1 but for 0x80 to 0x9f.
  const WINDOWS_1252 =
    "\u20ac\x81\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\x8d\u017d\x8f" +
    "\x90\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\x9d\u017e\u0178";

  function decodeWindows1252(bytes, output) {
    for (let at = 0, end = typedArrayLength(bytes); at < end; at++) {
      const byte = bytes[at];
      output.add(byte >= 0x80 && byte <= 0x9f ? stringCharCodeAt(WINDOWS_1252, byte - 0x80) : byte);
    }
  }

  // -- TextDecoder ------------------------------------------------------------------------------

  const LABELS = {
    "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8",
    "utf-16le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le",
    "utf-16be": "unicodefffe utf-16be",
    "windows-1252":
      "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252",
  };
  const encodings = core.create(null);
  for (const [name, labels] of Object.entries(LABELS)) for (const label of labels.split(" ")) encodings[label] = name;

  function trimmed(label) {
    const isSpace = (char) => char === " " || char === "\t" || char === "\n" || char === "\f" || char === "\r";
    let start = 0, end = label.length;
    while (start < end && isSpace(label[start])) start++;
    while (end > start && isSpace(label[end - 1])) end--;
    return stringToLowerCase(stringSlice(label, start, end));
  }

  class TextDecoder {
    #encoding;
    #fatal;
    #ignoreBOM;
    #decode = null; // while a stream is under way
    #isStart = true; // nothing decoded yet: a byte order mark may come

    constructor(label = "utf-8", options = undefined) {
      const encoding = encodings[trimmed(`${label}`)];
      if (encoding === undefined) throw new RangeErrorConstructor(`the encoding ${core.quote(stringSlice(`${label}`, 0, 100))} is not supported`);
      const given = toDictionary(options, "the second argument of TextDecoder");
      this.#encoding = encoding;
      this.#fatal = !!given.fatal;
      this.#ignoreBOM = !!given.ignoreBOM;
    }

    get encoding() { return this.#encoding; }
    get fatal() { return this.#fatal; }
    get ignoreBOM() { return this.#ignoreBOM; }

    decode(input = undefined, options = undefined) {
      const isLast = !toDictionary(options, "the second argument of decode").stream;
      if (this.#decode === null) {
        this.#decode = this.#makeDecoder();
        this.#isStart = true;
      }
      const decode = this.#decode;
      const bytes = input === undefined ? new Uint8ArrayConstructor(0) : core.bytesOf(input, "the first argument of decode");
      const output = makeOutput();
      if (isLast) this.#decode = null;
      decode(bytes, output, isLast);
      const text = output.finish();
      if (!this.#isStart || text === "") return text;
      this.#isStart = false;
      const hasMark = this.#encoding !== "windows-1252" && stringCharCodeAt(text, 0) === 0xfeff;
      return hasMark && !this.#ignoreBOM ? stringSlice(text, 1) : text;
    }

    #makeDecoder() {
      if (this.#encoding === "utf-8") return makeUtf8Decoder(this.#fatal);
      if (this.#encoding === "windows-1252") return decodeWindows1252;
      return makeUtf16Decoder(this.#fatal, this.#encoding === "utf-16be");
    }
  }

  core.decodeUtf8 = (bytes) => {
    const output = makeOutput();
    makeUtf8Decoder(false)(bytes, output, true);
    return output.finish();
  };

  core.makeOutput = makeOutput;
  core.defineClass(TextEncoder);
  core.defineClass(TextDecoder);
})
