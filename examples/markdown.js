// Turns Markdown that nobody vouches for into HTML that is safe to put on a page.
//
// Headings, paragraphs, emphasis, strikethrough, code spans and fences, nested lists, task lists, quotes, tables,
// rules, links and images. Two rules keep it safe: everything that comes from the text passes through
// escapeHtml, so tags in it are shown and never obeyed; and a URL is used only with a scheme that is on a list.

const LINK_SCHEMES = new Set(["http", "https", "mailto", "tel"]);
const IMAGE_SCHEMES = new Set(["http", "https"]);
const MAX_NESTING = 32; // of quotes and lists; what lies deeper stays text

export default {
  async run(input) {
    if (typeof input?.markdown !== "string") throw new TypeError('markdown: has to be a text, as in {"markdown": "# Title"}');
    const page = { headings: [], slugs: new Map(), refused: [] };
    const lines = input.markdown.replaceAll("\0", "\uFFFD").split(/\r\n|\r|\n/).map(expandTabs);
    const html = renderBlocks(lines, page, 0);
    if (page.refused.length > 0) console.warn(`${page.refused.length} URLs refused: ${page.refused.join(" ")}`);
    return { html, headings: page.headings, refusedUrls: page.refused };
  },
};

// -- safety --------------------------------------------------------------------------------------------

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

function escapeHtml(text) {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character]);
}

// The URL as it may stand in an attribute, or null. Browsers overlook control characters and spaces around a
// scheme and in it ("java\tscript:"), so they go before anything is decided.
function safeUrl(url, schemes, page) {
  const bare = url.replace(/[\u0000-\u001F\u007F-\u009F\u200B-\u200F\u2028-\u202E\uFEFF]/g, "").trim().replaceAll(" ", "%20");
  const scheme = /^([^/?#:]*):/.exec(bare)?.[1].toLowerCase();
  if (scheme === undefined || schemes.has(scheme)) return escapeHtml(bare);
  page.refused.push(bare.slice(0, 100));
  return null;
}

// -- blocks --------------------------------------------------------------------------------------------

const RULE = /^ {0,3}([-*_])(?: *\1){2,} *$/;
const HEADING = /^ {0,3}(#{1,6})(?: +(.*?))??(?: +#+)? *$/;
const FENCE = /^( {0,3})(`{3,}|~{3,}) *([^`]*)$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|(\d{1,9})[.)])( +(?=\S)| *$)/;
const TABLE_RULE = /^ {0,3}\|?( *:?-+:? *\|)*( *:?-+:? *)\|? *$/;
const BLANK = /^ *$/;

function renderBlocks(lines, page, depth, isTight = false) {
  const html = [];
  let at = 0;
  while (at < lines.length) {
    if (BLANK.test(lines[at])) {
      at++;
      continue;
    }
    const render = BLOCKS.find((block) => block.starts(lines, at, depth)).render;
    const block = render(lines, at, page, depth, isTight);
    html.push(block.html);
    at = block.next;
  }
  return html.join("\n");
}

// The first that fits takes the lines from `at` on, and says where the next block begins.
const BLOCKS = [
  { starts: (lines, at) => FENCE.test(lines[at]), render: renderFence },
  { starts: (lines, at) => HEADING.test(lines[at]), render: renderHeading },
  { starts: (lines, at) => RULE.test(lines[at]), render: (_, at) => ({ html: "<hr>", next: at + 1 }) },
  { starts: (lines, at, depth) => depth < MAX_NESTING && QUOTE.test(lines[at]), render: renderQuote },
  { starts: (lines, at, depth) => depth < MAX_NESTING && ITEM.test(lines[at]), render: renderList },
  { starts: startsTable, render: renderTable },
  { starts: () => true, render: renderParagraph },
];

function endsParagraph(line) {
  return [BLANK, FENCE, HEADING, RULE, QUOTE].some((start) => start.test(line)) || (ITEM.test(line) && !/^ *([-*+]|\d+[.)]) *$/.test(line));
}

function renderFence(lines, at) {
  const [, indent, fence, info] = FENCE.exec(lines[at]);
  const close = new RegExp(`^ {0,3}${fence[0]}{${fence.length},} *$`);
  const code = [];
  let next = at + 1;
  for (; next < lines.length && !close.test(lines[next]); next++) code.push(lines[next].replace(new RegExp(`^ {0,${indent.length}}`), ""));
  const language = /^[\w+#.-]+/.exec(info)?.[0];
  const attribute = language === undefined ? "" : ` class="language-${escapeHtml(language)}"`;
  return { html: `<pre><code${attribute}>${escapeHtml(code.map((line) => `${line}\n`).join(""))}</code></pre>`, next: next + 1 };
}

function renderHeading(lines, at, page) {
  const [, { length: level }, source = ""] = HEADING.exec(lines[at]);
  const text = plainText(source);
  const id = slugOf(text, page);
  page.headings.push({ level, text, id });
  return { html: `<h${level} id="${id}">${renderInline(source, page)}</h${level}>`, next: at + 1 };
}

// The prefix keeps a heading from taking an id that scripts of the page look for.
function slugOf(text, page) {
  const slug = `section-${text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "")}`;
  const used = page.slugs.get(slug) ?? 0;
  page.slugs.set(slug, used + 1);
  return used === 0 ? slug : slugOf(`${text}-${used}`, page);
}

function renderQuote(lines, at, page, depth) {
  const inner = [];
  let next = at;
  for (; next < lines.length; next++) {
    if (QUOTE.test(lines[next])) inner.push(lines[next].replace(QUOTE, ""));
    else if (endsParagraph(lines[next]) || endsParagraph(inner.at(-1))) break;
    else inner.push(lines[next]); // a paragraph may go on without its ">"
  }
  return { html: `<blockquote>\n${renderBlocks(inner, page, depth + 1)}\n</blockquote>`, next };
}

function renderList(lines, at, page, depth) {
  const first = ITEM.exec(lines[at]);
  const kind = first[2].at(-1); // "-", "*", "+", "." or ")": another kind begins another list
  const items = [];
  let next = at, isLoose = false;
  while (next < lines.length) {
    const match = ITEM.exec(lines[next]);
    if (match === null || match[2].at(-1) !== kind || RULE.test(lines[next])) break;
    const item = takeItem(lines, next, match);
    items.push(item.lines);
    isLoose ||= item.hasGap || (item.endsBlank && item.next < lines.length && ITEM.exec(lines[item.next])?.[2].at(-1) === kind);
    next = item.next;
  }
  const start = Number(first[3] ?? 1);
  const [open, close] = first[3] === undefined ? ["<ul>", "</ul>"] : [start === 1 ? "<ol>" : `<ol start="${start}">`, "</ol>"];
  const html = items.map((item) => `<li>${renderItem(item, page, depth, isLoose)}</li>`);
  return { html: [open, ...html, close].join("\n"), next };
}

// The lines of one item, without its marker and the indentation that belongs to it.
function takeItem(lines, at, [marker, indent, bullet, , gap]) {
  const isCode = gap.length > 4;
  const width = gap === "" || BLANK.test(lines[at].slice(marker.length)) || isCode ? indent.length + bullet.length + 1 : marker.length;
  const taken = [lines[at].slice(width)];
  let next = at + 1, blanks = 0, hasGap = false;
  for (; next < lines.length; next++) {
    const line = lines[next];
    if (BLANK.test(line)) {
      blanks++;
      continue;
    }
    const isInside = line.length - line.trimStart().length >= width;
    const goesOn = blanks === 0 && !endsParagraph(line) && !endsParagraph(taken.at(-1));
    if (!isInside && !goesOn) break;
    const isNested = ITEM.test(line.slice(width)) || line[width] === " "; // a gap in a list further in is its own affair
    hasGap ||= blanks > 0 && !isNested;
    taken.push(...Array(blanks).fill(""), isInside ? line.slice(width) : line.trimStart());
    blanks = 0;
  }
  return { lines: taken, next, hasGap, endsBlank: blanks > 0 };
}

function renderItem(lines, page, depth, isLoose) {
  const task = /^\[([ xX])\] +/.exec(lines[0]);
  const box = task === null ? "" : `<input type="checkbox" disabled${task[1] === " " ? "" : " checked"}> `;
  const rest = task === null ? lines : [lines[0].slice(task[0].length), ...lines.slice(1)];
  const html = renderBlocks(rest, page, depth + 1, !isLoose);
  return isLoose || /^<(ul|ol|pre|blockquote|table|h\d)/.test(html) ? `${box}\n${html}\n` : box + html;
}

function startsTable(lines, at) {
  if (!lines[at].includes("|") || at + 1 >= lines.length || !TABLE_RULE.test(lines[at + 1])) return false;
  return splitRow(lines[at]).length === splitRow(lines[at + 1]).length;
}

function renderTable(lines, at, page) {
  const header = splitRow(lines[at]);
  const styles = splitRow(lines[at + 1]).map((rule) => {
    const align = rule.endsWith(":") ? (rule.startsWith(":") ? "center" : "right") : rule.startsWith(":") ? "left" : null;
    return align === null ? "" : ` style="text-align: ${align}"`;
  });
  const row = (tag, cells) => `<tr>${header.map((_, column) => `<${tag}${styles[column]}>${renderInline(cells[column] ?? "", page)}</${tag}>`).join("")}</tr>`;
  const body = [];
  let next = at + 2;
  for (; next < lines.length && !endsParagraph(lines[next]); next++) body.push(row("td", splitRow(lines[next])));
  const rows = body.length === 0 ? [] : ["<tbody>", ...body, "</tbody>"];
  return { html: ["<table>", "<thead>", row("th", header), "</thead>", ...rows, "</table>"].join("\n"), next };
}

function splitRow(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function renderParagraph(lines, at, page, depth, isTight) {
  let next = at + 1;
  while (next < lines.length && !endsParagraph(lines[next]) && !startsTable(lines, next)) next++;
  const text = lines.slice(at, next).map((line) => line.trimStart()).join("\n").trimEnd();
  const html = renderInline(text, page);
  return { html: isTight ? html : `<p>${html}</p>`, next };
}

// Tabs that indent go to the next multiple of four; those in the text are left alone.
function expandTabs(line) {
  let indent = 0, at = 0;
  for (; line[at] === " " || line[at] === "\t"; at++) indent += line[at] === "\t" ? 4 - (indent % 4) : 1;
  return " ".repeat(indent) + line.slice(at);
}

// -- inline --------------------------------------------------------------------------------------------

const PUNCTUATION = /[!-/:-@[-`{-~]/;
const WORD = /[\p{L}\p{N}]/u;

function renderInline(text, page, isInLink = false) {
  const brackets = matchBrackets(text);
  const parts = []; // pieces of HTML, and runs of * _ ~ that may turn out to be emphasis
  let at = 0;
  while (at < text.length) {
    const found = codeSpan(text, at) ?? escaped(text, at) ?? lineBreak(text, at)
      ?? autolink(text, at, page, isInLink) ?? image(text, at, brackets, page) ?? link(text, at, brackets, page, isInLink)
      ?? delimiterRun(text, at) ?? plainRun(text, at);
    parts.push(found.run ?? found.html);
    at = found.next;
  }
  matchEmphasis(parts.filter((part) => typeof part !== "string"));
  return parts.map((part) => (typeof part === "string" ? part : part.closes + part.character.repeat(part.left) + part.opens)).join("");
}

// What a reader would see of it: for ids and for the texts of images.
function plainText(text) {
  const html = renderInline(text, { headings: [], slugs: new Map(), refused: [] });
  const withoutTags = html.replace(/<img [^>]*alt="([^"]*)"[^>]*>/g, "$1").replace(/<[^>]*>/g, "");
  return withoutTags.replace(/&(amp|lt|gt|quot|#39);/g, (entity) => Object.keys(ESCAPES).find((character) => ESCAPES[character] === entity));
}

function codeSpan(text, at) {
  if (text[at] !== "`") return undefined;
  const fence = runAt(text, at);
  for (let close = text.indexOf("`", at + fence); close >= 0; ) {
    const length = runAt(text, close);
    if (length === fence) {
      const code = text.slice(at + fence, close).replaceAll("\n", " ");
      const isPadded = code.startsWith(" ") && code.endsWith(" ") && code.trim() !== "";
      return { html: `<code>${escapeHtml(isPadded ? code.slice(1, -1) : code)}</code>`, next: close + fence };
    }
    close = text.indexOf("`", close + length);
  }
  return { html: "`".repeat(fence), next: at + fence };
}

function escaped(text, at) {
  if (text[at] !== "\\") return undefined;
  if (text[at + 1] === "\n") return { html: "<br>\n", next: at + 2 };
  const isEscape = at + 1 < text.length && PUNCTUATION.test(text[at + 1]);
  return isEscape ? { html: escapeHtml(text[at + 1]), next: at + 2 } : { html: "\\", next: at + 1 };
}

function lineBreak(text, at) {
  if (text[at] !== " " && text[at] !== "\n") return undefined;
  let next = at;
  while (text[next] === " ") next++;
  if (text[next] !== "\n") return { html: text.slice(at, next), next };
  return { html: next - at >= 2 ? "<br>\n" : "\n", next: next + 1 };
}

function autolink(text, at, page, isInLink) {
  if (text[at] !== "<" || isInLink) return undefined;
  const close = text.indexOf(">", at);
  const url = close < 0 ? "" : text.slice(at + 1, close);
  if (!/^[a-z][a-z\d+.-]{1,31}:[^\s<>]*$/i.test(url)) return undefined;
  const href = safeUrl(url, LINK_SCHEMES, page);
  return { html: href === null ? escapeHtml(url) : `<a href="${href}">${escapeHtml(url)}</a>`, next: close + 1 };
}

function image(text, at, brackets, page) {
  if (text[at] !== "!" || text[at + 1] !== "[") return undefined;
  const target = targetAfter(text, at + 1, brackets);
  if (target === null) return undefined;
  const alt = escapeHtml(plainText(target.label));
  const source = safeUrl(target.url, IMAGE_SCHEMES, page);
  return { html: source === null ? alt : `<img src="${source}" alt="${alt}"${titleOf(target)}>`, next: target.next };
}

function link(text, at, brackets, page, isInLink) {
  if (text[at] !== "[" || isInLink) return undefined;
  const target = targetAfter(text, at, brackets);
  if (target === null) return undefined;
  const label = renderInline(target.label, page, true);
  const href = safeUrl(target.url, LINK_SCHEMES, page);
  return { html: href === null ? label : `<a href="${href}"${titleOf(target)}>${label}</a>`, next: target.next };
}

function titleOf({ title }) {
  return title === undefined ? "" : ` title="${escapeHtml(title)}"`;
}

// Reads `[label](url "title")`, with the bracket at `open`.
function targetAfter(text, open, brackets) {
  const close = brackets.get(open);
  if (close === undefined || text[close + 1] !== "(") return null;
  const target = /\(\s*(?:<([^<>\n]*)>|((?:\\.|[^\s()<\\]|\([^\s()]*\))*))(?:\s+(?:"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'))?\s*\)/y;
  target.lastIndex = close + 1;
  const match = target.exec(text);
  if (match === null) return null;
  const unescape = (part) => part?.replace(/\\([!-/:-@[-`{-~])/g, "$1");
  return { label: text.slice(open + 1, close), url: unescape(match[1] ?? match[2]), title: unescape(match[3] ?? match[4]), next: target.lastIndex };
}

// Where each "[" is closed, in one pass: looking for it from every bracket would take quadratic time.
function matchBrackets(text) {
  const pairs = new Map(), open = [];
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "`") at = codeSpan(text, at).next - 1;
    else if (text[at] === "[") open.push(at);
    else if (text[at] === "]" && open.length > 0) pairs.set(open.pop(), at);
  }
  return pairs;
}

function delimiterRun(text, at) {
  const character = text[at];
  if (character !== "*" && character !== "_" && character !== "~") return undefined;
  const length = runAt(text, at);
  const next = at + length;
  if (character === "~" && length !== 2) return { html: "~".repeat(length), next };
  const before = at === 0 ? " " : text.slice(isLowSurrogate(text, at - 1) ? at - 2 : at - 1, at);
  const after = next === text.length ? " " : String.fromCodePoint(text.codePointAt(next));
  const [isLeft, isRight] = [flanks(after, before), flanks(before, after)];
  const inWord = character === "_" && WORD.test(before) && WORD.test(after); // snake_case is no emphasis
  return { run: { character, length, left: length, canOpen: isLeft && !inWord, canClose: isRight && !inWord, opens: "", closes: "" }, next };
}

function isLowSurrogate(text, at) {
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code <= 0xdfff;
}

// Whether a run of delimiters leans on what is `near`, seen from the other side, `far`.
function flanks(near, far) {
  if (/\s/.test(near)) return false;
  return WORD.test(near) || !PUNCTUATION.test(near) || /\s/.test(far) || PUNCTUATION.test(far);
}

// Pairs the runs from the inside out, as CommonMark does: two characters of each make <strong>, one makes <em>.
function matchEmphasis(runs) {
  const hopeless = new Map(); // kind of closer → where no opener for it was found before
  for (let at = 0; at < runs.length; at++) {
    const closer = runs[at];
    if (!closer.canClose) continue;
    const kind = `${closer.character}${closer.canOpen}${closer.length % 3}`;
    for (let from = at - 1; closer.left > 0 && from >= (hopeless.get(kind) ?? 0); from--) {
      const opener = runs[from];
      while (isPair(opener, closer)) {
        const width = closer.character === "~" || (opener.left >= 2 && closer.left >= 2) ? 2 : 1;
        const tag = closer.character === "~" ? "del" : width === 2 ? "strong" : "em";
        opener.opens = `<${tag}>${opener.opens}`;
        closer.closes += `</${tag}>`;
        opener.left -= width;
        closer.left -= width;
        for (let inner = from + 1; inner < at; inner++) runs[inner].canOpen = runs[inner].canClose = false; // they may not cross
      }
    }
    if (closer.left > 0) hopeless.set(kind, at);
  }
}

function isPair(opener, closer) {
  if (!opener.canOpen || opener.character !== closer.character || opener.left === 0 || closer.left === 0) return false;
  const isAmbiguous = (opener.canClose || closer.canOpen) && (opener.length + closer.length) % 3 === 0;
  return !isAmbiguous || (opener.length % 3 === 0 && closer.length % 3 === 0);
}

function plainRun(text, at) {
  const match = /[^\\`*_~<![ \n]+/y;
  match.lastIndex = at;
  const plain = match.exec(text)?.[0] ?? text[at];
  return { html: escapeHtml(plain), next: at + plain.length };
}

function runAt(text, at) {
  let end = at;
  while (text[end] === text[at]) end++;
  return end - at;
}
