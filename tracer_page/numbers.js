"use strict";
// Numbers and letters as text and elements; the colour scales. Knows nothing of the page.

/** An element with attributes and children; strings become text, never markup. */
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Four digits that count, as in the terminal view: 0.1235, +0.5, 9.249·10⁻⁸; a dash for no number. */
function digits(x, signed = false) {
  if (x === null || x === undefined) return "–";
  let text = String(Number(x.toPrecision(4)));
  if (x !== 0 && (Math.abs(x) < 1e-4 || Math.abs(x) >= 1e6)) {
    const [mantissa, power] = x.toExponential(3).split("e");
    const raised = [...String(Number(power))].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);
    text = `${Number(mantissa)}·10${raised.join("")}`;
  }
  return (signed && x > 0 ? "+" : "") + text.replace("-", "−");
}

/** A number on the page: its four digits, and all of them when the pointer rests on it. */
function value(x, signed = false, name = "") {
  const attributes = { class: "value", title: x === null || x === undefined ? "not in this step" : String(x) };
  if (name) attributes["data-name"] = name;
  return el("span", attributes, digits(x, signed));
}

/** A formula in the letters of objective.py, such as "D_KL(ref^ ‖ π_θ)", set as mathematics. */
function formula(text, className = "math") {
  const made = el("span", { class: className });
  for (const [part] of text.matchAll(/ref\^|[\p{L}]+_[\p{L}]+|[\p{L}]+|[^\p{L}]+/gu)) {
    const [base, index] = part.split("_");
    if (part === "ref^") made.append(el("span", { class: "hat" }, "ref"));
    else if (!/\p{L}/u.test(part)) made.append(part);
    else made.append([...base].length === 1 ? el("i", {}, base) : base);
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
