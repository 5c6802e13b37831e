// The words of the page: what a colour says, what a letter means, what a step did. Makes elements, keeps no state.

const arms = JSON.parse(document.getElementById("arms").textContent);
const klTerm = (s) => arms[s.arm]?.[s.kl_form] ?? null;
const reweighted = (s) => Boolean(arms[s.arm]?.reweighted);
const mean = (xs) => (xs.includes(null) ? null : xs.reduce((a, b) => a + b, 0) / xs.length);
const total = (xs) => (xs.includes(null) ? null : xs.reduce((a, b) => a + b, 0));
const minus = (x) => (x === null || x === undefined ? null : 0 - x);
const many = (n, one, more = `${one}s`) => `${n} ${n === 1 ? one : more}`;

/** Blue is up everywhere: likelier, asked to be likelier, more of J. Orange is down. */
const QUANTITIES = [
  { key: "change", name: "Δ log π", says: "what this step changed, in nats. Blue: the token became likelier; orange: less likely",
    signed: true, floor: 1e-3, of: (c, k, t) => difference(k.logp_after?.[t], k.logp[t]) },
  { key: "gain", name: "push A · ρ", says: "advantage × ratio. Blue: the step is asked to make the token likelier; orange: less likely",
    signed: true, floor: 1e-3, of: (c, k, t) => c.advantage * k.ratio[t] },
  { key: "kl", name: "KL", says: "in nats. How far the policy is from its target at this place: how hard the KL pulls back",
    signed: false, floor: 1e-4, of: (c, k, t) => (k.logp_ref ? k.kl[t] : null) },
  { key: "entropy", name: "H", says: "entropy, in nats. How undecided the policy was at this place",
    signed: false, floor: 1e-3, of: (c, k, t) => k.entropy[t] },
  { key: "drift", name: "log π_θ − log π_ref", says: "in nats, before the step. Blue: likelier than under the reference; orange: less likely",
    signed: true, floor: 1e-3, of: (c, k, t) => (k.logp_ref ? k.logp[t] - k.logp_ref[t] : null) },
  { key: "share", name: "share of J", says: "what the token adds to J. Blue raises J, orange lowers it; over all tokens of the step this sums to J",
    signed: true, floor: 1e-9, of: (c, k, t) => minus(k.share[t]) },
];

const known = (x) => x !== null && x !== undefined;
const difference = (after, before) => (known(after) && known(before) ? after - before : null);

/** What the step did to the log-prob of a whole completion: the sum over its tokens. */
const changeOf = (c) => total(c.columns.token.map((_, t) => difference(c.columns.logp_after?.[t], c.columns.logp[t])));

/** Running text with its letters set as formulas. */
const said = (text) =>
  text.split(/(π_(?:θ|old|ref)|ref\^|φ_t|H\(π_(?:θ|ref)\)|A · ρ)/).map((part, n) => (n % 2 ? formula(part) : part));

// ---------------------------------------------------------------- what the step did

const LEAST = 0.001; // nats, and probability: less than that is called no change

/** The candidates of one place whose log π the step changed, those with the most mass moved first. */
function movesAt(k, t) {
  if (!k.p_after || !k.likely[t]) return null;
  return k.likely[t]
    .map((token, c) => ({ token, p: k.p_policy[t][c], q: k.p_after[t][c] }))
    .map((m) => ({ ...m, by: m.p && m.q ? Math.log(m.q / m.p) : 0 }))
    .filter((m) => Math.abs(m.by) >= LEAST && Math.max(m.p, m.q) >= LEAST)
    .sort((a, b) => Math.abs(b.q - b.p) - Math.abs(a.q - a.p));
}

/** "The step made growing likelier by 0.058 and common less likely by 0.041; nothing else moved." */
function movedSentence(r, k, t) {
  const moves = movesAt(k, t);
  if (moves === null) return el("p", { class: "moved" }, "Not recorded at this place: the group is too long.");
  if (!moves.length) return el("p", { class: "moved" }, `The step moved nothing here by ${LEAST} nats or more.`);
  const up = moves.filter((m) => m.by > 0).slice(0, 2), down = moves.filter((m) => m.by < 0).slice(0, 2);
  const parts = [...up, ...down].map((m) => [
    el("em", { class: m.by > 0 ? "up" : "down" }, visible(r.vocabulary[m.token])),
    m.by > 0 ? " likelier by " : " less likely by ", value(Math.abs(m.by), false, "", 3)]);
  const left = moves.length - parts.length;
  return el("p", { class: "moved" }, "The step made ", ...parts.flatMap((part, n) => [n ? (n === parts.length - 1 ? " and " : ", ") : "", ...part].flat()),
    left ? `; ${many(left, "other")} moved too.` : "; nothing else moved.");
}

const NOT_ALONE = "What changed at a token comes from the whole step, not from its own push alone: from every group, " +
  "through weights that all tokens share, and from the optimizer.";

/** What the step did to right and to wrong attempts, each as a whole. */
function outcome(r) {
  const side = (right) => {
    const all = r.completions.filter((c) => Boolean(c.reward) === right).map(changeOf);
    const by = all.length ? mean(all) : null;
    return by === null ? [] : [[right ? "a right attempt " : "a wrong one ", el("b", { class: right ? "right" : "wrong" }, "×", value(Math.exp(by), false, right ? "times-right" : "times-wrong", 3)),
      ` as likely as before (Δ log π ${digits(by, true, 3)}, the mean of ${all.length})`]];
  };
  const said = [...side(true), ...side(false)];
  if (!said.length) return el("p", {}, "This step's numbers were not finite: nothing was changed.");
  return el("p", {}, "This step made ", ...said.flatMap((part, n) => (n ? [" and ", ...part] : part)), ".");
}

// ---------------------------------------------------------------- the stops

/** The captions of the five stops, each with this step's own numbers. */
function captions(r) {
  const G = r.completions.length, right = r.completions.filter((c) => c.reward).length, s = r.settings;
  return [
    "The model is given this text and nothing else. The gold answer is for the grader.",
    `The policy π_old, the model as it stood before the step, tries ${many(G, "time")}, token by token, at random as its probabilities say.`,
    `A program compares each final answer with the gold one: r = 1 if it is right, else 0. Here ${right} of ${G} are right.`,
    "How much better than its group an attempt did: one number for all the attempt's tokens.",
    klTerm(s)
      ? "Two forces act on every token. The push, A · ρ, makes the tokens of better attempts likelier and those of worse ones less likely. The KL, weighed by α, pulls the policy back to its target. β may add entropy. J is their sum, and the step climbs it."
      : "One force acts on every token. The push, A · ρ, makes the tokens of better attempts likelier and those of worse ones less likely. This arm has no KL that pulls the policy back.",
  ];
}

/** What the letters mean, [letters, words and values], for this record. */
function glossary(r) {
  const s = r.settings, kl = klTerm(s);
  const at = (want) => r.completions.find((c) => Boolean(c.reward) === want);
  const phis = [at(true), at(false)].filter(Boolean).flatMap((c, n) => [n ? ", " : "", value(c.phi, false, "phi"), ` if r = ${c.reward}`]);
  const rows = [
    ["π_θ, π_old, π_ref", "a policy gives each possible next token a probability. π_θ is the one in training, π_old it before this step, π_ref the reference: the model before training"],
    ["log π, nats", "logs are natural, their unit is the nat: +0.1 nats is 1.105 times as likely, −0.1 nats 0.905 times"],
    ["ρ = π_θ / π_old", `how far the policy has left the attempts' own; clipped to ${digits(1 - s.clip_eps)} – ${digits(1 + s.clip_eps)}`,
      r.update ? "" : "; before any update it is 1, up to rounding"],
    ["g = min(ρ A, clip(ρ) A)", "the push as it stands in J; mean over the group ", value(mean(r.completions.map((c) => c.surrogate)))],
  ];
  if (kl) {
    rows.push(["α", "alpha, the weight of the KL: how hard the policy is held to its target; here ", value(s.alpha)]);
    rows.push([kl, kl.includes(" = ") ? "this arm's KL, an estimate at the sampled token: " : "this arm's KL, exact over all tokens: ", "0 where the policy agrees with its target"]);
    rows.push(reweighted(s)
      ? ["φ", "phi, the power that flattens the reference: 1 leaves it as it is, 0 makes all tokens alike; ",
         ...(s.phi_from === "group" ? [value(r.completions[0].phi), " by the group's mean reward"] : phis)]
      : ["φ", "phi would flatten the reference; this arm does not reweight its reference"]);
    rows.push([reweighted(s) ? "ref^ = π_ref^φ / Z" : "ref^ = π_ref", reweighted(s)
      ? "the target of the KL: after a wrong attempt a flatter reference, which asks for other tokens; after a right one the reference" +
        (s.plausible ? `; only tokens with at least ${s.plausible} of the likeliest one's probability share anew` : "") +
        (s.fork_entropy ? `; in full only at forks, where H(π_ref) is ${s.fork_entropy} nats or more` : "")
      : "the target of the KL"]);
  }
  rows.push(["β, H", "beta, the weight of the entropy H(π_θ), which is high where many tokens are likely; here ", value(s.beta)]);
  rows.push(["share of J", "what a token adds to J: its g − α KL + β H, divided by its completion's tokens and the step's completions"]);
  return rows;
}

const ADVANTAGES = { group_advantages: "A = (r − r̄) / σ", max_rl_advantages: "A = (r − r̄) / r̄" };

/** How the run's arm makes A of the rewards; a name of objective.py where there is no short formula. */
const advantageOf = (s) => ADVANTAGES[arms[s.arm]?.advantage] ?? `A = ${(arms[s.arm]?.advantage ?? "advantage").replaceAll("_", " ")} (r)`;

/** formula(), with "^φ" raised. */
function powers(text) {
  const [before, after] = text.split("_ref^φ");
  if (after === undefined) return formula(text);
  const made = formula(`${before}_ref`);
  made.append(el("sup", {}, el("i", {}, "φ")), ...formula(after).childNodes);
  return made;
}

// ---------------------------------------------------------------- ref^ for any phi

/** log Z at phi, between the eleven recorded places 0, 0.1, ... 1: Lagrange's cubic through four of them. */
function logZ(grid, phi) {
  const x = phi * 10, first = Math.max(0, Math.min(7, Math.floor(x) - 1));
  let sum = 0;
  for (let i = first; i < first + 4; i++) {
    let weight = 1;
    for (let j = first; j < first + 4; j++) if (j !== i) weight *= (x - j) / (i - j);
    sum += weight * grid[i];
  }
  return sum;
}

/** phi at one place: with --fork-entropy it is 1 where the reference leaves no choice (objective.phi_at_forks). */
const phiAt = (k, t, phi, s) =>
  s.fork_entropy ? 1 - (1 - phi) * Math.min(1, k.ref_entropy[t] / s.fork_entropy) : phi;

/** ref^ of the candidates at one place (objective.reweight): p^phi / Z, among the plausible ones if the run says so. */
function flattened(k, t, phi, s) {
  const ps = k.p_ref[t], at = phiAt(k, t, phi, s), grid = k.log_z[t];
  const least = (s.plausible || 0) * Math.max(...ps);
  return ps.map((p) => (p < least ? p : p ** at * Math.exp(grid[10] - logZ(grid, at))));
}
