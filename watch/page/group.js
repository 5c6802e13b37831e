// The group: a card for each different completion, its tokens as coloured text, one strip a run.

/** The rows of the group with the same tokens, together: [{ rows: [0, 3, 7] }, ...], in the group's order. */
function merged(r) {
  const rows = r.completions.map((c, i) => ({ i, key: `${c.reward} ${c.ended} ${c.columns.token}` }));
  return [...byKey(rows, (row) => row.key).values()].map((same) => ({ rows: same.map((row) => row.i) }));
}

function showCards() {
  state.spans = state.sides.map(() => []);
  $("cards").replaceChildren(...state.cards.map(({ rows }, n) => {
    const c = state.record.completions[rows[0]], times = rows.length > 1 ? `×${rows.length}` : "";
    const verdict = (c.reward ? "✓ " : "✗ ") + c.reason.replaceAll("_", " ") + (c.ended ? "" : ", cut off");
    const head = el("h3", {}, el("span", {}, formula("y"), el("sub", {}, rows.length > 3 ? `${rows[0]}…` : rows.join(", "))),
      el("b", { class: "times" }, times),
      el("span", { class: c.reward ? "verdict right" : "verdict" }, verdict),
      el("span", { class: "facts" }, fact("r", c.reward), fact("A", c.advantage, true)));
    return el("article", { class: "card", "aria-label": `completion ${rows.join(", ")}, ${verdict}` }, head,
      ...state.sides.flatMap((r, side) => strip(r, side, rows, n)));
  }));
}

/** One run's view of a completion: its sums, and its tokens. */
function strip(r, side, rows, card) {
  const c = r.completions[rows[0]], two = state.sides.length > 1;
  const spans = c.columns.token.map((token, t) => {
    const span = document.createElement("span");
    span.textContent = inline(r.vocabulary[token]);
    span.place = [card, t];
    return span;
  });
  state.spans[side].push(spans);
  const facts = el("p", { class: "facts" }, two ? el("b", { class: "arm" }, armName(r)) : null,
    fact("Δ log π", changeOf(c), true), fact("φ", c.phi), two ? null : fact("g", c.surrogate, true), c.columns.logp_ref ? fact("KL", c.kl) : null,
    two ? null : fact("H", c.entropy), fact("share of J", minus(c.share), true, rows.length > 1 ? ` ×${rows.length}` : ""));
  return [facts, el("div", { class: "tokens", role: "group", "aria-label": `${spans.length} tokens of completion ${rows[0]}${two ? `, ${armName(r)}` : ""}` }, ...spans)];
}

const fact = (name, x, signed = false, after = "") =>
  el("span", {}, formula(name), " ", value(x, signed, name, 3), after);

function choose(quantity) {
  state.quantity = quantity;
  paint();
}

/** Colour every token by the chosen quantity; only classes change. Two runs share one scale. */
function paint() {
  const q = state.quantity;
  $("quantities").querySelector(`[value=${q.key}]`).checked = true;
  const values = state.sides.map((r) => state.cards.map(({ rows }) => {
    const c = r.completions[rows[0]];
    return c.columns.token.map((_, t) => q.of(c, c.columns, t));
  }));
  const { limit, beyond } = limitOf(values.flat(2), q.floor);
  state.spans.forEach((cards, side) => cards.forEach((spans, i) => spans.forEach((span, t) => {
    const name = shade(values[side][i][t], limit, q.signed);
    if (span.className !== name) span.className = name;
  })));
  markSelected();
  const absent = values.every((side) => side.every((row) => row.every((x) => x === null)));
  const end = (beyond ? "≥ " : "") + digits(limit, false, 3);
  $("legend").replaceChildren(
    el("span", { class: "scale" }, q.signed ? `${beyond ? "≤ " : ""}${digits(-limit, false, 3)}` : "0",
      el("span", { class: q.signed ? "ramp signed" : "ramp" }), q.signed ? (beyond ? "≥ " : "") + digits(limit, true, 3) : end),
    el("span", {}, absent ? "This step had no reference: there is nothing to show." : el("b", {}, formula(q.name)), absent ? "" : `: ${q.says}.`));
}

/** Where to look first, [card, t]: where the step moved the most probability (else the largest KL). */
function mostTelling() {
  let best = [0, 0], most = -1;
  state.cards.forEach(({ rows }, i) => {
    const k = state.record.completions[rows[0]].columns;
    k.token.forEach((_, t) => {
      const moves = movesAt(k, t), by = moves ? moves.reduce((sum, m) => sum + Math.abs(m.q - m.p), 0) : k.kl[t] * 1e-6;
      if (by > most) [best, most] = [[i, t], by];
    });
  });
  return best;
}
