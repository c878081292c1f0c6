// Full-text search over the documents in the input: an inverted index, ranking by BM25 with a boost per field,
// "exact phrases", -exclusions, prefix* search, and snippets that show where the words were found.

const K1 = 1.2; // how soon further occurrences of a word stop counting
const B = 0.75; // how much a long field is held against its words
const SNIPPET_WORDS = 24;
const SNIPPET_STEP = 6;
const DEFAULT_LIMIT = 10;
const STOP_WORDS = new Set("a an and are as at be by for from in is it of on or that the this to was with".split(" "));

export default {
  async run(input) {
    const { documents, fields, queries, limit, mark } = readInput(input);
    const index = new Index(fields);
    for (const document of documents) index.add(document);
    console.log(`${documents.length} documents, ${index.size} different words`);
    return {
      documents: documents.length,
      words: index.size,
      results: queries.map((query) => search(index, query, limit, mark)),
    };
  },
};

function readInput(input) {
  if (!Array.isArray(input?.documents)) throw new TypeError('documents: has to be a list like [{"id": "1", "title": "…", "body": "…"}]');
  const fields = Object.entries(input.fields ?? { title: 2, body: 1 });
  for (const [name, boost] of fields) {
    if (typeof boost !== "number" || !(boost > 0)) throw new TypeError(`fields.${name}: its boost has to be a number above zero, not ${JSON.stringify(boost)}`);
  }
  const ids = new Set();
  for (const [at, document] of input.documents.entries()) {
    const id = document?.id;
    if (typeof id !== "string" && typeof id !== "number") throw new TypeError(`documents[${at}].id: has to be a text or a number`);
    if (ids.has(id)) throw new TypeError(`documents[${at}].id: ${JSON.stringify(id)} is there already`);
    ids.add(id);
    for (const [name] of fields) {
      if (document[name] !== undefined && typeof document[name] !== "string") throw new TypeError(`documents[${at}].${name}: has to be a text`);
    }
  }
  const queries = typeof input.query === "string" ? [input.query] : input.queries;
  if (!Array.isArray(queries) || !queries.every((query) => typeof query === "string")) throw new TypeError("query: has to be a text (or queries a list of texts)");
  const limit = input.limit ?? DEFAULT_LIMIT;
  if (!Number.isInteger(limit) || limit < 1) throw new TypeError("limit: has to be a whole number above zero");
  const mark = input.mark ?? ["[", "]"];
  if (!Array.isArray(mark) || mark.length !== 2) throw new TypeError('mark: has to be a pair like ["<b>", "</b>"]');
  return { documents: input.documents, fields, queries, limit, mark };
}

// -- words ---------------------------------------------------------------------------------------------

// The words of a text with their places in it: "Crème brûlée" → creme 0–5, brulee 6–12.
function wordsOf(text) {
  return [...text.matchAll(/[\p{L}\p{N}\p{M}]+/gu)].map(({ 0: word, index }) => ({ term: fold(word), start: index, end: index + word.length }));
}

function fold(word) {
  return word.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

// -- the index -----------------------------------------------------------------------------------------

class Index {
  #documents = [];
  #postings = new Map(); // term → Map of document number → for each field, the positions of the term in it
  #totalLength; // words in each field of all documents together

  constructor(fields) {
    this.fields = fields;
    this.#totalLength = fields.map(() => 0);
  }

  get size() {
    return this.#postings.size;
  }

  get documentCount() {
    return this.#documents.length;
  }

  add(document) {
    const number = this.#documents.length;
    const texts = this.fields.map(([name]) => document[name] ?? "");
    const words = texts.map(wordsOf);
    this.#documents.push({ id: document.id, texts, words });
    words.forEach((list, field) => {
      this.#totalLength[field] += list.length;
      list.forEach(({ term }, position) => this.#positions(term, number)[field].push(position));
    });
  }

  #positions(term, number) {
    if (!this.#postings.has(term)) this.#postings.set(term, new Map());
    const posting = this.#postings.get(term);
    if (!posting.has(number)) posting.set(number, this.fields.map(() => []));
    return posting.get(number);
  }

  document(number) {
    return this.#documents[number];
  }

  posting(term) {
    return this.#postings.get(term) ?? new Map();
  }

  withPrefix(prefix) {
    return [...this.#postings.keys()].filter((term) => term.startsWith(prefix)).sort();
  }

  // How long a field is, measured by the average: 2 is twice as long as usual.
  relativeLength(number, field) {
    const average = this.#totalLength[field] / this.#documents.length;
    return average === 0 ? 1 : this.#documents[number].words[field].length / average;
  }
}

// -- searching -----------------------------------------------------------------------------------------

// "word", "-word", "pref*" and quoted phrases, which may be excluded as well.
function parseQuery(query) {
  const parsed = { terms: [], prefixes: [], phrases: [], excluded: [] };
  for (const [, minus, phrase, word, star] of query.matchAll(/(?<![\p{L}\p{N}])(-?)(?:"([^"]*)"|([\p{L}\p{N}\p{M}]+)(\*?))/gu)) {
    const terms = phrase === undefined ? [fold(word)] : wordsOf(phrase).map(({ term }) => term);
    if (terms.length === 0) continue;
    if (minus === "-") parsed.excluded.push(terms);
    else if (star === "*") parsed.prefixes.push(terms[0]);
    else if (terms.length > 1) parsed.phrases.push(terms);
    else parsed.terms.push(terms[0]);
  }
  const telling = parsed.terms.filter((term) => !STOP_WORDS.has(term));
  if (telling.length > 0 || parsed.phrases.length + parsed.prefixes.length > 0) parsed.terms = telling; // unless there is nothing else
  return parsed;
}

function search(index, query, limit, mark) {
  const { terms, prefixes, phrases, excluded } = parseQuery(query);
  const searched = new Set([...terms, ...phrases.flat(), ...prefixes.flatMap((prefix) => index.withPrefix(prefix))]);
  const scores = new Map();
  for (const term of searched) {
    for (const [number, score] of scoresOf(index, term)) scores.set(number, (scores.get(number) ?? 0) + score);
  }
  const hits = [...scores]
    .map(([number, score]) => ({ number, score }))
    .filter(({ number }) => phrases.every((phrase) => hasPhrase(index, number, phrase)))
    .filter(({ number }) => !excluded.some((phrase) => hasPhrase(index, number, phrase)))
    .sort((a, b) => b.score - a.score || a.number - b.number);
  return {
    query,
    found: hits.length,
    hits: hits.slice(0, limit).map(({ number, score }) => ({
      id: index.document(number).id,
      score: Number(score.toFixed(4)),
      snippet: snippetOf(index, number, searched, mark),
    })),
  };
}

// BM25: a word weighs more the fewer documents have it, and the more often it stands in this one.
function* scoresOf(index, term) {
  const posting = index.posting(term);
  const rarity = Math.log(1 + (index.documentCount - posting.size + 0.5) / (posting.size + 0.5));
  for (const [number, positions] of posting) {
    let score = 0;
    index.fields.forEach(([, boost], field) => {
      const count = positions[field].length;
      const damping = K1 * (1 - B + B * index.relativeLength(number, field));
      score += (boost * rarity * count * (K1 + 1)) / (count + damping);
    });
    yield [number, score];
  }
}

// Whether the terms follow each other somewhere in one field.
function hasPhrase(index, number, [first, ...rest]) {
  const positions = index.posting(first).get(number) ?? [];
  const isAt = (term, field, position) => index.posting(term).get(number)?.[field].includes(position) ?? false;
  return positions.some((list, field) => list.some((start) => rest.every((term, step) => isAt(term, field, start + step + 1))));
}

// The stretch of text with the most different words of the search in it, and among those with the most of them.
function snippetOf(index, number, searched, [open, close]) {
  const { texts, words } = index.document(number);
  let best = { value: -1 };
  words.forEach((list, field) => {
    const last = Math.max(0, list.length - SNIPPET_WORDS);
    for (let step = 0; step < last + SNIPPET_STEP; step += SNIPPET_STEP) {
      const from = Math.min(step, last);
      const window = list.slice(from, from + SNIPPET_WORDS);
      const found = window.filter(({ term }) => searched.has(term));
      const value = new Set(found.map(({ term }) => term)).size * SNIPPET_WORDS + found.length;
      if (value > best.value || (value === best.value && window.length > best.window.length)) best = { value, window, field, from };
    }
  });
  const { window, field, from } = best;
  if (window.length === 0) return "";
  const text = texts[field];
  const isStart = from === 0, isEnd = from + window.length === words[field].length;
  let at = isStart ? 0 : window[0].start;
  let snippet = isStart ? "" : "… ";
  for (const { term, start, end } of window) {
    const word = text.slice(start, end);
    snippet += text.slice(at, start) + (searched.has(term) ? open + word + close : word);
    at = end;
  }
  return (snippet + (isEnd ? text.slice(at) : " …")).replace(/\s+/g, " ").trim();
}
