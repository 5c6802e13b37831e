// The page: one record at a time (a traced step), one quantity as colour, one token in the inspector.

const $ = (id) => document.getElementById(id);
const texts = [...document.querySelectorAll("script.record")];
const klTerms = JSON.parse($("kl-terms").textContent);

const QUANTITIES = [
  { key: "gain", name: "A · ρ", says: "advantage × ratio. Above 0 the step makes the token likelier, below 0 less likely",
    signed: true, floor: 1e-3, of: (c, k, t) => c.advantage * k.ratio[t] },
  { key: "kl", name: "KL", says: "nats. How far the policy is from its target at this place",
    signed: false, floor: 1e-4, of: (c, k, t) => (k.logp_ref ? k.kl[t] : null) },
  { key: "entropy", name: "H", says: "entropy, nats. How undecided the policy was at this place",
    signed: false, floor: 1e-3, of: (c, k, t) => k.entropy[t] },
  { key: "drift", name: "log π_θ − log π_ref", says: "nats. Above 0 the token is likelier than under the reference",
    signed: true, floor: 1e-3, of: (c, k, t) => (k.logp_ref ? k.logp[t] - k.logp_ref[t] : null) },
  { key: "share", name: "share of −J", says: "what the token adds to the loss. Over all tokens of the step this sums to the loss",
    signed: true, floor: 1e-9, of: (c, k, t) => k.share[t] },
];

const state = { record: null, quantity: QUANTITIES[0], completion: 0, token: 0, spans: [], marked: null };

const mean = (xs) => (xs.includes(null) ? null : xs.reduce((a, b) => a + b, 0) / xs.length);
const wordOf = (token) => state.record.vocabulary[token];
const stepName = (r) =>
  `step ${r.step}` + (r.settings.updates > 1 ? `, update ${r.update + 1} of ${r.settings.updates}` : "");
const klTerm = (s) => klTerms[`${s.arm} ${s.kl_form}`] ?? null;

// ---------------------------------------------------------------- the step

function showStep(index) {
  const r = (state.record = JSON.parse(texts[index].textContent));
  const s = r.settings;
  $("step").setAttribute("aria-valuetext", stepName(r));
  $("step-name").replaceChildren(stepName(r), el("small", {}, `${index + 1} of ${texts.length}`));
  $("run").textContent =
    `arm ${s.arm}, KL ${s.kl_form}; ${s.prompts} prompts × ${s.group_size} completions; ` +
    `temperature ${s.temperature}; ε ${s.clip_eps}; ` + (s.arm === "rapo" ? `φ_min ${s.phi_min}; ` : "") + `lr ${s.lr}; seed ${s.seed}; ` +
    (/^([/\\.]|\w:)/.test(s.model) ? s.model.split(/[\\/]/).pop() : s.model);
  showEquation(r);
  showRows(r);
  showPrompt(r);
  showCards(r);
  showMetrics(r.metrics);
  [state.completion, state.token] = mostTelling(r.completions);
  paint();
  markSelected();
  inspect(state.completion, state.token);
}

function term(operator, symbol, shown, caption, quantity) {
  const inner = [formula(symbol, "symbol"), shown, el("small", {}, caption)];
  const tag = quantity ? "button" : "span";
  const box = el(tag, { class: "term", ...(quantity ? { type: "button", title: `colour the tokens by ${caption}` } : {}) }, ...inner);
  if (quantity) box.addEventListener("click", () => choose(QUANTITIES.find((q) => q.key === quantity)));
  return el("span", { class: "unit" }, operator ? el("span", { class: "operator" }, operator) : null, box);
}

function showEquation(r) {
  const s = r.settings, rows = r.rows, loss = r.metrics.loss, kl = klTerm(s);
  $("equation").replaceChildren(
    term("", "J(θ)", value(loss === null ? null : -loss, true, "J"), "minus the loss", "share"),
    el("span", { class: "unit" }, el("span", { class: "operator" }, "="), term("", "mean", value(r.rows.reward.length), "completions"),
      el("span", { class: "bracket" }, "(")),
    term("", "g", value(mean(rows.surrogate), false, "mean-g"), "clipped surrogate", "gain"),
    ...(kl
      ? [term("−", "α", value(s.alpha, false, "alpha"), "weight"),
         term("·", kl.split(" = ")[0], value(mean(rows.kl), false, "mean-kl"), "KL, nats a token", "kl")]
      : [el("span", { class: "absent" }, "no KL in this arm")]),
    term("+", "β", value(s.beta, false, "beta"), "weight"),
    term("·", "H(π_θ)", value(mean(rows.entropy), false, "mean-entropy"), "entropy, nats a token", "entropy"),
    el("span", { class: "bracket" }, ")"));
}

/** The whole step as dots, one a completion: which were right, and which group is looked at. */
function showRows(r) {
  const G = r.settings.group_size;
  const groups = r.problems.map((problem, p) => {
    const dots = r.rows.reward.slice(p * G, (p + 1) * G).map((reward) => el("i", { class: reward ? "right" : "" }));
    const right = dots.filter((dot) => dot.className).length;
    const traced = p === r.prompt.index;
    return el("span", {
      class: traced ? "dots traced" : "dots", role: "img", title: problem,
      "aria-label": `${right} of ${G} right${traced ? ", the traced group" : ""}: ${problem}`,
    }, ...dots);
  });
  const own = r.completions.map((c) => c.share);
  $("step-rows").replaceChildren(
    el("p", {}, "Here ", formula("E[1/G Σ]"), ` is the mean over the step's P = ${r.problems.length} prompts and the G = ${G} completions of each, ` +
      "a completion's value being the mean over its tokens. Filled: right. Framed: the group below; its share of the loss −J is ",
      value(own.includes(null) ? null : own.reduce((a, b) => a + b, 0), true, "group-share"), " of ",
      value(r.metrics.loss, true, "loss"), "."),
    el("div", { class: "groups" }, ...groups));
}

function showPrompt(r) {
  const s = r.settings, p = r.prompt;
  $("prompt").replaceChildren(
    el("p", {}, formula("x"), el("span", { class: "x" }, p.text.trim())),
    el("p", {}, "gold answer ", el("code", {}, p.answer)));
  const at = (want) => r.completions.find((c) => Boolean(c.reward) === want);
  const both = (name) => {
    const found = [at(true), at(false)].filter(Boolean);
    return found.flatMap((c, n) => [n ? ", " : "", value(c[name], name === "advantage"), ` if r = ${c.reward}`]);
  };
  const rows = [
    ["A = (r − r̄) / σ", formula("r̄ "), value(r.reward_mean, false, "reward-mean"), formula(", σ "), value(r.reward_std, false, "reward-std"), ": ",
      ...(r.reward_std ? both("advantage") : ["all rewards are equal, so A is 0"])],
    ["ρ = π_θ / π_old", `clipped to ${digits(1 - s.clip_eps)} – ${digits(1 + s.clip_eps)}`,
      r.update ? "" : "; before any update it is 1, up to rounding"],
    ["g = min(ρ A, clip(ρ) A)", "mean over the group ", value(mean(r.completions.map((c) => c.surrogate)))],
  ];
  if (klTerm(s))
    rows.push(s.arm === "rapo"
      ? ["ref^ = π_ref^φ / Z", formula("φ "), ...(s.phi_from === "group" ? [value(r.completions[0].phi), " by the group's mean reward"] : both("phi"))]
      : ["ref^ = π_ref", "this arm does not reweight its reference"]);
  if (klTerm(s)?.includes(" = ")) rows.push([klTerm(s), "the arm's KL at the sampled token"]);
  $("definitions").replaceChildren(
    ...rows.map(([left, ...right]) => el("div", {}, el("dt", {}, powers(left)), el("dd", {}, ...right))));
}

/** formula(), with "^φ" raised. */
function powers(text) {
  const [before, after] = text.split("_ref^φ");
  if (after === undefined) return formula(text);
  const made = formula(`${before}_ref`);
  made.append(el("sup", {}, el("i", {}, "φ")), ...formula(after).childNodes);
  return made;
}

function showMetrics(metrics) {
  const rows = Object.entries(metrics).map(([name, x]) =>
    el("tr", {}, el("th", { scope: "row" }, name),
      el("td", {}, typeof x === "number" || x === null ? value(x) : JSON.stringify(x))));
  $("metrics").querySelector("tbody").replaceChildren(...rows);
}

// ---------------------------------------------------------------- the group

function showCards(r) {
  state.spans = [];
  $("cards").replaceChildren(...r.completions.map((c, i) => {
    const spans = c.columns.token.map((token, t) => {
      const span = document.createElement("span");
      span.textContent = inline(wordOf(token));
      span.place = [i, t];
      return span;
    });
    state.spans.push(spans);
    const verdict = (c.reward ? "✓ " : "✗ ") + c.reason + (c.ended ? "" : ", cut off");
    const head = el("h2", {}, el("span", {}, formula("y"), el("sub", {}, String(i))),
      el("span", { class: c.reward ? "verdict right" : "verdict" }, verdict),
      el("span", { class: "facts" }, fact("r", c.reward), fact("A", c.advantage, true)));
    const facts = el("p", { class: "facts" }, fact("φ", c.phi), fact("g", c.surrogate, true),
      c.columns.logp_ref ? fact("KL", c.kl) : null, fact("H", c.entropy), fact("share", c.share, true));
    return el("article", { class: "card", "aria-label": `completion ${i}, ${verdict}` }, head, facts,
      el("div", { class: "tokens", role: "group", "aria-label": `${spans.length} tokens of completion ${i}` }, ...spans));
  }));
}

const fact = (name, x, signed = false) =>
  el("span", {}, formula(name), " ", value(x, signed, name, 3));

function choose(quantity) {
  state.quantity = quantity;
  paint();
}

/** Colour every token by the chosen quantity; only classes change. */
function paint() {
  const q = state.quantity;
  $("quantities").querySelector(`[value=${q.key}]`).checked = true;
  const values = state.record.completions.map((c) => c.columns.token.map((_, t) => q.of(c, c.columns, t)));
  const { limit, beyond } = limitOf(values.flat(), q.floor);
  state.spans.forEach((spans, i) => spans.forEach((span, t) => {
    const name = shade(values[i][t], limit, q.signed);
    if (span.className !== name) span.className = name;
  }));
  markSelected();
  const absent = values.every((row) => row.every((x) => x === null));
  const end = (beyond ? "≥ " : "") + digits(limit);
  $("legend").replaceChildren(
    el("span", { class: "scale" }, q.signed ? `${beyond ? "≤ " : ""}${digits(-limit)}` : "0",
      el("span", { class: q.signed ? "ramp signed" : "ramp" }), q.signed ? digits(limit, true).replace("+", beyond ? "≥ +" : "+") : end),
    el("span", {}, absent ? "This step had no reference: there is nothing to show." : `${q.says}.`));
}

/** Where to look first, [i, t]: the largest KL (or entropy) in the first wrong completion, if one is. */
function mostTelling(completions) {
  const i = Math.max(0, completions.findIndex((c) => !c.reward));
  const k = completions[i].columns, values = k.logp_ref ? k.kl : k.entropy;
  return [i, values.reduce((best, x, t) => (x > values[best] ? t : best), 0)];
}

// ---------------------------------------------------------------- one token

/** Only the selected token can be reached by Tab and is named for a screen reader. */
function markSelected() {
  const c = state.record.completions[state.completion], k = c.columns, t = state.token;
  const span = state.spans[state.completion][t];
  if (span !== state.marked) // else it would lose the focus on the way
    for (const name of ["tabindex", "role", "aria-label", "aria-current"]) state.marked?.removeAttribute(name);
  state.marked = span;
  span.setAttribute("tabindex", "0");
  span.setAttribute("role", "button");
  span.setAttribute("aria-current", "true");
  span.setAttribute("aria-label",
    `token ${t} of completion ${state.completion}: ${visible(wordOf(k.token[t]))}; ` +
    `${state.quantity.name.replaceAll("_", " ")} ${digits(state.quantity.of(c, k, t))}; ` +
    `log pi ${digits(k.logp[t])}, KL ${digits(k.kl[t])}, entropy ${digits(k.entropy[t])}, share ${digits(k.share[t])}`);
}

function select(i, t, focus = true) {
  state.completion = Math.max(0, Math.min(i, state.spans.length - 1));
  state.token = Math.max(0, Math.min(t, state.spans[state.completion].length - 1));
  markSelected();
  if (focus) state.spans[state.completion][state.token].focus();
  inspect(state.completion, state.token);
}

function inspect(i, t) {
  const r = state.record, s = r.settings, c = r.completions[i], k = c.columns, n = k.token.length;
  const at = (name) => (k[name] ? k[name][t] : null);
  const B = r.rows.reward.length, kl = klTerm(s);
  const line = (...parts) => el("p", {}, ...parts);
  const place = el("div", { class: "place math" },
    line(formula(`share = −(g ${kl ? "− α·KL " : ""}+ β·H) / (B·|y|)`)),
    line("= −(", value(at("surrogate"), false, "surrogate"),
      ...(kl ? [" − ", value(s.alpha), "·", value(at("kl"), false, "kl")] : []),
      " + ", value(s.beta), "·", value(at("entropy"), false, "entropy"), ") / (", value(B), "·", value(n), ")"),
    line("= ", el("b", {}, value(at("share"), true, "share"))));
  const numbers = [
    ["log π_θ", "logp"], ["log π_old", "logp_old"], ["log π_ref", "logp_ref"], ["log ref^", "logp_target"],
  ].map(([name, key]) => [name, value(at(key), false, key)]);
  numbers.push(["ρ", el("span", {}, value(at("ratio"), false, "ratio"), k.clipped[t] ? " clipped" : "")],
    ["A", value(c.advantage, true, "advantage")], ["φ", value(c.phi, false, "phi")],
    ["A · ρ", value(c.advantage * k.ratio[t], true, "gain")]);
  $("inspector").replaceChildren(
    el("h2", {}, el("code", { class: "token" }, visible(wordOf(k.token[t]))),
      el("span", {}, formula("y"), el("sub", {}, String(i)), ` token ${t} of ${n}`)),
    place,
    el("dl", {}, ...numbers.map(([name, shown]) => el("div", {}, el("dt", {}, formula(name)), el("dd", {}, shown)))),
    ...distributions(k, t));
}

const SERIES = [["p_policy", "π_θ"], ["p_ref", "π_ref"], ["p_target", "ref^"]];

/** What could have stood here: the likeliest tokens under each distribution, as bars. */
function distributions(k, t) {
  const series = SERIES.filter(([key]) => k[key]);
  const key = el("p", { class: "series" }, ...series.map(([name, symbol]) => el("span", { class: name }, formula(symbol))));
  const bars = (ps) => el("span", { class: "bars" }, ...series.map(([name], n) => {
    const bar = el("i", { class: name });
    bar.style.setProperty("--p", ps[n] ?? 0);
    return el("span", { title: `${ps[n]}` }, bar, digits(ps[n], false, 3));
  }));
  const rows = k.likely[t].map((token, c) => {
    const drawn = token === k.token[t];
    return el("li", drawn ? { class: "drawn" } : {},
      el("code", { title: `token id ${token}` }, visible(wordOf(token)), drawn ? el("small", {}, "drawn") : null),
      bars(series.map(([name]) => k[name][t][c])));
  });
  const rest = series.map(([name]) => Math.max(0, 1 - k[name][t].reduce((a, b) => a + b, 0)));
  rows.push(el("li", { class: "rest" }, el("span", {}, "all others"), bars(rest.map((p) => (p < 5e-6 ? 0 : p)))));
  const note = k.p_ref ? null : el("p", { class: "note" }, "This arm has no KL, so the step read no reference.");
  return [el("h3", {}, "What could have stood here"), key, el("ol", { class: "likely" }, ...rows), note].filter(Boolean);
}

// ---------------------------------------------------------------- pointer and keys

function listen() {
  const cards = $("cards");
  const placeOf = (event) => event.target.place ?? null;
  cards.addEventListener("pointerover", (event) => placeOf(event) && inspect(...placeOf(event)));
  cards.addEventListener("pointerleave", () => inspect(state.completion, state.token));
  cards.addEventListener("click", (event) => placeOf(event) && select(...placeOf(event)));
  cards.addEventListener("focusin", (event) => placeOf(event) && inspect(...placeOf(event)));
  cards.addEventListener("keydown", (event) => {
    const { completion: i, token: t } = state;
    const moves = {
      ArrowLeft: [i, t - 1], ArrowRight: [i, t + 1], ArrowUp: [i - 1, t], ArrowDown: [i + 1, t],
      Home: [i, 0], End: [i, Infinity],
    };
    if (!moves[event.key] || !placeOf(event) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    select(...moves[event.key]);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const quantity = QUANTITIES[Number(event.key) - 1];
    if (quantity) choose(quantity);
  });
  $("step").addEventListener("input", () => showStep(Number($("step").value)));
}

function start() {
  document.head.append(el("style", {}, shadeRules()));
  for (const [n, q] of QUANTITIES.entries()) {
    const radio = el("input", { type: "radio", name: "quantity", value: q.key, "aria-keyshortcuts": String(n + 1) });
    radio.addEventListener("change", () => choose(q));
    $("quantities").append(el("label", { title: `${q.says} (key ${n + 1})` }, radio, formula(q.name)));
  }
  if (!texts.length) {
    document.querySelector("main").replaceChildren(el("p", {}, "No step is traced yet."));
    return;
  }
  $("step").max = texts.length - 1;
  $("step").disabled = texts.length === 1;
  listen();
  showStep(0);
}

start();
