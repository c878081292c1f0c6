// Expected results were compared with another implementation and with the URL Standard where the two differ.
for (const [input, base, expected] of data.url.parse) {
  test(`new URL(${JSON.stringify(input)}, ${JSON.stringify(base)})`, () => {
    if (expected === null) {
      assert.throws(() => new URL(input, base ?? undefined), "TypeError");
      assert.equal(URL.canParse(input, base ?? undefined), false);
      assert.equal(URL.parse(input, base ?? undefined), null);
      return;
    }
    const url = new URL(input, base ?? undefined);
    assert.same([url.href, url.origin, url.username, url.password, url.host, url.pathname, url.search, url.hash], expected);
    assert.equal(new URL(url.href).href, url.href, "parsed again:");
  });
}

for (const [href, member, value, expected] of data.url.setters) {
  test(`${href}: ${member} = ${JSON.stringify(value)}`, () => {
    const url = new URL(href);
    if (expected === null) assert.throws(() => { url[member] = value; }, "TypeError");
    else {
      url[member] = value;
      assert.equal(url.href, expected);
    }
  });
}

for (const [text, pairs, serialized] of data.url.params) {
  test(`new URLSearchParams(${JSON.stringify(text)})`, () => {
    const params = new URLSearchParams(text);
    assert.same([...params], pairs);
    assert.equal(String(params), serialized);
  });
}

test("searchParams and the URL follow each other", () => {
  const url = new URL("http://h/?a=1&b=2");
  const params = url.searchParams;
  params.append("c", "x y");
  assert.equal(url.href, "http://h/?a=1&b=2&c=x+y");
  url.search = "?z=9";
  assert.same([...params], [["z", "9"]]);
  url.href = "http://h/?q#f";
  assert.equal(params.get("q"), "");
  params.delete("q");
  assert.equal(url.href, "http://h/#f");
  assert.equal(url.searchParams, params);
});

test("URLSearchParams is made of records, sequences and others of its kind", () => {
  assert.equal(String(new URLSearchParams({ a: 1, b: "x&y" })), "a=1&b=x%26y");
  assert.equal(String(new URLSearchParams([["a", 1], new Set(["b", 2])])), "a=1&b=2");
  assert.equal(String(new URLSearchParams(new URLSearchParams("x=1&x=2"))), "x=1&x=2");
  assert.throws(() => new URLSearchParams([["a"]]), "TypeError");
  assert.throws(() => new URLSearchParams([1]), "TypeError");
  assert.throws(() => new URLSearchParams(Symbol()), "TypeError");
});

test("members of URLSearchParams", () => {
  const params = new URLSearchParams("b=2&a=1&b=3&c=&\u{1F600}=1&\uffff=1");
  assert.same(params.getAll("b"), ["2", "3"]);
  assert.equal(params.get("none"), null);
  assert.equal(params.has("b", "3"), true);
  assert.equal(params.has("b", "4"), false);
  params.delete("b", "2");
  params.set("c", "x");
  params.set("d", "y");
  params.sort();
  assert.same([...params.keys()], ["a", "b", "c", "d", "\u{1F600}", "\uffff"]);
  const seen = [];
  params.forEach((value, name, all) => seen.push([name, value, all === params]));
  assert.equal(seen.length, params.size);
  assert.throws(() => params.append("x"), "TypeError");
  assert.throws(() => params.forEach(1), "TypeError");
});

test("an iterator of URLSearchParams is live", () => {
  const params = new URLSearchParams("a=1&b=2");
  const iterator = params.entries();
  assert.same(iterator.next(), { value: ["a", "1"], done: false });
  params.append("c", "3");
  assert.same([...iterator], [["b", "2"], ["c", "3"]]);
  assert.equal(Object.prototype.toString.call(iterator), "[object URLSearchParams Iterator]");
  assert.throws(() => iterator.next.call({}), "TypeError");
});

test("URL is JSON and text", () => {
  const url = new URL("http://h/x");
  assert.equal(JSON.stringify({ url }), '{"url":"http://h/x"}');
  assert.equal(`${url}`, "http://h/x");
  assert.throws(() => URL("http://h/"), "TypeError");
  assert.throws(() => new URL(), "TypeError");
  assert.throws(() => Object.getOwnPropertyDescriptor(URL.prototype, "href").get.call({}), "TypeError");
});
