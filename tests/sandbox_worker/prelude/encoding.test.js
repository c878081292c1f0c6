const bytesOf = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));

for (const [hex, utf8, isUtf8, utf16, isUtf16, bigEndian] of data.encoding) {
  test(`bytes ${hex}`, () => {
    const bytes = bytesOf(hex);
    assert.equal(new TextDecoder().decode(bytes), utf8);
    assert.equal(new TextDecoder("utf-16le").decode(bytes), utf16);
    assert.equal(new TextDecoder("utf-16be").decode(bytes), bigEndian);
    for (const [label, isValid, text] of [["utf-8", isUtf8, utf8], ["utf-16", isUtf16, utf16]]) {
      const strict = new TextDecoder(label, { fatal: true });
      if (isValid) assert.equal(strict.decode(bytes), text);
      else assert.throws(() => strict.decode(bytes), "TypeError");
      const decoder = new TextDecoder(label);
      let streamed = "";
      for (const byte of bytes) streamed += decoder.decode(Uint8Array.of(byte), { stream: true });
      assert.equal(streamed + decoder.decode(), text, "byte by byte:");
    }
  });
}

test("TextEncoder writes UTF-8", () => {
  const text = "a\u00e9\u20ac\u{1F600}\ud800\udc00\ud800x\udfff";
  const bytes = new TextEncoder().encode(text);
  assert.equal(new TextDecoder().decode(bytes), text.toWellFormed());
  assert.same([...new TextEncoder().encode("\ud83d")], [0xef, 0xbf, 0xbd]);
  assert.equal(new TextEncoder().encode().length, 0);
  assert.equal(new TextEncoder().encoding, "utf-8");
});

test("encodeInto writes whole characters only", () => {
  const encoder = new TextEncoder();
  const room = new Uint8Array(5);
  assert.same(encoder.encodeInto("a\u{1F600}b", room), { read: 3, written: 5 });
  assert.same(encoder.encodeInto("ab\u{1F600}", room), { read: 2, written: 2 });
  assert.same(encoder.encodeInto("\u20ac\u20ac", room), { read: 1, written: 3 });
  assert.throws(() => encoder.encodeInto("x", new Uint16Array(1)), "TypeError");
  assert.throws(() => encoder.encodeInto("x", []), "TypeError");
});

test("labels, options and byte order marks", () => {
  assert.equal(new TextDecoder(" UTF8\n").encoding, "utf-8");
  assert.equal(new TextDecoder("latin1").encoding, "windows-1252");
  assert.equal(new TextDecoder("latin1").decode(Uint8Array.of(0x80, 0x9f, 0xe9, 0x81)), "\u20ac\u0178\u00e9\u0081");
  assert.throws(() => new TextDecoder("klingon"), "RangeError");
  const marked = Uint8Array.of(0xef, 0xbb, 0xbf, 0x61);
  assert.equal(new TextDecoder().decode(marked), "a");
  assert.equal(new TextDecoder("utf-8", { ignoreBOM: true }).decode(marked), "\ufeffa");
  assert.equal(new TextDecoder().decode(marked.buffer), "a");
  assert.equal(new TextDecoder().decode(new DataView(marked.buffer, 3)), "a");
  assert.equal(new TextDecoder().decode(), "");
  assert.throws(() => new TextDecoder().decode("text"), "TypeError");
  assert.throws(() => new TextDecoder().decode([1]), "TypeError");
});

test("a megabyte goes through in no time", () => {
  const text = "abc\u00e9\u{1F600} ".repeat(150_000);
  const started = Date.now();
  const bytes = new TextEncoder().encode(text);
  assert.ok(new TextDecoder().decode(bytes) === text);
  const latin = "\u00ff\u0000x".repeat(350_000);
  assert.ok(atob(btoa(latin)) === latin);
  assert.ok(Date.now() - started < 2000, `${Date.now() - started} ms:`);
});

test("atob and btoa", () => {
  for (const [text, encoded] of [["", ""], ["f", "Zg=="], ["fo", "Zm8="], ["foo", "Zm9v"], ["foob", "Zm9vYg=="], ["\u0000\u00ff", "AP8="]]) {
    assert.equal(btoa(text), encoded);
    assert.equal(atob(encoded), text);
  }
  assert.equal(atob(" Z m\n9\tv\f\r"), "foo");
  assert.equal(atob("Zg"), "f");
  assert.equal(atob("Zm8"), "fo");
  assert.equal(btoa(null), "bnVsbA==");
  for (const bad of ["Z", "Zg=", "Zg===", "Z===", "=", "Zm9v=", "Zm=9", "Zg==Zg==", "Z-9v", "\u00e9", "Zm9v=="]) {
    assert.throws(() => atob(bad), "InvalidCharacterError", bad);
  }
  assert.throws(() => btoa("\u0100"), "InvalidCharacterError");
  assert.throws(() => atob(), "TypeError");
});
