// The page: one record at a time (a traced step), one quantity as colour, one token in the inspector.

const $ = (id) => document.getElementById(id);
const texts = [...document.querySelectorAll("script.record")];
const others = [...document.querySelectorAll("script.beside")]; // of another run the same steps, or none

const state = {
  sides: [], record: null, // the runs' records of this step; the first one
  cards: [], spans: [], // different completions; their tokens' elements, [side][card][t]
  quantity: QUANTITIES[0], card: 0, token: 0, looked: [0, 0], marked: null,
  phi: null, // that of the slider; null: the step's own
};

const wordOf = (token) => state.record.vocabulary[token];
const stepName = (r) =>
  `step ${r.step}` + (r.settings.updates > 1 ? `, update ${r.update + 1} of ${r.settings.updates}` : "");

/** A run's name beside another: its arm, or what else differs in its settings. */
function armName(r) {
  const other = state.sides.find((x) => x !== r)?.settings ?? r.settings, s = r.settings;
  const differ = Object.keys(s).filter((key) => key !== "model" && s[key] !== other[key]);
  if (s.arm !== other.arm || !differ.length) return s.arm;
  return differ.map((key) => `${key.replaceAll("_", " ")} ${s[key]}`).join(", ");
}

function runInWords(r) {
  const s = r.settings, model = /^([/\\.]|\w:)/.test(s.model) ? s.model.split(/[\\/]/).pop() : s.model;
  return `arm ${s.arm}, KL ${s.kl_form}` + (klTerm(s) ? `, α ${s.alpha}` : "") + (reweighted(s) ? `, φ_min ${digits(s.phi_min)}` : "") +
    `; ${s.prompts} prompts × ${s.group_size} completions; temperature ${s.temperature}; ε ${s.clip_eps}; lr ${s.lr}` +
    (known(r.metrics.lr) ? ` (${digits(r.metrics.lr)} at this step)` : "") + `; seed ${s.seed}; ${model}`;
}

function showStep(index) {
  const read = (list) => list[index] && JSON.parse(list[index].textContent);
  state.sides = [read(texts), read(others)].filter(Boolean);
  const r = (state.record = state.sides[0]);
  state.cards = merged(r);
  $("step").setAttribute("aria-valuetext", stepName(r));
  $("step-name").replaceChildren(stepName(r), el("small", {}, `${index + 1} of ${texts.length}`));
  $("run").replaceChildren(...state.sides.map((side) => el("span", {}, runInWords(side))));
  showStops(r, state.cards);
  showEquation(state.sides);
  $("outcome").replaceChildren(...state.sides.flatMap((side) => [
    state.sides.length > 1 ? el("b", { class: "arm" }, armName(side)) : "", outcome(side)]), el("p", { class: "caption" }, NOT_ALONE));
  const terms = new Map(state.sides.flatMap((side) => glossary(side).map((row) => [row[0], row])));
  $("definitions").replaceChildren(...[...terms.values()].map(([left, ...right]) =>
    el("div", {}, el("dt", {}, powers(left)), el("dd", {}, ...right.flatMap((x) => (typeof x === "string" ? said(x) : x))))));
  showCards();
  showRows(r);
  showMetrics(state.sides);
  [state.card, state.token] = mostTelling();
  paint();
  inspect(state.card, state.token);
}

// ---------------------------------------------------------------- pointer and keys

function listen() {
  const cards = $("cards"), placeAt = (event) => event.target.place ?? null;
  cards.addEventListener("pointerover", (event) => placeAt(event) && event.pointerType !== "touch" && inspect(...placeAt(event)));
  cards.addEventListener("pointerleave", () => String(state.looked) !== String([state.card, state.token]) && inspect(state.card, state.token));
  cards.addEventListener("click", (event) => placeAt(event) && select(...placeAt(event)));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const quantity = QUANTITIES[Number(event.key) - 1];
    if (quantity) choose(quantity);
    else if (!event.target.closest("input, button, summary, .x, .attempts")) move(event);
  });
  $("step").addEventListener("input", () => showStep(Number($("step").value)));
  document.addEventListener("click", (event) => matchMedia("(hover: none)").matches && allDigits(event.target.closest(".value[title]")));
}

/** A number that is touched shows all its digits, and touched again those that it had. */
function allDigits(number) {
  if (!number) return;
  const shown = [...number.childNodes];
  number.replaceChildren(...(number.short ?? [number.title]));
  number.short = number.short ? null : shown;
}

/** Arrows go from token to token, wherever the focus is but in a control that needs them itself. */
function move(event) {
  const { card: i, token: t } = state;
  const there = {
    ArrowLeft: [i, t - 1], ArrowRight: [i, t + 1], ArrowUp: [i - 1, t], ArrowDown: [i + 1, t], Home: [i, 0], End: [i, Infinity],
  }[event.key];
  if (!there || (event.key.length < 5 && !event.target.place)) return; // Home and End scroll the page, but in the tokens
  event.preventDefault();
  select(...there);
}

function start() {
  document.head.append(el("style", {}, shadeRules()));
  for (const [n, q] of QUANTITIES.entries()) {
    const radio = el("input", { type: "radio", name: "quantity", value: q.key, "aria-keyshortcuts": String(n + 1) });
    radio.addEventListener("change", () => choose(q));
    const label = el("label", { title: `${q.says} (key ${n + 1})` }, radio, formula(q.name));
    // A click on a colour leaves the arrows to the tokens; by Tab they choose the colour.
    label.addEventListener("click", (event) => event.detail && setTimeout(() => state.marked?.focus({ preventScroll: true, focusVisible: false })));
    $("quantities").append(label);
  }
  if (!texts.length) {
    document.querySelector("main").replaceChildren(el("p", {}, "No step is traced yet."));
    return;
  }
  document.body.classList.toggle("two", others.length > 0);
  $("words").open = innerWidth > 700;
  $("inspector").hidden = innerWidth <= 700; // until a token is touched
  $("step").max = texts.length - 1;
  $("step").disabled = texts.length === 1;
  listen();
  showStep(0);
}

start();
