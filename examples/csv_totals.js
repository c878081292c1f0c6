// Adds up a CSV file: groups its rows by some columns, and gives count, sum, min, max and mean of others.
//
// Reads RFC 4180 as it is met in practice: quoted fields with separators, quotes and line breaks in them, LF or
// CRLF, a byte order mark, and other separators. Errors name the line of the file, which in a file with line
// breaks inside fields is not the number of the record.
//
// Sums are exact: numbers are added as BigInt counts of their last decimal place, so 0.1 + 0.2 is 0.3.

const SEPARATORS = [",", ";", "\t", "|"];
const MAX_SKIPPED_SHOWN = 20;

export default async function (input) {
  const options = readOptions(input);
  const csv = options.csv.startsWith("\uFEFF") ? options.csv.slice(1) : options.csv;
  const separator = options.separator ?? guessSeparator(csv);
  const records = parseCsv(csv, separator);

  const first = records.next();
  if (first.done) throw new TypeError("csv: is empty; its first line has to name the columns");
  const columns = readHeader(first.value.fields);
  const groupBy = options.groupBy.map((name) => columnOf(columns, name, "groupBy"));
  const values = options.values.map((name) => columnOf(columns, name, "values"));

  const groups = new Map();
  const total = newGroup([], values.length);
  const skipped = [];
  let skippedRows = 0;
  for (const { fields, line } of records) {
    const row = readRow(fields, line, columns, values, options);
    if (row.problem !== undefined) {
      if (options.onInvalid === "fail") throw new TypeError(row.problem);
      if (++skippedRows <= MAX_SKIPPED_SHOWN) skipped.push(row.problem);
      continue;
    }
    const key = groupBy.map((at) => fields[at].trim());
    const id = JSON.stringify(key); // joining with a separator would mix up ["a,b"] and ["a", "b"]
    if (!groups.has(id)) groups.set(id, newGroup(key, values.length));
    addRow(groups.get(id), row.numbers);
    addRow(total, row.numbers);
  }

  console.log(`${total.rows} rows in ${groups.size} groups, separator ${JSON.stringify(separator)}`);
  if (skippedRows > 0) console.warn(`${skippedRows} rows skipped; the first: ${skipped[0]}`);
  const present = ({ rows, values }) => ({
    rows,
    values: Object.fromEntries(options.values.map((name, at) => [name, summarize(values[at], options)])),
  });
  return {
    separator,
    columns,
    groups: [...groups.values()].sort(byKey).map((group) => ({
      key: Object.fromEntries(options.groupBy.map((name, at) => [name, group.key[at]])),
      ...present(group),
    })),
    total: present(total),
    skipped: { rows: skippedRows, problems: skipped },
  };
}

// -- options -------------------------------------------------------------------------------------------

function readOptions(input) {
  if (typeof input?.csv !== "string") {
    throw new TypeError('csv: has to be the text of the file, as in {"csv": "a,b\\n1,2", "groupBy": ["a"], "values": ["b"]}');
  }
  const options = {
    csv: input.csv,
    separator: input.separator ?? null,
    groupBy: readNames(input.groupBy ?? [], "groupBy"),
    values: readNames(input.values, "values"),
    decimal: input.decimal ?? ".",
    meanDigits: input.meanDigits ?? 4,
    onInvalid: input.onInvalid ?? "fail",
  };
  if (options.separator !== null && !/^[^"\r\n]$/.test(options.separator)) {
    throw new TypeError("separator: has to be one character, and neither a quote nor a line break");
  }
  if (!NUMBERS.has(options.decimal)) throw new TypeError('decimal: has to be "." or ","');
  if (!Number.isInteger(options.meanDigits) || options.meanDigits < 0 || options.meanDigits > 12) {
    throw new TypeError("meanDigits: has to be a whole number from 0 to 12");
  }
  if (!["fail", "skip"].includes(options.onInvalid)) throw new TypeError('onInvalid: has to be "fail" or "skip"');
  return options;
}

function readNames(value, path) {
  const isList = Array.isArray(value) && value.every((name) => typeof name === "string");
  if (!isList) throw new TypeError(`${path}: has to be a list of column names`);
  const repeated = value.find((name, at) => value.indexOf(name) !== at);
  if (repeated !== undefined) throw new TypeError(`${path}: names ${JSON.stringify(repeated)} twice`);
  return value;
}

function readHeader(fields) {
  const columns = fields.map((name) => name.trim());
  columns.forEach((name, at) => {
    if (name === "") throw new TypeError(`line 1: column ${at + 1} has no name`);
    if (columns.indexOf(name) !== at) throw new TypeError(`line 1: two columns are called ${JSON.stringify(name)}`);
  });
  return columns;
}

function columnOf(columns, name, path) {
  const at = columns.indexOf(name);
  if (at < 0) throw new TypeError(`${path}: there is no column ${JSON.stringify(name)}; the file has ${columns.join(", ")}`);
  return at;
}

// -- CSV -----------------------------------------------------------------------------------------------

// The separator that the first line uses most, not counting what stands in quotes.
function guessSeparator(csv) {
  const counts = new Map(SEPARATORS.map((separator) => [separator, 0]));
  let quoted = false;
  for (const character of csv) {
    if (character === '"') quoted = !quoted;
    else if (!quoted && (character === "\n" || character === "\r")) break;
    else if (!quoted && counts.has(character)) counts.set(character, counts.get(character) + 1);
  }
  return SEPARATORS.reduce((best, separator) => (counts.get(separator) > counts.get(best) ? separator : best));
}

// Yields {fields, line} for each record; lines without anything on them are no records.
function* parseCsv(csv, separator) {
  let at = 0, line = 1;
  while (at < csv.length) {
    const startLine = line;
    const fields = [];
    for (;;) {
      let field;
      if (csv[at] === '"') ({ field, at, line } = quotedField(csv, at, line, separator));
      else ({ field, at } = plainField(csv, at, line, separator));
      fields.push(field);
      if (csv[at] !== separator) break;
      at++;
    }
    if (csv[at] === "\r" && csv[at + 1] === "\n") at++;
    at++;
    line++;
    if (fields.length > 1 || fields[0] !== "") yield { fields, line: startLine };
  }
}

function plainField(csv, start, line, separator) {
  let at = start;
  for (; at < csv.length; at++) {
    const character = csv[at];
    if (character === separator || character === "\n" || character === "\r") break;
    if (character === '"') throw new TypeError(`line ${line}: a quote in a field that does not start with one`);
  }
  return { field: csv.slice(start, at), at };
}

function quotedField(csv, start, line, separator) {
  let at = start + 1, field = "", lines = line;
  for (;;) {
    const close = csv.indexOf('"', at);
    if (close < 0) throw new TypeError(`line ${line}: the quote that opens here is never closed`);
    field += csv.slice(at, close);
    at = close + 1;
    if (csv[at] !== '"') break;
    field += '"'; // two quotes stand for one
    at++;
  }
  lines += field.match(/\r\n|\r|\n/g)?.length ?? 0;
  if (at < csv.length && ![separator, "\r", "\n"].includes(csv[at])) throw new TypeError(`line ${lines}: ${JSON.stringify(csv[at])} after a closing quote`);
  return { field, at, line: lines };
}

// -- numbers -------------------------------------------------------------------------------------------

function readRow(fields, line, columns, values, options) {
  if (fields.length !== columns.length) return { problem: `line ${line}: has ${fields.length} fields; the header has ${columns.length}` };
  const numbers = [];
  for (const at of values) {
    const number = readNumber(fields[at].trim(), options.decimal);
    if (number === undefined) return { problem: `line ${line}, column ${JSON.stringify(columns[at])}: ${JSON.stringify(fields[at])} is not a number` };
    numbers.push(number);
  }
  return { numbers };
}

const NUMBERS = new Map([
  [".", /^([+-]?)(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d+))?$/],
  [",", /^([+-]?)(\d{1,3}(?:\.\d{3})+|\d+)(?:,(\d+))?$/],
]);

// "1,234.50" as {units: 123450n, digits: 2}; null where there is nothing, undefined where it is no number.
function readNumber(text, decimal) {
  if (text === "") return null;
  const match = NUMBERS.get(decimal).exec(text);
  if (match === null) return undefined;
  const [, sign, whole, fraction = ""] = match;
  const units = BigInt(whole.replace(/[.,]/g, "") + fraction);
  return { units: sign === "-" ? -units : units, digits: fraction.length };
}

function newGroup(key, width) {
  return { key, rows: 0, values: Array.from({ length: width }, () => ({ count: 0, empty: 0, digits: 0, sum: 0n, min: null, max: null })) };
}

function addRow(group, numbers) {
  group.rows++;
  numbers.forEach((number, at) => addNumber(group.values[at], number));
}

// Keeps everything in units of the finest decimal place seen so far.
function addNumber(value, number) {
  if (number === null) {
    value.empty++;
    return;
  }
  if (number.digits > value.digits) {
    const finer = 10n ** BigInt(number.digits - value.digits);
    value.sum *= finer;
    if (value.count > 0) [value.min, value.max] = [value.min * finer, value.max * finer];
    value.digits = number.digits;
  }
  const units = number.units * 10n ** BigInt(value.digits - number.digits);
  value.sum += units;
  value.min = value.count === 0 || units < value.min ? units : value.min;
  value.max = value.count === 0 || units > value.max ? units : value.max;
  value.count++;
}

function summarize({ count, empty, digits, sum, min, max }, { meanDigits }) {
  if (count === 0) return { count, empty, sum: 0, min: null, max: null, mean: null };
  return { count, empty, sum: toNumber(sum, digits), min: toNumber(min, digits), max: toNumber(max, digits), mean: meanOf(sum, digits, count, meanDigits) };
}

function meanOf(sum, digits, count, meanDigits) {
  const numerator = (sum < 0n ? -sum : sum) * 10n ** BigInt(meanDigits);
  const denominator = BigInt(count) * 10n ** BigInt(digits);
  const rounded = (2n * numerator + denominator) / (2n * denominator); // half away from zero
  return toNumber(sum < 0n ? -rounded : rounded, meanDigits);
}

// The nearest double to units / 10^digits; writing the decimal out and reading it rounds only once.
function toNumber(units, digits) {
  return Number(`${units}e-${digits}`);
}

function byKey(a, b) {
  const at = a.key.findIndex((part, index) => part !== b.key[index]);
  return at < 0 ? 0 : a.key[at] < b.key[at] ? -1 : 1;
}
