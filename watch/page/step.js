// The step as a whole: the equation, the stops before the tokens, the groups that are not traced.

/** One equation a run, with the step's values; each named quantity is a button that colours the tokens. */
function showEquation(sides) {
  $("equation").replaceChildren(...sides.map((r) =>
    el("div", { class: "equation" }, sides.length > 1 ? el("span", { class: "arm" }, armName(r)) : null, ...equationOf(r))));
}

function equationOf(r) {
  const s = r.settings, rows = r.rows, loss = r.metrics.loss, kl = klTerm(s);
  return [
    term("", "J(θ)", value(minus(loss), true, "J"), "what the step climbs", "share"),
    el("span", { class: "unit" }, el("span", { class: "operator" }, "="), term("", "mean", value(rows.reward.length), "completions"),
      el("span", { class: "bracket" }, "(")),
    term("", "g", value(mean(rows.surrogate), false, "mean-g"), "the push, clipped", "gain"),
    ...(kl
      ? [together(term("−", "α", value(s.alpha, false, "alpha"), "weight"),
         term("·", kl.split(" = ")[0], value(mean(rows.kl), false, "mean-kl"), "KL, nats a token", "kl"))]
      : [el("span", { class: "absent" }, "no KL in this arm")]),
    together(term("+", "β", value(s.beta, false, "beta"), "weight"),
      term("·", "H(π_θ)", value(mean(rows.entropy), false, "mean-entropy"), "entropy, nats a token", "entropy"),
      el("span", { class: "bracket" }, ")")),
  ];
}

/** What stays on one line where the window is narrow. */
const together = (...parts) => el("span", { class: "unit" }, ...parts);

function term(operator, symbol, shown, caption, quantity) {
  const inner = [formula(symbol, "symbol"), shown, el("small", {}, caption)];
  const tag = quantity ? "button" : "span";
  const box = el(tag, { class: "term", ...(quantity ? { type: "button", title: `colour the tokens by ${caption}` } : {}) }, ...inner);
  if (quantity) box.addEventListener("click", () => choose(QUANTITIES.find((q) => q.key === quantity)));
  return el("span", { class: "unit" }, operator ? el("span", { class: "operator" }, operator) : null, box);
}

// ---------------------------------------------------------------- stops 1 to 4

function showStops(r, cards) {
  captions(r).forEach((caption, n) => $(`caption-${n + 1}`).replaceChildren(...said(caption)));
  $("prompt").replaceChildren(
    el("p", { class: "x" }, r.prompt.text.trim()), el("p", {}, "gold answer ", el("code", {}, r.prompt.answer)));
  $("attempts").replaceChildren(...cards.map((card) => attempt(card.rows.length, r.completions[card.rows[0]].text)));
  $("attempts-count").textContent = cards.length < r.completions.length
    ? `${many(cards.length, "different one")} of ${r.completions.length}; × counts equal ones` : "";
  const right = r.completions.map((c) => c.reward);
  $("grades").replaceChildren(
    el("span", { class: "dots", role: "img", "aria-label": `${right.filter(Boolean).length} of ${right.length} right` }, ...right.map(dot)),
    el("ul", {}, ...counted(r.completions.map((c) => c.reason)).map(([reason, n]) =>
      el("li", {}, el("b", {}, String(n)), ` ${reason.replaceAll("_", " ")}`))));
  showAdvantage(r);
}

const attempt = (count, text, ...more) =>
  el("li", {}, el("span", { class: "times" }, count > 1 ? `×${count}` : ""), el("span", {}, visibleLine(text)), ...more);
const dot = (reward) => el("i", { class: reward ? "right" : "" });
const visibleLine = (text) => visible(text.trim()).replaceAll("␣", " ");

/** Each thing once, with how often it stands in the list, the most frequent first. */
function counted(things) {
  const counts = new Map();
  for (const thing of things) counts.set(thing, (counts.get(thing) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}

function showAdvantage(r) {
  const at = (want) => r.completions.find((c) => Boolean(c.reward) === want);
  const line = (c) => el("p", { class: c.reward ? "big right" : "big wrong" }, formula("A"), " = ",
    value(c.advantage, true, c.reward ? "advantage-right" : "advantage-wrong"), el("small", {}, c.reward ? " for a right one" : " for a wrong one"));
  $("advantage").replaceChildren(
    el("p", {}, formula(advantageOf(r.settings)), el("small", {}, " with the group's mean ", formula("r̄ "), value(r.reward_mean, false, "reward-mean"),
      " and standard deviation ", formula("σ "), value(r.reward_std, false, "reward-std"))),
    ...(r.reward_std ? [at(true), at(false)].filter(Boolean).map(line)
      : [el("p", {}, "Here all rewards are equal, so A is 0: nothing is pushed, and only the KL acts.")]));
}

// ---------------------------------------------------------------- the other groups

/** The whole step as dots, one a completion; a group that is chosen shows what is recorded of it. */
function showRows(r) {
  const G = r.settings.group_size, own = r.completions.map((c) => c.share);
  const groups = r.problems.map((problem, p) => {
    const rewards = r.rows.reward.slice(p * G, (p + 1) * G), traced = p === r.prompt.index;
    const right = rewards.filter(Boolean).length;
    const button = el("button", {
      type: "button", class: traced ? "dots traced" : "dots", title: problem, "aria-pressed": "false",
      "aria-label": `${right} of ${G} right${traced ? ", the traced group" : ""}: ${problem}`,
    }, ...rewards.map(dot));
    button.addEventListener("click", () => showGroup(r, p));
    return button;
  });
  $("step-rows").replaceChildren(
    el("p", {}, `The step has ${many(r.problems.length, "prompt")}, each with ${G} attempts; a dot is an attempt, filled if it is right. The framed group is the one above, ` +
      "chosen because its rewards differ most; its share of J is ", value(minus(total(own)), true, "group-share"), " of ", value(minus(r.metrics.loss), true, "loss"),
      ". Of the others the texts, verdicts and shares are recorded, but not the numbers of their tokens. Press a group to read it."),
    el("div", { class: "groups" }, ...groups));
  $("other").replaceChildren();
}

function showGroup(r, p) {
  const G = r.settings.group_size, first = p * G;
  $("step-rows").querySelectorAll("button").forEach((b, n) => b.setAttribute("aria-pressed", String(n === p)));
  const rows = r.attempts.slice(first, first + G).map((a, g) => ({ ...a, reward: r.rows.reward[first + g], share: r.rows.share[first + g] }));
  const same = byKey(rows, (a) => `${a.reward} ${a.text}`);
  $("other").replaceChildren(
    el("p", { class: "x" }, r.problems[p]), el("p", {}, "gold answer ", el("code", {}, r.answers[p]),
      p === r.prompt.index ? ". This is the traced group." : ""),
    el("ol", { class: "attempts" }, ...[...same.values()].map((all) => attempt(all.length, all[0].text,
      el("small", { class: all[0].reward ? "verdict right" : "verdict" },
        `${all[0].reward ? "✓" : "✗"} ${all[0].reason.replaceAll("_", " ")}; share of J `, value(minus(total(all.map((a) => a.share))), true, "", 3))))));
}

/** Things under their key, in order (Map.groupBy is too new). */
function byKey(things, key) {
  const groups = new Map();
  for (const thing of things) groups.set(key(thing), [...(groups.get(key(thing)) ?? []), thing]);
  return groups;
}

function showMetrics(sides) {
  const fourDigits = (_key, x) => (typeof x === "number" ? Number(x.toPrecision(4)) : x);
  const names = [...new Set(sides.flatMap((r) => Object.keys(r.metrics)))];
  const cell = (x) => el("td", {}, typeof x === "number" || x === null ? value(x) : JSON.stringify(x, fourDigits) ?? "–");
  const rows = names.map((name) => el("tr", {}, el("th", { scope: "row" }, name), ...sides.map((r) => cell(r.metrics[name]))));
  $("metrics").querySelector("tbody").replaceChildren(...rows);
}
