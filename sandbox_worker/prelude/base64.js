// atob and btoa, after the HTML Standard.
(function (core) {
  "use strict";

  const { stringCharCodeAt, requireArguments, DOMException } = core;

  const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const INVALID = 64, SPACE = 65, PAD = 66;
  const digits = new Uint8Array(64); // value → character code
  const values = new Uint8Array(128).fill(INVALID); // character code → value
  for (let value = 0; value < 64; value++) {
    digits[value] = ALPHABET.charCodeAt(value);
    values[digits[value]] = value;
  }
  for (const space of "\t\n\f\r ") values[space.charCodeAt(0)] = SPACE;
  values[0x3d] = PAD;

  const invalid = (message) => new DOMException(message, "InvalidCharacterError");

  const globals = {
    atob(data) {
      requireArguments(arguments.length, 1, "atob");
      const text = `${data}`;
      const output = core.makeOutput();
      let bits = 0, count = 0, pads = 0; // count: characters without spaces and pads
      for (let at = 0; at < text.length; at++) {
        const code = stringCharCodeAt(text, at);
        const value = code < 128 ? values[code] : INVALID;
        if (value === SPACE) continue;
        if (value === PAD) {
          pads++;
          continue;
        }
        if (value === INVALID || pads > 0) throw invalid("the text to decode is not valid base64");
        bits = (bits << 6) | value;
        if ((++count & 3) !== 0) continue;
        output.add((bits >> 16) & 0xff);
        output.add((bits >> 8) & 0xff);
        output.add(bits & 0xff);
        bits = 0;
      }
      const rest = count & 3;
      if (rest === 1 || (pads > 0 && (pads > 2 || rest + pads !== 4))) throw invalid("the text to decode is not valid base64");
      if (rest === 2) output.add((bits >> 4) & 0xff);
      if (rest === 3) {
        output.add((bits >> 10) & 0xff);
        output.add((bits >> 2) & 0xff);
      }
      return output.finish();
    },

    btoa(data) {
      requireArguments(arguments.length, 1, "btoa");
      const text = `${data}`;
      const output = core.makeOutput();
      const { length } = text;
      for (let at = 0; at < length; at += 3) {
        const first = stringCharCodeAt(text, at);
        const second = at + 1 < length ? stringCharCodeAt(text, at + 1) : 0;
        const third = at + 2 < length ? stringCharCodeAt(text, at + 2) : 0;
        if (first > 0xff || second > 0xff || third > 0xff) throw invalid("the text to encode holds a character above U+00FF");
        output.add(digits[first >> 2]);
        output.add(digits[((first & 3) << 4) | (second >> 4)]);
        output.add(at + 1 < length ? digits[((second & 15) << 2) | (third >> 6)] : 0x3d);
        output.add(at + 2 < length ? digits[third & 63] : 0x3d);
      }
      return output.finish();
    },
  };
  for (const name of core.ownKeys(globals)) core.define(name, globals[name]);
})
