// Works out an invoice: tax by country, region and category, prices with or without tax, discounts on lines
// and on the document, reverse charge, and the rounding that the law of the place asks for.
//
// Money never touches a floating-point number. Amounts are BigInt counts of the currency's smallest unit,
// rates are BigInt fractions of RATE_SCALE, and each result is rounded once. JSON has no BigInt, so every
// number leaves as a decimal string: "19.99".

const WITHOUT_MINOR_UNIT = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split(" ");
const WITH_THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND".split(" ");
const minorDigits = (currency) => (WITHOUT_MINOR_UNIT.includes(currency) ? 0 : WITH_THREE_DIGITS.includes(currency) ? 3 : 2);

const PERCENT_DIGITS = 6; // "9.975" has three of them
const RATE_SCALE = 100n * 10n ** BigInt(PERCENT_DIGITS); // the rate of 100 %
const MAX_DIGITS = 24; // of any number in the input

export default {
  async run(input) {
    const invoice = readInvoice(input);
    const lines = invoice.lines.map((line, index) => priceLine(line, index, invoice));
    const documentDiscount = spreadDiscount(invoice, lines);
    const { taxes, net } = invoice.roundPer === "line" ? taxPerLine(lines, invoice) : taxPerDocument(lines, invoice);
    console.log(`invoice ${invoice.number}: ${lines.length} lines, ${taxes.length} tax totals, rounded per ${invoice.roundPer}`);
    return present(invoice, lines, taxes, net, documentDiscount);
  },
};

// -- reading: every complaint names the field and the value -------------------------------------------

function readInvoice(input) {
  const root = readObject(input, "input");
  const currency = readText(root.currency, "currency");
  if (!/^[A-Z]{3}$/.test(currency)) fail("currency", `${show(currency)} is not a three-letter ISO 4217 code`);
  const rounding = readObject(root.rounding ?? {}, "rounding");
  const invoice = {
    number: readText(root.number, "number"),
    currency,
    digits: minorDigits(currency),
    round: readChoice(rounding.mode ?? "half-up", ["half-up", "half-even"], "rounding.mode"),
    roundPer: readChoice(rounding.per ?? "line", ["line", "document"], "rounding.per"),
    seller: readParty(root.seller, "seller"),
    customer: readParty(root.customer, "customer"),
  };
  invoice.rules = readList(root.taxRules, "taxRules").map(readRule);
  invoice.reverseCharge = isReverseCharge(invoice, root.reverseChargeCountries ?? []);
  const pricesIncludeTax = readBoolean(root.pricesIncludeTax ?? false, "pricesIncludeTax");
  invoice.lines = readList(root.lines, "lines").map((line, index) => readLine(line, `lines[${index}]`, pricesIncludeTax, invoice.digits));
  invoice.discount = readDiscount(root.discount, "discount", invoice.digits);
  return invoice;
}

function readParty(value, path) {
  const party = readObject(value, path);
  const country = readText(party.country, `${path}.country`);
  if (!/^[A-Z]{2}$/.test(country)) fail(`${path}.country`, `${show(country)} is not a two-letter ISO 3166 code`);
  return {
    name: readText(party.name, `${path}.name`),
    country,
    region: party.region === undefined ? null : readText(party.region, `${path}.region`),
    taxId: party.taxId === undefined ? null : readText(party.taxId, `${path}.taxId`),
  };
}

// A rule without `region` holds for the whole country, one without `category` for every category;
// the country "*" is the rest of the world. No taxes at all means untaxed.
function readRule(value, index) {
  const path = `taxRules[${index}]`;
  const rule = readObject(value, path);
  const taxes = readList(rule.taxes, `${path}.taxes`, 0).map((value, at) => {
    const tax = readObject(value, `${path}.taxes[${at}]`);
    return { name: readText(tax.name, `${path}.taxes[${at}].name`), rate: readPercent(tax.rate, `${path}.taxes[${at}].rate`) };
  });
  return { country: readText(rule.country, `${path}.country`), region: rule.region ?? null, category: rule.category ?? null, taxes };
}

function readLine(value, path, pricesIncludeTax, digits) {
  const line = readObject(value, path);
  const quantity = readDecimal(line.quantity, `${path}.quantity`);
  if (quantity.units === 0n) fail(`${path}.quantity`, "is zero");
  return {
    description: readText(line.description, `${path}.description`),
    category: readText(line.category ?? "standard", `${path}.category`),
    quantity,
    unitPrice: readDecimal(line.unitPrice, `${path}.unitPrice`), // may be finer than the currency: 0.0035 a unit
    includesTax: readBoolean(line.priceIncludesTax ?? pricesIncludeTax, `${path}.priceIncludesTax`),
    discount: readDiscount(line.discount, `${path}.discount`, digits),
  };
}

function readDiscount(value, path, digits) {
  if (value === undefined || value === null) return null;
  const discount = readObject(value, path);
  if ((discount.percent === undefined) === (discount.amount === undefined)) fail(path, "needs either percent or amount");
  if (discount.percent === undefined) return { amount: scaleTo(readDecimal(discount.amount, `${path}.amount`), digits, `${path}.amount`) };
  const rate = readPercent(discount.percent, `${path}.percent`);
  if (rate > RATE_SCALE) fail(`${path}.percent`, `${show(discount.percent)} is over 100`);
  return { rate };
}

function readDecimal(value, path) {
  const text = typeof value === "number" ? String(value) : value;
  const match = typeof text === "string" ? /^(\d+)(?:\.(\d+))?$/.exec(text) : null;
  if (match === null) fail(path, `${show(value)} is not a decimal number like "12.50" (zero or more, no exponent)`);
  const [, whole, fraction = ""] = match;
  if (whole.length + fraction.length > MAX_DIGITS) fail(path, `has more than ${MAX_DIGITS} digits`);
  return { units: BigInt(whole + fraction), digits: fraction.length, text };
}

function readPercent(value, path) {
  return scaleTo(readDecimal(value, path), PERCENT_DIGITS, path);
}

function scaleTo(decimal, digits, path) {
  if (decimal.digits > digits) fail(path, `${show(decimal.text)} has more than ${digits} decimal places`);
  return decimal.units * 10n ** BigInt(digits - decimal.digits);
}

function readObject(value, path) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) fail(path, `has to be an object, not ${show(value)}`);
  return value;
}

function readList(value, path, least = 1) {
  if (!Array.isArray(value)) fail(path, `has to be a list, not ${show(value)}`);
  if (value.length < least) fail(path, "is empty");
  return value;
}

function readText(value, path) {
  if (typeof value !== "string" || value.trim() === "") fail(path, `has to be a text, not ${show(value)}`);
  return value.trim();
}

function readBoolean(value, path) {
  if (typeof value !== "boolean") fail(path, `has to be true or false, not ${show(value)}`);
  return value;
}

function readChoice(value, choices, path) {
  if (!choices.includes(value)) fail(path, `${show(value)} is none of ${choices.join(", ")}`);
  return value;
}

function show(value) {
  return value === undefined ? "missing" : JSON.stringify(value).slice(0, 60);
}

function fail(path, problem) {
  throw new TypeError(`${path}: ${problem}`);
}

// -- which taxes ---------------------------------------------------------------------------------------

// Between businesses of two countries of one tax area the customer owes the tax, not the seller.
function isReverseCharge({ seller, customer }, area) {
  if (!Array.isArray(area)) fail("reverseChargeCountries", `has to be a list, not ${show(area)}`);
  const isCrossBorder = seller.country !== customer.country && area.includes(seller.country) && area.includes(customer.country);
  if (!isCrossBorder || customer.taxId === null) return false;
  if (seller.taxId === null) fail("seller.taxId", "is needed for a reverse charge");
  return true;
}

// The rule that says most about the place wins; among those, one for the category.
function findTaxes(category, { customer, rules, reverseCharge }, path) {
  if (reverseCharge) return [{ name: "Reverse charge", rate: 0n }];
  let best = null, bestScore = -1;
  for (const rule of rules) {
    if (rule.country !== "*" && rule.country !== customer.country) continue;
    if (rule.region !== null && rule.region !== customer.region) continue;
    if (rule.category !== null && rule.category !== category) continue;
    const score = (rule.country !== "*" ? 4 : 0) + (rule.region !== null ? 2 : 0) + (rule.category !== null ? 1 : 0);
    if (score > bestScore) [best, bestScore] = [rule, score];
  }
  if (best === null) {
    const place = customer.region === null ? customer.country : `${customer.country}-${customer.region}`;
    fail(`${path}.category`, `no tax rule covers ${show(category)} in ${place}`);
  }
  return best.taxes.length > 0 ? best.taxes : [{ name: "Untaxed", rate: 0n }];
}

// -- amounts -------------------------------------------------------------------------------------------

// numerator / denominator as a whole number; both are zero or more.
function divide(numerator, denominator, mode) {
  const quotient = numerator / denominator;
  const twiceRest = 2n * (numerator % denominator);
  const isTie = twiceRest === denominator;
  const goesUp = isTie ? mode === "half-up" || quotient % 2n === 1n : twiceRest > denominator;
  return goesUp ? quotient + 1n : quotient;
}

function priceLine(line, index, invoice) {
  const path = `lines[${index}]`;
  if (invoice.reverseCharge && line.includesTax) fail(path, "a reverse charge needs prices without tax");
  const { quantity, unitPrice } = line;
  const listPrice = divide(
    quantity.units * unitPrice.units * 10n ** BigInt(invoice.digits),
    10n ** BigInt(quantity.digits + unitPrice.digits),
    invoice.round,
  );
  const discount = discountOn(listPrice, line.discount, invoice, `${path}.discount`);
  return { ...line, taxes: findTaxes(line.category, invoice, path), listPrice, lineDiscount: discount, amount: listPrice - discount };
}

function discountOn(amount, discount, invoice, path) {
  if (discount === null) return 0n;
  if (discount.rate !== undefined) return divide(amount * discount.rate, RATE_SCALE, invoice.round);
  if (discount.amount > amount) fail(path, `${format(discount.amount, invoice.digits)} is more than the ${format(amount, invoice.digits)} that it is taken from`);
  return discount.amount;
}

// Takes the document's discount from the lines in proportion to their amounts, so that each tax rate bears its
// share. What rounding down leaves over goes to the largest remainders: the shares add up exactly.
function spreadDiscount(invoice, lines) {
  const total = sum(lines.map((line) => line.amount));
  const discount = discountOn(total, invoice.discount, invoice, "discount");
  if (discount === 0n) return 0n;
  const shares = lines.map((line) => ({ line, share: (discount * line.amount) / total, rest: (discount * line.amount) % total }));
  let left = discount - sum(shares.map(({ share }) => share));
  for (const entry of shares.toSorted((a, b) => (a.rest < b.rest ? 1 : a.rest > b.rest ? -1 : 0))) {
    if (left === 0n) break;
    entry.share += 1n;
    left -= 1n;
  }
  for (const { line, share } of shares) line.amount -= share;
  return discount;
}

// The tax in (or on top of) an amount, for each of the taxes that fall on it together. With the tax included,
// amount = net × (1 + all rates), so that a tax is amount × rate / (1 + all rates).
function taxOn(amount, taxes, includesTax, mode) {
  const denominator = includesTax ? RATE_SCALE + sum(taxes.map(({ rate }) => rate)) : RATE_SCALE;
  return taxes.map(({ name, rate }) => ({ name, rate, tax: divide(amount * rate, denominator, mode) }));
}

function taxPerLine(lines, invoice) {
  const ledger = newLedger();
  for (const line of lines) {
    line.taxes = taxOn(line.amount, line.taxes, line.includesTax, invoice.round);
    enter(ledger, line.amount, line.taxes, line.includesTax);
  }
  return close(ledger);
}

function taxPerDocument(lines, invoice) {
  const baskets = new Map(); // lines that bear the same taxes in the same way are taxed as one
  for (const { taxes, includesTax, amount } of lines) {
    const key = JSON.stringify([includesTax, taxes.map(({ name, rate }) => [name, String(rate)])]);
    const basket = baskets.get(key) ?? { taxes, includesTax, amount: 0n };
    basket.amount += amount;
    baskets.set(key, basket);
  }
  const ledger = newLedger();
  for (const { taxes, includesTax, amount } of baskets.values()) {
    enter(ledger, amount, taxOn(amount, taxes, includesTax, invoice.round), includesTax);
  }
  return close(ledger);
}

// A ledger adds up the net amount and, for every rate of every tax, {name, rate, taxable, tax}.
function newLedger() {
  return { net: 0n, totals: new Map() };
}

function enter(ledger, amount, taxes, includesTax) {
  const net = includesTax ? amount - sum(taxes.map(({ tax }) => tax)) : amount;
  ledger.net += net;
  for (const { name, rate, tax } of taxes) {
    const key = JSON.stringify([name, String(rate)]);
    const total = ledger.totals.get(key) ?? { name, rate, taxable: 0n, tax: 0n };
    total.taxable += net;
    total.tax += tax;
    ledger.totals.set(key, total);
  }
}

function close({ net, totals }) {
  const order = (a, b) => (a.name === b.name ? Number(b.rate - a.rate) : a.name < b.name ? -1 : 1);
  return { net, taxes: [...totals.values()].sort(order) };
}

function sum(amounts) {
  return amounts.reduce((total, amount) => total + amount, 0n);
}

// -- writing -------------------------------------------------------------------------------------------

function format(units, digits) {
  const text = String(units).padStart(digits + 1, "0");
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

function formatPercent(rate) {
  return format(rate, PERCENT_DIGITS).replace(/\.?0+$/, "");
}

function presentParty({ name, country, region, taxId }) {
  return { name, country, ...(region === null ? {} : { region }), ...(taxId === null ? {} : { taxId }) };
}

function present(invoice, lines, taxes, net, documentDiscount) {
  const money = (amount) => format(amount, invoice.digits);
  const totalTax = sum(taxes.map(({ tax }) => tax));
  return {
    number: invoice.number,
    currency: invoice.currency,
    seller: presentParty(invoice.seller),
    customer: presentParty(invoice.customer),
    lines: lines.map((line) => ({
      description: line.description,
      category: line.category,
      quantity: line.quantity.text,
      unitPrice: line.unitPrice.text,
      listPrice: money(line.listPrice),
      lineDiscount: money(line.lineDiscount),
      documentDiscount: money(line.listPrice - line.lineDiscount - line.amount),
      amount: money(line.amount),
      includesTax: line.includesTax,
      taxes: line.taxes.map(({ name, rate, tax }) => ({
        name,
        percent: formatPercent(rate),
        ...(tax === undefined ? {} : { tax: money(tax) }), // rounded per document, a line has no tax of its own
      })),
    })),
    taxes: taxes.map(({ name, rate, taxable, tax }) => ({ name, percent: formatPercent(rate), taxable: money(taxable), tax: money(tax) })),
    totals: {
      listPrice: money(sum(lines.map((line) => line.listPrice))),
      lineDiscounts: money(sum(lines.map((line) => line.lineDiscount))),
      documentDiscount: money(documentDiscount),
      net: money(net),
      tax: money(totalTax),
      gross: money(net + totalTax),
    },
    rounding: { mode: invoice.round, per: invoice.roundPer },
    notes: invoice.reverseCharge
      ? [`Reverse charge: the recipient owes the tax (seller ${invoice.seller.taxId}, customer ${invoice.customer.taxId}).`]
      : [],
  };
}
