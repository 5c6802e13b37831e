// One token: what the step did there, its numbers, and what could have stood in its place.

/** Only the selected token can be reached by Tab and is named for a screen reader. */
function markSelected() {
  const row = state.cards[state.card].rows[0], c = state.record.completions[row], k = c.columns, t = state.token;
  const span = state.spans[0][state.card][t];
  if (span !== state.marked) // else it would lose the focus on the way
    for (const name of ["tabindex", "role", "aria-label", "aria-current"]) state.marked?.removeAttribute(name);
  state.marked = span;
  span.setAttribute("tabindex", "0");
  span.setAttribute("role", "button");
  span.setAttribute("aria-current", "true");
  span.setAttribute("aria-label",
    `token ${t + 1} of completion ${row}: ${visible(wordOf(k.token[t]))}; ` +
    `${state.quantity.name.replaceAll("_", " ")} ${digits(state.quantity.of(c, k, t))}; ` +
    `log pi ${digits(k.logp[t])}, KL ${digits(k.kl[t])}, entropy ${digits(k.entropy[t])}, share of J ${digits(minus(k.share[t]))}`);
}

function select(i, t, focus = true) {
  state.card = Math.max(0, Math.min(i, state.cards.length - 1));
  state.token = Math.max(0, Math.min(t, state.spans[0][state.card].length - 1));
  markSelected();
  inspect(state.card, state.token);
  if (focus) {
    $("inspector").hidden = false; // on a phone it was closed
    state.marked.focus();
  }
}

function inspect(i, t) {
  state.looked = [i, t];
  const row = state.cards[i].rows[0], k = state.record.completions[row].columns;
  $("inspector").replaceChildren(
    el("h3", {}, el("code", { class: "token" }, visible(wordOf(k.token[t]))),
      el("span", {}, formula("y"), el("sub", {}, String(row)), ` token ${t + 1} of ${k.token.length}`),
      el("span", { class: "steps" }, beside("‹", "the token before", -1), beside("›", "the next token", 1), closing())),
    el("div", { class: "sides" }, ...state.sides.map((r) => sideOf(r, row, t))));
  $("inspector").scrollTop = 0;
}

/** A button that puts the numbers away, where they cover a part of the page. */
function closing() {
  const button = el("button", { type: "button", "aria-label": "close" }, "×");
  button.addEventListener("click", () => { $("inspector").hidden = true; });
  return button;
}

/** A button to the token before or after, over the ends of completions too: a finger has no arrow keys. */
function beside(sign, label, by) {
  const button = el("button", { type: "button", "aria-label": label }, sign);
  button.addEventListener("click", () => {
    const { card: i, token: t } = state, there = t + by;
    if (there >= 0 && there < state.spans[0][i].length) select(i, there);
    else if (state.cards[i + by]) select(i + by, by > 0 ? 0 : Infinity);
  });
  return button;
}

/** What one run says of the token. */
function sideOf(r, row, t) {
  const c = r.completions[row], k = c.columns, two = state.sides.length > 1;
  return el("div", { class: "side" }, two ? el("h3", { class: "arm" }, armName(r)) : null,
    movedSentence(r, k, t), placeOf(r, c, t), rivals(r, c, t), numbersOf(c, t));
}

/** The token's share of J, term by term. */
function placeOf(r, c, t) {
  const s = r.settings, k = c.columns, kl = klTerm(s);
  const line = (...parts) => el("p", {}, ...parts);
  return el("div", { class: "place math" },
    line(formula(`share of J = (g ${kl ? "− α·KL " : ""}+ β·H) / (B·|y|)`)),
    line("= (", value(k.surrogate[t], false, "surrogate"),
      ...(kl ? [" − ", value(s.alpha), "·", value(k.kl[t], false, "kl")] : []),
      " + ", value(s.beta), "·", value(k.entropy[t], false, "entropy"), ") / (", value(r.rows.reward.length), "·", value(k.token.length), ")"),
    line("= ", el("b", {}, value(minus(k.share[t]), true, "share"))));
}

function numbersOf(c, t) {
  const k = c.columns, at = (name) => k[name]?.[t] ?? null;
  const numbers = [
    ["log π_θ", "logp"], ["after the step", "logp_after"], ["log π_old", "logp_old"], ["log π_ref", "logp_ref"], ["log ref^", "logp_target"],
  ].map(([name, key]) => [name, value(at(key), false, key)]);
  numbers.push(["Δ log π", value(difference(at("logp_after"), at("logp")), true, "change")],
    ["ρ", el("span", {}, value(at("ratio"), false, "ratio"), k.clipped[t] ? " clipped" : "")],
    ["A", value(c.advantage, true, "advantage")], ["φ", value(c.phi, false, "phi")],
    ["A · ρ", value(c.advantage * k.ratio[t], true, "gain")]);
  return el("dl", {}, ...numbers.map(([name, shown]) => el("div", {}, el("dt", {}, formula(name)), el("dd", {}, shown))));
}

// ---------------------------------------------------------------- what could have stood here

const SERIES = [["p_policy", "π_θ"], ["p_after", "after the step"], ["p_ref", "π_ref"], ["p_target", "ref^"]];

/** The likeliest tokens under each distribution as bars, with the step's change and ref^'s factor. */
function rivals(r, c, t) {
  const k = c.columns;
  if (!k.likely[t]) return el("p", { class: "note" }, "No candidates are recorded here: the group is long, and only the first tokens of a completion have them.");
  const list = el("ol", { class: "likely" }), phi = k.p_ref && k.log_z ? phiSlider(r, c, t, list) : null;
  fillRivals(list, r, c, t);
  const series = SERIES.filter(([key]) => k[key]);
  return el("div", {}, el("h3", {}, "What could have stood here"),
    el("p", { class: "series" }, ...series.map(([name, symbol]) => el("span", { class: name }, formula(symbol)))), phi, list,
    k.p_ref ? null : el("p", { class: "note" }, "This arm has no KL, so the step read no reference."));
}

function fillRivals(list, r, c, t) {
  const k = c.columns, target = targetAt(r, c, t);
  const rows = { ...Object.fromEntries(SERIES.map(([key]) => [key, k[key]?.[t]])), p_target: target };
  const series = SERIES.filter(([key]) => rows[key]);
  const bars = (ps) => el("span", { class: "bars" }, ...series.map(([name], n) => {
    const bar = el("i", { class: name });
    bar.style.setProperty("--p", ps[n] ?? 0);
    return el("span", { title: `${ps[n]}` }, bar, digits(ps[n], false, 3));
  }));
  const lines = k.likely[t].map((token, n) => {
    const drawn = token === k.token[t], p = rows.p_policy[n], q = rows.p_after?.[n];
    return el("li", drawn ? { class: "drawn" } : {},
      el("code", { title: `token id ${token}` }, visible(r.vocabulary[token]), drawn ? el("small", {}, "drawn") : null),
      bars(series.map(([key]) => rows[key][n])),
      el("span", { class: "factors" }, el("span", {}, value(p && q ? Math.log(q / p) : null, true, "rival-change", 2)),
        target ? el("span", {}, "×", value(rows.p_ref[n] ? target[n] / rows.p_ref[n] : null, false, "factor", 3)) : null));
  });
  const rest = series.map(([key]) => Math.max(0, 1 - rows[key].reduce((a, b) => a + b, 0)));
  lines.push(el("li", { class: "rest" }, el("span", {}, "all others"), bars(rest.map((p) => (p < 5e-6 ? 0 : p))), el("span", {})));
  lines.unshift(el("li", { class: "head" }, el("span", {}, "token"), el("span", {}, "probability"),
    el("span", { class: "factors" }, formula("Δ log π"), target ? formula("ref^/π_ref") : null)));
  list.replaceChildren(...lines);
}

/** ref^ of the candidates: as recorded, or at the phi of the slider. */
function targetAt(r, c, t) {
  const k = c.columns;
  if (!k.p_ref) return null;
  return state.phi === null || !k.log_z ? k.p_target[t] : flattened(k, t, state.phi, r.settings);
}

/** A slider that recomputes ref^; it keeps its place from token to token until it is set back. */
function phiSlider(r, c, t, list) {
  const s = r.settings, own = reweighted(s) ? c.phi : 1;
  const slider = el("input", { type: "range", min: 0, max: 1, step: 0.05, class: "phi", "aria-label": "phi, the power of the reference" });
  const said = el("output"), back = el("button", { type: "button" }, `this step's ${digits(own, false, 3)}`);
  const show = () => {
    const at = phiAt(c.columns, t, state.phi ?? own, s);
    said.replaceChildren(formula("φ "), value(state.phi ?? own, false, "phi-slider"),
      ...(s.fork_entropy ? [formula(", here φ_t "), value(at, false, "phi-here", 3)] : []));
    slider.value = state.phi ?? own;
    back.hidden = state.phi === null;
    fillRivals(list, r, c, t);
  };
  slider.addEventListener("input", () => { state.phi = Number(slider.value); show(); });
  back.addEventListener("click", () => { state.phi = null; show(); slider.focus(); });
  show();
  return el("div", { class: "flatten" }, el("label", {}, slider, said), back,
    el("small", {}, reweighted(s) ? "Flatten the reference more or less: the bars of ref^ are computed anew, and all else stays this step's." : "What another φ would make of the reference; this arm takes it as it is (φ = 1)."));
}
