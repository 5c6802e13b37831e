"use strict";
// Numbers and letters as text and elements; the colour scales. Knows nothing of the page.

/** An element with attributes and children; strings become text, never markup. */
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Four digits that count, as in the terminal view: 0.1235, +0.5, 9.249e−8; a dash for no number. */
function digits(x, signed = false, count = 4) {
  if (x === null || x === undefined) return "–";
  const far = x !== 0 && (Math.abs(x) < 1e-4 || Math.abs(x) >= 1e6);
  const text = far ? x.toExponential(count - 1).replace(/\.?0*e\+?/, "e") : String(Number(x.toPrecision(count)));
  return (signed && x > 0 ? "+" : "") + text.replaceAll("-", "−");
}

/** A number on the page: its four digits, and all of them when the pointer rests on it. */
function value(x, signed = false, name = "", count = 4) {
  const attributes = { class: "value", title: x === null || x === undefined ? "not in this step" : String(x) };
  if (name) attributes["data-name"] = name;
  const [mantissa, power] = digits(x, signed, count).split("e");
  return el("span", attributes, ...(power ? [`${mantissa}·10`, el("sup", {}, power)] : [mantissa]));
}

/** A formula in the letters of objective.py, such as "D_KL(ref^ ‖ π_θ)", set as mathematics. */
function formula(text, className = "math") {
  const made = el("span", { class: className });
  for (const [part] of text.matchAll(/ref\^|r̄|(?:[A-Za-z]+|\p{L})(?:_(?:[A-Za-z]+|\p{L}|\d))?|[^\p{L}]+/gu)) {
    const [base, index] = part.split("_");
    if (part === "ref^") made.append(el("span", { class: "hat" }, "ref"));
    else if (!/\p{L}/u.test(part)) made.append(part);
    else made.append(/^(\p{L}|r̄)$/u.test(base) ? el("i", {}, base) : base);
    if (index) made.append(el("sub", {}, index));
  }
  return made;
}

/** A token with its blanks and control characters to be seen. */
function visible(text) {
  return text.replace(/[\s\p{Cc}\p{Cf}]/gu, (c) => {
    if (c === " ") return "␣";
    if (c === "\n") return "↵";
    if (c === "\t") return "⇥";
    const code = c.codePointAt(0);
    return code < 32 ? String.fromCharCode(0x2400 + code) : `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`;
  });
}

/** The same within running text: a leading blank is seen as room in its box, others are spelt out. */
function inline(text) {
  if (/^ ?[^\s\p{Cc}\p{Cf}]+ ?$/u.test(text)) return text;
  return visible(text).replaceAll("↵", "↵\n");
}

/** The value past which colours no longer change: the 98th percentile of |x|, at least `floor`. */
function limitOf(values, floor) {
  const sorted = values.filter((x) => x !== null).map(Math.abs).sort((a, b) => a - b);
  if (!sorted.length) return { limit: floor, beyond: false };
  const limit = Math.max(floor, sorted[Math.floor(0.98 * (sorted.length - 1))]);
  return { limit, beyond: sorted[sorted.length - 1] > limit * 1.001 };
}

const LEVELS = 10;

/** The class of a colour: p1..p10 above 0, n1..n10 below, s1..s10 for what has no sign; "" near 0. */
function shade(x, limit, signed) {
  if (x === null) return "";
  const level = Math.min(LEVELS, Math.round((Math.abs(x) / limit) * LEVELS));
  if (!level || (!signed && x < 0)) return "";
  return (signed ? (x > 0 ? "p" : "n") : "s") + level;
}

/** The rules of those classes: mixtures of the theme's three colours with its paper. */
function shadeRules() {
  const rules = [];
  for (const sign of "pns") {
    for (let level = 1; level <= LEVELS; level++) {
      const share = 8 + (level / LEVELS) * 92;
      rules.push(`.tokens .${sign}${level}{background:color-mix(in oklab,var(--${sign}) ${share}%,var(--card))}`);
    }
  }
  return rules.join("\n");
}
