// Checks documents against a JSON Schema and says, with a JSON pointer each, what is wrong with them.
//
// Understands the part of drafts 7 and 2020-12 that schemas mostly use, `$ref` into the same schema included,
// so that recursive shapes work. A keyword that it does not know is an error in the schema, not
// something to pass over: a check that silently does not happen is worse than none.

const ANNOTATIONS = new Set(["$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"]);
const MAX_ERRORS = 100; // listed per document; errorCount has them all

export async function main(input) {
  if (!isObject(input) || !Object.hasOwn(input, "schema")) throw new TypeError('input: has to be {"schema": {…}, "documents": […]}');
  if (!Array.isArray(input.documents)) throw new TypeError("documents: has to be a list of the documents to check");
  const validator = new Validator(input.schema);
  const results = input.documents.map((document) => validator.check(document));
  const invalid = results.filter(({ valid }) => !valid).length;
  console.log(`${results.length} documents checked, ${invalid} invalid`);
  return { valid: invalid === 0, results };
}

class SchemaError extends Error {
  name = "SchemaError";
  constructor(pointer, problem) {
    super(`schema ${pointer || "/"}: ${problem}`);
  }
}

// -- the walk ------------------------------------------------------------------------------------------

class Validator {
  #root;
  #patterns = new Map(); // compiled, by source
  #underway = new Set(); // "schema pointer @ instance pointer" of the $refs that are being followed

  constructor(schema) {
    this.#root = schema;
  }

  check(document) {
    const errors = this.validate(this.#root, "", document, "");
    return { valid: errors.length === 0, errorCount: errors.length, errors: errors.slice(0, MAX_ERRORS) };
  }

  // `at` is where `value` is in the document, `schemaAt` where `schema` is in the schema; both are JSON pointers.
  validate(schema, schemaAt, value, at) {
    if (schema === true) return [];
    if (schema === false) return [{ pointer: at, keyword: "false", message: "is not allowed here" }];
    if (!isObject(schema)) throw new SchemaError(schemaAt, `has to be an object or a boolean, not ${show(schema)}`);
    const errors = [];
    for (const [keyword, expected] of Object.entries(schema)) {
      if (ANNOTATIONS.has(keyword)) continue;
      const check = KEYWORDS.get(keyword);
      if (check === undefined) throw new SchemaError(schemaAt, `the keyword ${show(keyword)} is not supported`);
      const place = { at, schema, schemaAt: `${schemaAt}/${escapePointer(keyword)}`, keyword, validator: this };
      for (const found of check(expected, value, place)) {
        errors.push(typeof found === "string" ? { pointer: at, keyword, message: found } : found);
      }
    }
    return errors;
  }

  isValid(schema, schemaAt, value, at) {
    return this.validate(schema, schemaAt, value, at).length === 0;
  }

  follow(reference, value, { at, schemaAt }) {
    const { target, pointer } = this.#resolve(reference, schemaAt);
    const step = `${pointer} @ ${at}`;
    if (this.#underway.has(step)) {
      throw new SchemaError(schemaAt, `${show(reference)} leads back to itself without ever looking into the document`);
    }
    this.#underway.add(step);
    try {
      return this.validate(target, pointer, value, at);
    } finally {
      this.#underway.delete(step);
    }
  }

  #resolve(reference, schemaAt) {
    if (typeof reference !== "string" || !reference.startsWith("#")) {
      throw new SchemaError(schemaAt, `${show(reference)} is not a reference into this schema, like "#/definitions/address"`);
    }
    const pointer = decodeURIComponent(reference.slice(1));
    let target = this.#root;
    for (const part of pointer.split("/").slice(1)) {
      const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
      if (target === null || typeof target !== "object" || !Object.hasOwn(target, key)) {
        throw new SchemaError(schemaAt, `${show(reference)} leads nowhere`);
      }
      target = target[key];
    }
    return { target, pointer };
  }

  pattern(source, schemaAt) {
    if (!this.#patterns.has(source)) {
      try {
        this.#patterns.set(source, new RegExp(source, "u"));
      } catch (error) {
        throw new SchemaError(schemaAt, `${show(source)} is not a regular expression: ${error.message}`);
      }
    }
    return this.#patterns.get(source);
  }
}

// -- keywords ------------------------------------------------------------------------------------------

// Each takes what the schema says, the value, and the place; it yields messages, or errors from further inside.
// A keyword for one type has nothing to say about values of another.
const KEYWORDS = new Map(Object.entries({
  *type(expected, value, { schemaAt }) {
    const types = Array.isArray(expected) ? expected : [expected];
    const unknown = types.find((type) => !TYPES.has(type));
    if (unknown !== undefined || types.length === 0) throw new SchemaError(schemaAt, `${show(unknown)} is not a type`);
    if (!types.some((type) => TYPES.get(type)(value))) yield `has to be of type ${types.join(" or ")}, not ${typeOf(value)}`;
  },
  *enum(expected, value, { schemaAt }) {
    if (!Array.isArray(expected)) throw new SchemaError(schemaAt, "has to be a list");
    if (!expected.some((choice) => isEqual(choice, value))) yield `is none of ${expected.map(show).join(", ")}`;
  },
  *const(expected, value) {
    if (!isEqual(expected, value)) yield `has to be ${show(expected)}`;
  },
  *$ref(expected, value, place) {
    yield* place.validator.follow(expected, value, place);
  },

  *minimum(least, value) {
    if (typeof value === "number" && value < least) yield `is less than ${least}`;
  },
  *maximum(most, value) {
    if (typeof value === "number" && value > most) yield `is more than ${most}`;
  },
  *exclusiveMinimum(bound, value) {
    if (typeof value === "number" && value <= bound) yield `has to be more than ${bound}`;
  },
  *exclusiveMaximum(bound, value) {
    if (typeof value === "number" && value >= bound) yield `has to be less than ${bound}`;
  },
  *multipleOf(step, value, { schemaAt }) {
    if (!(step > 0)) throw new SchemaError(schemaAt, `${show(step)} is not a positive number`);
    if (typeof value !== "number") return;
    const times = value / step; // 0.3 / 0.1 is 2.9999999999999996, which is meant to be 3
    if (Math.abs(times - Math.round(times)) > 1e-9 * Math.max(1, Math.abs(times))) yield `is not a multiple of ${step}`;
  },

  *minLength(least, value) {
    if (typeof value === "string" && lengthOf(value) < least) yield `is shorter than ${count(least, "character")}`;
  },
  *maxLength(most, value) {
    if (typeof value === "string" && lengthOf(value) > most) yield `is longer than ${count(most, "character")}`;
  },
  *pattern(source, value, { schemaAt, validator }) {
    const pattern = validator.pattern(source, schemaAt);
    if (typeof value === "string" && !pattern.test(value)) yield `does not match the pattern ${source}`;
  },
  *format(name, value, { schemaAt }) {
    const format = FORMATS.get(name);
    if (format === undefined) throw new SchemaError(schemaAt, `the format ${show(name)} is not supported`);
    if (typeof value === "string" && !format.test(value)) yield `is not ${format.words}`;
  },

  *minItems(least, value) {
    if (Array.isArray(value) && value.length < least) yield `has fewer than ${count(least, "item")}`;
  },
  *maxItems(most, value) {
    if (Array.isArray(value) && value.length > most) yield `has more than ${count(most, "item")}`;
  },
  *uniqueItems(wanted, value) {
    if (!wanted || !Array.isArray(value)) return;
    const seen = new Map();
    for (const [index, item] of value.entries()) {
      const text = canonical(item);
      if (seen.has(text)) yield `has the same item at ${seen.get(text)} and ${index}`;
      else seen.set(text, index);
    }
  },
  *items(schema, value, { at, schemaAt, validator }) {
    if (!Array.isArray(value)) return;
    for (const [index, item] of value.entries()) yield* validator.validate(schema, schemaAt, item, `${at}/${index}`);
  },

  *required(names, value, { schemaAt }) {
    if (!Array.isArray(names)) throw new SchemaError(schemaAt, "has to be a list of names");
    if (!isObject(value)) return;
    for (const name of names) if (!Object.hasOwn(value, name)) yield `lacks the property ${show(name)}`;
  },
  *properties(schemas, value, { at, schemaAt, validator }) {
    if (!isObject(schemas)) throw new SchemaError(schemaAt, "has to be an object");
    if (!isObject(value)) return;
    for (const [name, schema] of Object.entries(schemas)) {
      if (!Object.hasOwn(value, name)) continue;
      const step = `/${escapePointer(name)}`;
      yield* validator.validate(schema, schemaAt + step, value[name], at + step);
    }
  },
  *additionalProperties(additional, value, { at, schema, schemaAt, validator }) {
    if (!isObject(value)) return;
    for (const [name, inner] of Object.entries(value)) {
      if (isObject(schema.properties) && Object.hasOwn(schema.properties, name)) continue;
      if (additional === false) yield `has the unknown property ${show(name)}`;
      else yield* validator.validate(additional, schemaAt, inner, `${at}/${escapePointer(name)}`);
    }
  },
  *minProperties(least, value) {
    if (isObject(value) && Object.keys(value).length < least) yield `has fewer than ${count(least, "property", "properties")}`;
  },
  *maxProperties(most, value) {
    if (isObject(value) && Object.keys(value).length > most) yield `has more than ${count(most, "property", "properties")}`;
  },

  *allOf(schemas, value, { at, schemaAt, validator }) {
    for (const [index, schema] of listOf(schemas, schemaAt)) yield* validator.validate(schema, `${schemaAt}/${index}`, value, at);
  },
  *anyOf(schemas, value, { at, schemaAt, validator }) {
    const closest = [];
    for (const [index, schema] of listOf(schemas, schemaAt)) {
      const errors = validator.validate(schema, `${schemaAt}/${index}`, value, at);
      if (errors.length === 0) return;
      closest.push({ errors, index });
    }
    yield `matches none of the ${closest.length} choices${nearMiss(closest)}`;
  },
  *oneOf(schemas, value, { at, schemaAt, validator }) {
    const matching = [], closest = [];
    for (const [index, schema] of listOf(schemas, schemaAt)) {
      const errors = validator.validate(schema, `${schemaAt}/${index}`, value, at);
      if (errors.length === 0) matching.push(index);
      else closest.push({ errors, index });
    }
    if (matching.length > 1) yield `matches the choices ${matching.join(" and ")}; only one is allowed`;
    if (matching.length === 0) yield `matches none of the ${closest.length} choices${nearMiss(closest)}`;
  },
  *not(schema, value, { at, schemaAt, validator }) {
    if (validator.isValid(schema, schemaAt, value, at)) yield "matches what it must not match";
  },
}));

function listOf(schemas, schemaAt) {
  if (!Array.isArray(schemas) || schemas.length === 0) throw new SchemaError(schemaAt, "has to be a list of schemas");
  return schemas.entries();
}

// Most people mean the choice that they missed by the least.
function nearMiss(choices) {
  const { errors, index } = choices.reduce((best, choice) => (choice.errors.length < best.errors.length ? choice : best));
  return `; closest is choice ${index}: ${errors[0].pointer || "/"} ${errors[0].message}`;
}

// -- types and formats ---------------------------------------------------------------------------------

const TYPES = new Map([
  ["null", (value) => value === null],
  ["boolean", (value) => typeof value === "boolean"],
  ["integer", (value) => Number.isInteger(value)],
  ["number", (value) => typeof value === "number"],
  ["string", (value) => typeof value === "string"],
  ["array", (value) => Array.isArray(value)],
  ["object", isObject],
]);

const FORMATS = new Map([
  ["date", { words: "a date like 2025-02-28", test: isDate }],
  ["date-time", { words: "a time like 2025-02-28T12:30:00Z (RFC 3339)", test: isDateTime }],
  ["email", { words: "an e-mail address", test: isEmail }],
  ["uri", { words: "an absolute URL", test: isUrl }],
  ["uuid", { words: "a UUID", test: (text) => /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(text) }],
]);

function isDate(text) {
  const match = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text);
  if (match === null) return false;
  const [year, month, day] = match.slice(1).map(Number);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day; // 30 February would have moved on to March
}

function isDateTime(text) {
  const match = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))$/.exec(text);
  if (match === null || !isDate(match[1])) return false;
  const [hour, minute, second, offsetHour, offsetMinute] = [match[2], match[3], match[4], match[6] ?? 0, match[7] ?? 0].map(Number);
  if (hour > 23 || minute > 59 || offsetHour > 23 || offsetMinute > 59) return false;
  if (second < 60) return true;
  const offset = (match[5] === "-" ? -1 : 1) * (offsetHour * 60 + offsetMinute);
  const utc = (hour * 60 + minute - offset + 2 * 1440) % 1440;
  return second === 60 && utc === 1439; // a leap second is the last of a UTC day
}

function isEmail(text) {
  const at = text.lastIndexOf("@");
  const [local, domain] = [text.slice(0, at), text.slice(at + 1)];
  return at > 0 && text.length <= 254 && local.length <= 64
    && /^[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*$/.test(local)
    && /^([a-z\d]([a-z\d-]{0,61}[a-z\d])?\.)+[a-z]([a-z\d-]{0,61}[a-z\d])$/i.test(domain);
}

function isUrl(text) {
  if (!/^[a-z][a-z\d+.-]*:/i.test(text)) return false;
  try {
    return new URL(text).href !== "";
  } catch {
    return false;
  }
}

// -- values --------------------------------------------------------------------------------------------

function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function typeOf(value) {
  return value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
}

function isEqual(a, b) {
  return canonical(a) === canonical(b);
}

// JSON in which the order of properties plays no part: equal values give equal texts.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (!isObject(value)) return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join()}}`;
}

// In characters as people count them, not in UTF-16 units: "😀" is one.
function lengthOf(text) {
  return [...text].length;
}

function count(number, singular, plural = `${singular}s`) {
  return `${number} ${number === 1 ? singular : plural}`;
}

function show(value) {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

function escapePointer(part) {
  return part.replaceAll("~", "~0").replaceAll("/", "~1");
}
