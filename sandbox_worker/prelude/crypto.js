// crypto.getRandomValues and crypto.randomUUID, after Web Cryptography. The bytes come from the host, which asks
// the operating system; a small pool saves calls. The pool is empty until the first use, so no fork shares it.
(function (core, host) {
  "use strict";

  const {
    numberToString, parseInteger, stringSlice, stringCharCodeAt, typedArrayName, Uint8ArrayConstructor, DOMException,
    TypeErrorConstructor, requireArguments,
  } = core;

  const MAX_BYTES = 65_536;
  const POOL_BYTES = 256;
  const INTEGER_ARRAYS = {
    __proto__: null,
    Int8Array: true, Uint8Array: true, Uint8ClampedArray: true, Int16Array: true, Uint16Array: true,
    Int32Array: true, Uint32Array: true, BigInt64Array: true, BigUint64Array: true,
  };
  const internal = {}; // given to the constructor, which scripts may not call

  let pool = ""; // hexadecimal digits that nobody has seen

  // `count` random bytes as hexadecimal digits.
  function randomHex(count) {
    if (count > POOL_BYTES / 4) return hostRandom(count);
    if (pool.length < count * 2) pool = hostRandom(POOL_BYTES);
    const taken = stringSlice(pool, 0, count * 2);
    pool = stringSlice(pool, count * 2);
    return taken;
  }

  function hostRandom(count) {
    const hex = host.random(`${count}`);
    if (hex.length !== count * 2) throw new DOMException("there is no randomness to be had", "OperationError");
    return hex;
  }

  const nibble = (code) => (code < 0x3a ? code - 0x30 : code - 0x57);

  function fill(bytes) {
    const length = core.typedArrayLength(bytes);
    const hex = randomHex(length);
    for (let at = 0; at < length; at++) {
      bytes[at] = (nibble(stringCharCodeAt(hex, 2 * at)) << 4) | nibble(stringCharCodeAt(hex, 2 * at + 1));
    }
  }

  class Crypto {
    #brand;

    constructor(token = undefined) {
      if (token !== internal) throw new TypeErrorConstructor("Illegal constructor");
    }

    getRandomValues(array) {
      this.#brand;
      requireArguments(arguments.length, 1, "getRandomValues");
      const kind = typeof array === "object" && array !== null ? typedArrayName(array) : undefined;
      if (kind === undefined && !core.isView(array)) throw new TypeErrorConstructor("the argument of getRandomValues is not a typed array");
      if (!(kind in INTEGER_ARRAYS)) throw new DOMException("getRandomValues fills typed arrays of integers only", "TypeMismatchError");
      const length = core.typedArrayByteLength(array);
      if (length > MAX_BYTES) throw new DOMException(`getRandomValues fills at most ${MAX_BYTES} bytes at a time, not ${length}`, "QuotaExceededError");
      fill(new Uint8ArrayConstructor(core.typedArrayBuffer(array), core.typedArrayByteOffset(array), length));
      return array;
    }

    randomUUID() {
      this.#brand;
      const hex = randomHex(16);
      const variant = numberToString((parseInteger(hex[16], 16) & 3) | 8, 16);
      const part = (start, end) => stringSlice(hex, start, end);
      return `${part(0, 8)}-${part(8, 12)}-4${part(13, 16)}-${variant}${part(17, 20)}-${part(20, 32)}`;
    }
  }

  core.defineClass(Crypto);
  core.define("crypto", new Crypto(internal));
})
