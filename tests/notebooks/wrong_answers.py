"""Wrong answers to the course's exercises that students do give, and words of the sentence they get."""

STEP = """
from objective import clipped_surrogate, entropy, exact_forward_kl, group_advantages, reweight
def my_step(policy, optimizer, rolled, settings):
    tokens, mask, old, _ = rolled.completions
    A = group_advantages(rolled.reward).flatten()[:, None]
    phi = settings.phi_min + (1 - settings.phi_min) * rolled.reward.flatten()
    with reference_weights(policy) as model:
        target = reweight(log_prob_rows(model, rolled), phi[:, None, None])
    rows = log_prob_rows(policy.model, rolled)
    logp = rows.gather(-1, tokens[..., None])[..., 0] * mask
    g, _ = clipped_surrogate(logp, old, A, settings.clip_eps)
    J = g - settings.alpha * exact_forward_kl(rows, target) + settings.beta * entropy(rows)
    loss = -((J * mask).sum(1) / mask.sum(1)).mean()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(policy.trainable(), MAX_GRAD_NORM)
    optimizer.step()
    return loss.item()
"""  # 08.1, solved


def slip(right: str, wrong: str) -> str:
    """STEP with one slip in it."""
    assert STEP.count(right) == 1, right
    return STEP.replace(right, wrong)


WRONG = [
    # 01: the verifier
    ("01.1", "my_extract = lambda t: t.split('boxed{')[1].split('}')[0]", "Count the braces"),
    ("01.1", "def my_extract(t):\n    return t[t.find('boxed{') + 6 : t.rfind('}')]", "two boxes"),
    (
        "01.1",
        "import re\ndef my_extract(t):\n    s = t.rfind('boxed{') + 6\n    return t[s:]",
        "a single box: from",
    ),
    (
        "01.1",
        "def my_extract(t):\n    begin = t.rfind('\\\\boxed{')\n    if begin < 0:\n        return None\n"
        "    begin, depth, i = begin + 7, 1, begin + 7\n    for i in range(begin, len(t)):\n"
        "        depth += (t[i] == '{') - (t[i] == '}')\n        if depth == 0:\n            break\n"
        "    return t[begin:i].strip() or None",
        "it ended with the text",
    ),
    (
        "01.1",
        "from verifier import extract_answer\n"
        "my_extract = lambda t: extract_answer(t.replace('\\\\boxed', 'boxed').replace('boxed', "
        "'\\\\boxed'))",
        "stroke and all",
    ),
    ("01.2", "def my_same(a, g):\n    return eval(a) == eval(g)", "EXECUTED the answer"),
    (
        "01.2",
        "def my_same(a, g):\n    try:\n        return float(Fraction(a)) == float(Fraction(g))\n"
        "    except (ValueError, ZeroDivisionError):\n        return False",
        "a float has rounded",
    ),
    ("01.2", "def my_same(a, g):\n    return a == g", "gives False, and True is right"),
    ("01.2", "def my_same(a, g):\n    return Fraction(a) == Fraction(g)", "ZeroDivisionError"),
    ("01.3", "my_verdicts = dict.fromkeys('ABCDEFGH', True)", "units are compared, not converted"),
    ("01.3", "my_verdicts = dict.fromkeys('ABCDEFGH', 1)", "True or False is needed"),
    (
        "01.3",
        "my_verdicts = dict(A=False, B=True, C=True, D=False, E=True, F=True, G=True, H=True)",
        "2 of 8 differ from our choice. C (0.05 m",
    ),
    (
        "01.3",
        "my_verdicts = dict(A=False, B=True, C=False, D=True, E=True, F=True, G=False, H=False)",
        "in a pair the order counts",
    ),
    ("01.4", "my_hack = r'\\boxed{14}'", "let the verifier do the computing"),
    ("01.4", "my_hack = r'\\boxed{fourteen}'", "in another spelling"),
    ("01.4", "my_hack = 'eleven and three'", "finds no answer"),
    ("01.4", "my_hack = r'\\boxed{2x = 28}'", "refused"),
    # 02: sampling
    (
        "02.1",
        "def my_log_probs(z, t):\n    return torch.softmax(z / t, dim=-1)",
        "their logs are wanted",
    ),
    (
        "02.1",
        "def my_log_probs(z, t):\n    return torch.log_softmax(z * t, -1)",
        "it has to divide",
    ),
    (
        "02.1",
        "def my_log_probs(z, t):\n    return torch.log_softmax(z, -1) / t",
        "divided after the softmax",
    ),
    (
        "02.1",
        "def my_log_probs(z, t):\n    e = (z / t).exp()\n    return (e / e.sum(-1, keepdim=True)).log()",
        "e^800 overflows",
    ),
    (
        "02.1",
        "def my_log_probs(z, t):\n    return z / t - z.logsumexp(-1, keepdim=True)",
        "it belongs into both",
    ),
    ("02.2", "def my_draw(p, u):\n    return p.argmax(-1)", "the noise has to decide"),
    (
        "02.2",
        "def my_draw(p, u):\n    return (p.exp().cumsum(-1) >= u[:, None]).int().argmax(-1)",
        "above, not at",
    ),
    (
        "02.2",
        "def my_draw(p, u):\n    return (p.exp().cumsum(-1) - u[:, None]).abs().argmin(-1)",
        "the edge NEAREST to the noise",
    ),
    (
        "02.2",
        "def my_draw(p, u):\n    return (p.exp() > u[:, None]).int().argmax(-1)",
        "were not added up",
    ),
    (
        "02.2",
        "def my_draw(p, u):\n    q = p.exp()\n"
        "    return (q.cumsum(-1) - q > u[:, None]).int().argmax(-1)",
        "leaves out its own token",
    ),
    (
        "02.2",
        "def my_draw(p, u):\n    return (p.cumsum(-1) > u[:, None]).int().argmax(-1)",
        "the rows hold LOGS",
    ),
    (
        "02.3",
        "def my_mask(t, end):\n    return ((t == end).cumsum(1) == 0).int()",
        "the end token itself is left out",
    ),
    (
        "02.3",
        "def my_mask(t, end):\n    return (t != end).int()",
        "after the first end nothing does",
    ),
    (
        "02.4",
        "def my_places(P, G, L, T):\n    return P*G*sum(L+t for t in range(T)), P*G*(L+T), P*L+P*G*T",
        "one run too many",
    ),
    (
        "02.4",
        "def my_places(P, G, L, T):\n"
        "    return P*G*sum((L+t)**2 for t in range(T)), P*G*(L+T-1), P*L+P*G*(T-1)",
        "attention's pairs",
    ),
    (
        "02.4",
        "def my_places(P, G, L, T):\n    return P*G*(L+T), P*G*L, P*L",
        "without a cache: for P=2",
    ),
    # 03: the KL
    (
        "03.1",
        "def my_kls(a, b):\n    return (a.exp()*(a-b)).sum(-1), (b.exp()*(b-a)).sum(-1)",
        "swapped",
    ),
    (
        "03.1",
        "def my_kls(a, b):\n    return (b.exp()*(a-b)).sum(-1), (a.exp()*(b-a)).sum(-1)",
        "forward has the wrong sign",
    ),
    (
        "03.1",
        "def my_kls(a, b):\n    return (b*(b-a)).sum(-1), (a.exp()*(a-b)).sum(-1)",
        "the weight in front is a probability",
    ),
    (
        "03.1",
        "def my_kls(a, b):\n    return (b.exp()*(b-a)).sum(), (a.exp()*(a-b)).sum()",
        "shape ()",
    ),
    ("03.1", "def my_kls(a, b):\n    return (b.exp()*(b-a)).sum(-1)", "two things"),
    ("03.2", "my_price = lambda p: float('inf')", "0 log 0 = 0"),
    ("03.2", "my_price = lambda p: float('nan')", "gives back nan"),
    ("03.2", "import math\nmy_price = lambda p: math.log(1 - p)", "the sign is not"),
    ("03.2", "import math\nmy_price = lambda p: -math.log(p)", "ONLY this token"),
    ("03.2", "import math\nmy_price = lambda p: -(1 - p) * math.log(1 - p)", "those sum to 1"),
    ("03.2", "import math\nmy_price = lambda p: (1 - p) * math.log(1 - p)", "two things"),
    ("03.2", "my_price = lambda p: p", "By which factor"),
    ("03.3", "def my_k3(a, b):\n    return (a - b).exp() - 1 - (a - b)", "upside down"),
    ("03.3", "def my_k3(a, b):\n    return b / a - 1 - (b / a).log()", "not of their logs"),
    ("03.3", "def my_k3(a, b):\n    return (b - a).exp() - 1 + (b - a)", "subtracted, not added"),
    ("03.3", "def my_k3(a, b):\n    return (a - b).exp() - 1 - (b - a)", "in one place"),
    ("03.3", "def my_k3(a, b):\n    return a - b", "that is k1"),
    (
        "03.4",
        "my_table = {'coefficients': {'k1': torch.ones_like, 'k2': lambda w: w, "
        "'k3': lambda w: 1 - w.exp(), 'k_rapo': lambda w: -w.exp() * w}, 'descent': {}}",
        "the coefficient of k2 has the wrong sign",
    ),
    (
        "03.4",
        "my_table = {'coefficients': {'k1': torch.ones_like, 'k2': lambda w: -w, "
        "'k3': lambda w: 1 - w.exp(), 'k_rapo': lambda w: -w.exp() * w}, 'descent': "
        "{'k1': 'nothing', 'k2': 'reverse', 'k3': 'reverse', 'k_rapo': 'forward'}}",
        "A constant counts for nothing",
    ),
    (
        "03.4",
        "my_table = {'coefficients': {'k1': torch.ones_like, 'k2': lambda w: -w, "
        "'k3': lambda w: 1 - w.exp(), 'k_rapo': lambda w: -w.exp() * w}, 'descent': "
        "{'k1': 'nothing', 'k2': 'reverse', 'k3': 'forward', 'k_rapo': 'forward'}}",
        "k_rapo does not descend 'forward'",
    ),
    (
        "03.5",
        "def my_expected_gradient(k, z, r):\n    z = z.detach().requires_grad_()\n"
        "    p = z.log_softmax(-1)\n"
        "    return torch.autograd.grad((p.exp() * k(p, r)).sum(), z)[0]",
        "the weight pi(v) has to be a number",
    ),
    (
        "03.5",
        "def my_expected_gradient(k, z, r):\n    z = z.detach().requires_grad_()\n"
        "    return torch.autograd.grad(k(z.log_softmax(-1), r).sum(), z)[0]",
        "weighted with its probability",
    ),
    (
        "03.1",
        "def my_kls(a, b):\n    return (b.exp()*(b-a)).sum(-1), (b.exp()*(a-b)).sum(-1)",
        "reverse is minus the other KL",
    ),
    (
        "03.1",
        "def my_kls(a, b):\n    return (b.exp()*(b/a).log()).sum(-1), (a.exp()*(a-b)).sum(-1)",
        "forward takes a log too many",
    ),
    (
        "03.1",
        "def my_kls(a, b):\n    return (b.exp()*(b-a)).sum(-1), (a.exp()*(a/b).log()).sum(-1)",
        "reverse takes a log too many",
    ),
    (
        "03.1",
        "def my_kls(a, b):\n    return (b.exp()*(b-a)).mean(-1), (a.exp()*(a-b)).mean(-1)",
        "forward is the mean over the outcomes",
    ),
    ("03.3", "def my_k3(a, b):\n    return (b - a).exp() - (b - a)", "yours is 1 there"),
    ("03.3", "def my_k3(a, b):\n    return 0.5 * (a - b) ** 2", "that is k2"),
    ("03.3", "def my_k3(a, b):\n    return a - a.log()", "of a negative number"),
    (
        "03.4",
        "my_table = {'coefficients': {'k1': torch.ones_like, 'k2': lambda w: -w, "
        "'k3': lambda w: -w.exp()}, 'descent': {}}",
        "k3 differs from the derivative by a constant",
    ),
    (
        "03.4",
        "my_table = {'coefficients': {'k1': torch.ones_like, 'k2': lambda w: -w, "
        "'k3': lambda w: 1 - w.exp(), 'k_rapo': lambda w: -w.exp() * (w + 1)}, 'descent': {}}",
        "-u has one too",
    ),
    (
        "03.5",
        "def my_expected_gradient(k, z, r):\n    z = z.detach().requires_grad_()\n"
        "    p = z.log_softmax(-1).detach()\n"
        "    return torch.autograd.grad((p.exp() * k(p, r)).sum(), z)[0]",
        "only the weight pi(v) is detached",
    ),
    (
        "03.5",
        "def my_expected_gradient(k, z, r):\n    z = z.detach().requires_grad_()\n"
        "    p = z.log_softmax(-1)\n"
        "    return torch.autograd.grad((p.exp() * k(p, r).detach()).sum(), z)[0]",
        "on the wrong factor",
    ),
    (
        "03.5",
        "def my_expected_gradient(k, z, r):\n    z = z.detach().requires_grad_()\n"
        "    p = z.log_softmax(-1)\n"
        "    return torch.autograd.grad(p.detach().exp() * k(p, r), z)[0]",
        "the loss has to be one number",
    ),
    (
        "03.5",
        "def my_expected_gradient(k, z, r):\n    z = z.detach().requires_grad_()\n"
        "    p = z.log_softmax(-1)\n"
        "    return torch.autograd.grad((p.detach().exp() * k(p, r)).mean(), z)[0]",
        "not a mean",
    ),
    (
        "03.5",
        "def my_expected_gradient(k, z, r):\n    z = z.detach().requires_grad_()\n"
        "    p = z.log_softmax(-1)\n"
        "    return torch.autograd.grad((r.exp() * k(p, r)).sum(), z)[0]",
        "the weight is ref's probability",
    ),
    (
        "03.5",
        "def my_expected_gradient(k, z, r):\n    z = z.detach().requires_grad_()\n"
        "    p = z.log_softmax(-1)\n"
        "    return torch.autograd.grad((p.detach().exp() * k(r, p)).sum(), z)[0]",
        "the policy's log-probs first",
    ),
    # 04: the loss
    (
        "04.1",
        "def my_advantages(r):\n    return r - r.mean(1, keepdim=True)",
        "the division by the std",
    ),
    (
        "04.1",
        "def my_advantages(r):\n    return (r - r.mean(1)) / r.std(1)",
        "is keepdim=True or [:, None] missing?",
    ),
    (
        "04.1",
        "def my_advantages(r):\n    return (r - r.mean(1, keepdim=True)) / r.std(1, keepdim=True)",
        "divides by G - 1",
    ),
    (
        "04.1",
        "def my_advantages(r):\n    return (r - r.mean()) / r.std(correction=0)",
        "each row is a group of its own",
    ),
    (
        "04.1",
        "def my_advantages(r):\n    c = r - r.mean(1, keepdim=True)\n"
        "    return c / r.std(1, keepdim=True, correction=0)",
        "divides 0 by 0",
    ),
    ("04.2", "def my_reweight(r, phi):\n    return phi * r", "do not sum to 1"),
    ("04.2", "my_reweight = lambda r, phi: r**phi", "a root of a negative number"),
    (
        "04.2",
        "def my_reweight(r, phi):\n    return torch.log_softmax(r / max(phi, 1e-9), -1)",
        "sharpens the reference",
    ),
    (
        "04.2",
        "def my_reweight(r, phi):\n    return torch.softmax(phi * r, -1)",
        "those are probabilities",
    ),
    (
        "04.3",
        "def my_surrogate(rho, A, e):\n    return rho.clamp(1-e, 1+e) * A",
        "that clips always",
    ),
    ("04.3", "def my_surrogate(rho, A, e):\n    return rho * A", "nothing is clipped yet"),
    (
        "04.3",
        "def my_surrogate(rho, A, e):\n    return torch.maximum(rho * A, rho.clamp(1-e, 1+e) * A)",
        "the pessimist",
    ),
    (
        "04.3",
        "def my_surrogate(rho, A, e):\n    return torch.minimum(rho, rho.clamp(1-e, 1+e)) * A",
        "after they are multiplied with A",
    ),
    (
        "04.4",
        "def my_loss(g, kl, h, m, a, b):\n    return -((g-a*kl+b*h)*m).sum() / m.sum()",
        "a long completion counts more",
    ),
    (
        "04.3",
        "def my_surrogate(rho, A, e):\n    return torch.minimum(rho * A, rho.clamp(1-e, 1+e))",
        "still to be multiplied with A",
    ),
    (
        "04.4",
        "def my_loss(g, kl, h, m, a, b):\n"
        "    return -float((((g-a*kl+b*h)*m).sum(1)/m.sum(1)).mean())",
        "through a Python number",
    ),
    ("04.4", "def my_loss(g, kl, h, m, a, b):\n    -g.mean()", "gives back None"),
    (
        "04.4",
        "def my_loss(g, kl, h, m, a, b):\n    return -((g-a*kl+b*h)*m).sum(1).mean()",
        "the tokens of a completion are added",
    ),
    (
        "04.4",
        "def my_loss(g, kl, h, m, a, b):\n    return -((g*m-a*kl+b*h).sum(1)/m.sum(1)).mean()",
        "only g is masked",
    ),
    ("04.4", "def my_loss(g, kl, h, m, a, b):\n    return -(g-a*kl+b*h).mean()", "use the mask"),
    (
        "04.4",
        "def my_loss(g, kl, h, m, a, b):\n    return -((g-a*kl+b*h)*m).mean()",
        "counted as zeros",
    ),
    (
        "04.4",
        "def my_loss(g, kl, h, m, a, b):\n    return (((g-a*kl+b*h)*m).sum(1)/m.sum(1)).mean()",
        "the loss is -J",
    ),
    (
        "04.4",
        "def my_loss(g, kl, h, m, a, b):\n    return -(((g+a*kl+b*h)*m).sum(1)/m.sum(1)).mean()",
        "the KL is a price",
    ),
    (
        "04.4",
        "def my_loss(g, kl, h, m, a, b):\n    return -(((g-a*kl-b*h)*m).sum(1)/m.sum(1)).mean()",
        "the entropy is wanted",
    ),
    (
        "04.5",
        "def my_logit_gradient(pi, t, y, A, a):\n    e = torch.zeros_like(pi)\n    e[y] = 1\n"
        "    return A * (e - pi) - a * (pi - t)",
        "wrong sign",
    ),
    (
        "04.5",
        "def my_logit_gradient(pi, t, y, A, a):\n    e = torch.zeros_like(pi)\n    e[y] = 1\n"
        "    return -A * e + a * (pi - t)",
        "misses the softmax",
    ),
    (
        "04.5",
        "def my_logit_gradient(pi, t, y, A, a):\n    e = torch.zeros_like(pi)\n    e[y] = 1\n"
        "    return -A * (e - pi) + a * (t - pi)",
        "the KL's part has the wrong sign",
    ),
    (
        "04.5",
        "def my_logit_gradient(pi, t, y, A, a):\n    e = torch.zeros_like(pi)\n    e[y] = 1\n"
        "    return -A * (e - pi) + (pi - t)",
        "not multiplied with alpha",
    ),
    (
        "04.5",
        "def my_logit_gradient(pi, t, y, A, a):\n    e = torch.zeros_like(pi)\n    e[y] = 1\n"
        "    return -A * (e - pi) - a * t",
        "and pi is there too",
    ),
    # 05: training
    ("05.1", "my_pass_at_k = lambda n, c, k: 1 - (1 - c / n) ** k", "with putting back"),
    (
        "05.1",
        "import math\nmy_pass_at_k = lambda n, c, k: math.comb(n - c, k) / math.comb(n, k)",
        "that all k miss",
    ),
    ("05.2", "my_difference = lambda a, b: bootstrap(b - a)", "the sign is turned round"),
    (
        "05.2",
        "def my_difference(a, b):\n    x, y = bootstrap(a), bootstrap(b)\n"
        "    return (x.mean - y.mean, x.low - y.high, x.high - y.low)",
        "two separate bootstraps",
    ),
    ("05.2", "my_difference = lambda a, b: (a - b).mean()", "an Estimate"),
    ("05.3", "my_base_on_hard = lambda a, b, n: (a[a == 0] / n).mean()", "0 by definition"),
    ("05.3", "my_base_on_hard = lambda a, b, n: b.mean() / n", "all puzzles are averaged"),
    ("05.3", "my_base_on_hard = lambda a, b, n: b[a == 0].mean()", "divide by the n samples"),
    (
        "05.3",
        "my_base_on_hard = lambda a, b, n: ((a + b)[a == 0] / (2 * n)).mean()",
        "both draws are pooled",
    ),
    (
        "05.4",
        "my_diagnoses = {'A': 'dissolving', 'B': 'no signal', 'C': 'dissolving', 'D': 'no answer'}",
        "and so does the reward",
    ),
    (
        "05.4",
        "my_diagnoses = {'A': 'nothing', 'B': 'no signal', 'C': 'dissolving', 'D': 'no signal'}",
        "what does the verifier say",
    ),
    # 06: four bits and LoRA
    (
        "06.1",
        "def my_quantise(b, l):\n    s = b.abs().max()\n"
        "    return l[(b[:, None] / s - l).abs().argmin(-1)]",
        "not scaled back",
    ),
    (
        "06.1",
        "def my_quantise(b, l):\n    return l[(b[:, None] - l).abs().argmin(-1)]",
        "divide by its largest ABSOLUTE value",
    ),
    ("06.2", "my_bits = {'plain': 0.5625, 'double': 4.127}", "those are bytes"),
    (
        "06.1",
        "def my_quantise(b, l):\n    s = b.abs().max()\n"
        "    return (b[:, None] / s - l).abs().argmin(-1)",
        "the levels' numbers",
    ),
    ("06.2", "my_bits = {'plain': 0.5, 'double': 4.1}", "of the weight itself are missing"),
    ("06.2", "my_bits = {'plain': 36, 'double': 12}", "divide by 64"),
    ("06.2", "my_bits = {'plain': 4.5, 'double': 4.125}", "a float32 number of their own"),
    ("06.2", "my_bits = {'plain': 4.5, 'double': 4.25}", "256 * 64 weights"),
    (
        "06.3",
        "my_lora_parameters = lambda s, r: sum(r * a * b for a, b in s)",
        "added, not multiplied",
    ),
    ("06.3", "my_lora_parameters = lambda s, r: sum(r * a for a, b in s)", "only one of the two"),
    ("06.3", "my_lora_parameters = lambda s, r: sum(a * b for a, b in s)", "W itself"),
    ("06.4", "my_cache_gib = lambda l, k, d, r, t: 2*l*k*d*r*t / 2**30", "half of it is missing"),
    ("06.4", "my_cache_gib = lambda l, k, d, r, t: 4*l*k*d*r*t", "divide by 2**30"),
    ("06.4", "my_cache_gib = lambda l, k, d, r, t: 4*l*k*d*r*t / 10**9", "not 10**9"),
    # 07: the theory
    (
        "07.1",
        "def my_slope(pi, ref, r, a, b):\n    return r - a * ref / pi - b * pi.log() - b",
        "it FALLS as pi grows",
    ),
    (
        "07.1",
        "def my_slope(pi, ref, r, a, b):\n    return r + a * ref / pi - b * pi.log()",
        "its derivative has two",
    ),
    (
        "07.1",
        "def my_slope(pi, ref, r, a, b):\n    return r + a * ref / pi - b * pi - b",
        "like a line of the paper's appendix",
    ),
    (
        "07.1",
        "def my_slope(pi, ref, r, a, b):\n    return r - a * ((pi / ref).log() + 1) - b * pi.log() - b",
        "holds no log of ref",
    ),
    (
        "07.1",
        "def my_slope(pi, ref, r, a, b):\n    return r + a * ref / pi + b * pi.log() + b",
        "H = -sum pi log pi",
    ),
    (
        "07.1",
        "def my_slope(pi, ref, r, a, b):\n    return r + a * ref - b * pi.log() - b",
        "the derivative of log pi is 1/pi",
    ),
    ("07.1", "my_slope = lambda pi, ref, r, a, b: r + a * ref / pi", "the entropy is missing"),
    ("07.1", "my_slope = lambda pi, ref, r, a, b: r - b * pi.log() - b", "the KL is missing"),
    (
        "07.1",
        "def my_slope(pi, ref, r, a, b):\n    return r + ref / pi - b * pi.log() - b",
        "alpha is missing",
    ),
    (
        "07.1",
        "def my_slope(pi, ref, r, a, b):\n"
        "    return r + a * pi / ref.clamp_min(1e-9) - b * pi.log() - b",
        "upside down",
    ),
    (
        "07.1",
        "def my_slope(pi, ref, r, a, b):\n    return pi * (r + a * ref / pi - b * pi.log() - b)",
        "pi times the slope",
    ),
    (
        "07.1",
        "def my_slope(pi, ref, r, a, b):\n    s = r + a * ref / pi - b * pi.log() - b\n"
        "    return s - (pi * s).sum()",
        "the mean taken off",
    ),
    ("07.1", "my_slope = lambda pi, ref, r, a, b: r", "0.0000, and"),
    ("07.2", "my_gain = lambda alpha: 0.0", "not even a little mass would pay"),
    ("07.2", "my_gain = lambda alpha: 1 - alpha", "q is a probability"),
    ("07.2", "my_gain = lambda alpha: 1.0", "the forward KL is infinite"),
    ("07.2", "my_gain = lambda alpha: min(alpha, 1.0)", "STAYS inside"),
    ("07.2", "my_gain = lambda alpha: 1 - math.exp(-1 / alpha)", "where the SLOPES"),
    ("07.2", "my_gain = lambda alpha: 1 + alpha", "the sign of the price"),
    ("07.2", "my_gain = lambda alpha: 1 / (1 + alpha)", "0.8000, and 0.7500 is right"),
    ("07.3", "my_prices = lambda q, p: 0.5", "two numbers, forward and reverse"),
    (
        "07.3",
        "L = math.log\ndef my_prices(q, p):\n    f = p*L(p/q) + (1-p)*L((1-p)/(1-q))\n"
        "    r = q*L(q/p) + (1-q)*L((1-q)/(1-p))\n    return r, f",
        "swapped",
    ),
    (
        "07.3",
        "L = math.log\ndef my_prices(q, p):\n    return p*L(p/q), q*L(q/p)",
        "forward holds the term of the one answer alone",
    ),
    (
        "07.3",
        "L = math.log\ndef my_prices(q, p):\n    f = p*L(p/q) + (1-p)*L((1-p)/(1-q))\n"
        "    return f, q*L(q/p)",
        "reverse holds the term of the one answer alone",
    ),
    (
        "07.3",
        "L = math.log\ndef my_prices(q, p):\n    return (1-p)*L((1-p)/(1-q)), 0.0",
        "forward holds the terms of the others alone",
    ),
    (
        "07.3",
        "L = math.log\ndef my_prices(q, p):\n    f = p*L(p/q) + (1-p)*L((1-p)/(1-q))\n"
        "    return -f, 0.0",
        "never negative",
    ),
    (
        "07.3",
        "L = math.log\ndef my_prices(q, p):\n    return p*L(p/q) + (1-q)*L((1-p)/(1-q)), 0.0",
        "the wrong one of the two distributions",
    ),
    (
        "07.3",
        "L = math.log\ndef my_prices(q, p):\n    return p*L(p/q) - (1-p)*L(1-q), 0.0",
        "They had 1 - p before",
    ),
    (
        "07.3",
        "L = math.log2\ndef my_prices(q, p):\n    return p*L(p/q) + (1-p)*L((1-p)/(1-q)), 0.0",
        "in bits",
    ),
    ("07.3", "my_prices = lambda q, p: (-math.log(1 - q), 9.0)", "its limit for p -> 0"),
    ("07.3", "my_prices = lambda q, p: (q, 9.0)", "it gives 0.30000"),
    ("07.3", "my_prices = lambda q, p: (q, q)", "the two are equal"),
    (
        "07.3",
        "L = math.log\ndef my_prices(q, p):\n    return p*L(p/q) + (1-p)*L((1-q)/(1-p)), 0.0",
        "factor upside down",
    ),
    ("07.2", "my_gain = lambda alpha: abs(1 - alpha)", "the best q lies at the edge"),
    (
        "07.1",
        "my_slope = lambda pi, ref, r, a, b: a * ref / pi - b * pi.log() - b",
        "the reward is missing",
    ),
    (
        "07.1",
        "my_slope = lambda pi, ref, r, a, b: pi * r + a * ref / pi - b * pi.log() - b",
        "the derivative of pi r by pi is r",
    ),
    (
        "07.1",
        "my_slope = lambda pi, ref, r, a, b: r + a * pi / ref - b * pi.log() - b",
        "ref / pi is upside down",
    ),
    (
        "01.1",
        "def my_extract(t):\n    s, e = t.rfind('boxed{'), t.rfind('}')\n"
        "    return t[s + 6 : e].strip() or None if 0 <= s < e else None",
        "braces after the box",
    ),
    (
        "01.1",
        "def my_extract(t):\n    s, depth = t.rfind('boxed{') + 6, 1\n"
        "    for e in range(s, len(t)):\n        depth += {'{': 1, '}': -1}.get(t[e], 0)\n"
        "        if depth == 0:\n            return t[s:e].strip() or None",
        "braces, and no box",
    ),
    ("01.1", "my_extract = lambda t: t[t.rfind('boxed{') + 6 : -2]", "the slice ends too early"),
    (
        "01.1",
        "my_extract = lambda t: (extract_answer(t) or ' ' if r'\\boxed{ }' in t else extract_answer(t))",
        "a box with a blank alone",
    ),
    (
        "01.1",
        "def my_extract(t):\n    s = t.rfind('\\boxed{')\n"
        "    return None if s < 0 else t[s + 7 : t.find('}', s)]",
        "a backspace",
    ),
    (
        "01.2",
        "def my_same(a, g):\n    try:\n        return Fraction(a) == Fraction(g)\n"
        "    except (ValueError, ZeroDivisionError):\n        return a == g",
        "two texts that are no numbers",
    ),
    ("01.4", "my_hack = '\\boxed{11+3}'", "a backspace"),
    ("01.2", "my_same = lambda a, g: 0", "True or False is needed"),
    ("01.3", "my_verdicts = [True] * 8", "has to be the dictionary"),
    ("01.4", "my_hack = 14", "has to be a text"),
    ("02.1", "def my_log_probs(z, t):\n    return torch.log_softmax(z, -1)", "changes nothing"),
    ("02.1", "def my_log_probs(z, t):\n    return torch.log_softmax(z / t, 0)", "over the rows"),
    ("02.1", "my_log_probs = lambda z, t: z / t", "a row's probabilities sum to"),
    (
        "02.1",
        "my_log_probs = lambda z, t: torch.log_softmax((z / t).clamp(max=99), -1)",
        "wrong for logits as large as 800",
    ),
    ("02.2", "my_draw = lambda p, u: (2 * u).long()", "it draws [0, 0, 1, 1, 0]"),
    (
        "02.3",
        "def my_mask(t, end):\n    e = (t == end).int()\n    return (e.cumsum(1) - e > 0).int()",
        "0 and 1 are swapped",
    ),
    ("02.3", "my_mask = lambda t, end: torch.ones_like(t)", "nothing is masked"),
    ("02.4", "my_places = lambda P, G, L, T: P * G * (L + T)", "three numbers"),
    ("03.1", "def my_kls(a, b):\n    d = (a - b).abs().sum(-1)\n    return d, d", "is right"),
    (
        "03.3",
        "def my_k3(a, b):\n    return (b - a) + 1 - (b - a).exp()",
        "all signs are turned round",
    ),
    ("03.3", "def my_k3(a, b):\n    return (a - b).abs()", "is right"),
    ("03.4", "my_table = {'k2': 'reverse'}", "as in the cell's last line"),
    (
        "03.4",
        "my_table = {'coefficients': {'k1': torch.square}, 'descent': {}}",
        "not its derivative by log pi",
    ),
    (
        "03.4",
        "my_table = {'coefficients': {'k1': torch.ones_like, 'k2': lambda w: -w, "
        "'k3': lambda w: 1 - w.exp(), 'k_rapo': lambda w: -w.exp() * w}, 'descent': {'k1': 0}}",
        "one of nothing, forward, reverse, neither",
    ),
    ("03.4", "my_table = {'coefficients': 7, 'descent': 7}", "cannot make sense of my_table"),
    ("03.5", "my_expected_gradient = lambda k, z, r: z - r", "is right"),
    ("04.1", "my_advantages = lambda r: r", "for the rewards 1 0 0 0 it gives"),
    (
        "04.1",
        "def my_advantages(r):\n    s = r.std(1, keepdim=True, correction=0)\n"
        "    return torch.where(s > 0, (r - r.mean(1, keepdim=True)) / s, r)",
        "must have A = 0",
    ),
    (
        "04.2",
        "my_reweight = lambda r, phi: torch.log_softmax(phi * r.exp(), -1)",
        "phi times the LOG-prob",
    ),
    ("04.2", "my_reweight = lambda r, phi: r", "the first row has probabilities"),
    ("04.3", "my_surrogate = lambda rho, A, e: A", "g is"),
    (
        "04.4",
        "def my_loss(g, kl, h, m, a, b):\n    return -(((g-a*kl+b*h)*m).sum(1)/m.sum(1)).sum()",
        "their mean is wanted",
    ),
    ("04.4", "my_loss = lambda g, kl, h, m, a, b: -(g * m).sum()", "it gives -"),
    (
        "04.5",
        "my_logit_gradient = lambda pi, t, y, A, a: a * (pi - t)",
        "the reward's part is missing",
    ),
    ("05.1", "my_pass_at_k = lambda n, c, k: c / n", "there are 2 tries"),
    ("05.2", "my_difference = lambda a, b: bootstrap(a)", "one arm alone"),
    (
        "05.2",
        "def my_difference(a, b):\n    m, s = (a - b).mean(), (a - b).std()\n"
        "    return (m, m - s / 2, m + s / 2)",
        "the interval is [",
    ),
    ("05.3", "my_base_on_hard = lambda a, b, n: (b[a == 0] > 0).mean()", "solved at all"),
    ("05.3", "my_base_on_hard = lambda a, b, n: 1 / n", "it gives"),
    (
        "05.4",
        "my_diagnoses = {'A': 'nothing', 'B': 'no answer', 'C': 'dissolving', 'D': 'no answer'}",
        "how many groups have both",
    ),
    (
        "05.4",
        "my_diagnoses = {'A': 'nothing', 'B': 'no signal', 'C': 'nothing', 'D': 'no answer'}",
        "entropy and reward together",
    ),
    ("05.4", "my_diagnoses = 'nothing'", "has to be the dictionary"),
    ("05.4", "my_diagnoses = {'A': 'fine'}", "A is 'fine'; one of"),
    (
        "06.1",
        "def my_quantise(b, l):\n    s = b.max()\n"
        "    return l[(b[:, None] / s - l).abs().argmin(-1)] * s",
        "negative weights fall outside",
    ),
    ("06.1", "my_quantise = lambda b, l: b", "nothing was rounded"),
    ("06.1", "my_quantise = lambda b, l: 0 * b", "the weight "),
    (
        "06.1",
        "def my_quantise(b, l):\n    s = b.abs().max()\n"
        "    return l[(torch.bucketize(b / s, l)).clamp(max=15)] * s",
        "becomes",
    ),
    (
        "06.1",
        "def my_quantise(b, l):\n    s = b.abs().max()\n"
        "    return l[(b[:, None] / s - l).abs().argmin(0)] * s",
        "the last dimension?",
    ),
    ("06.2", "my_bits = {'plain': 4 + 4 / 64, 'double': 4.1}", "32 bits are four bytes"),
    ("06.2", "my_bits = {'plain': 288, 'double': 264}", "a whole block"),
    (
        "06.3",
        "def my_lora_parameters(s, r):\n    for a, b in s:\n        return r * (a + b)",
        "of the list's matrices",
    ),
    ("06.3", "my_lora_parameters = lambda s, r: sum(a + b for a, b in s)", "where is r?"),
    ("06.4", "my_cache_gib = lambda l, k, d, r, t: 4*l*d*r*t / 2**30", "kv_heads is missing"),
    ("06.4", "my_cache_gib = lambda l, k, d, r, t: 4*l*k*d*r*t / 2**20", "those are MiB"),
    ("06.4", "my_cache_gib = lambda l, k, d, r, t: 16*l*k*d*r*t / 2**30", "without its value"),
    ("06.2", "my_bits = 4.5", "has to hold plain and double"),
    ("06.2", "my_bits = {'plain': 4, 'double': 4}", "plain is not 4"),
    ("06.3", "my_lora_parameters = lambda s, r: r", "is right"),
    ("06.4", "my_cache_gib = lambda l, k, d, r, t: 1.0", "it gives 1 GiB"),
    # the likeliest slips, each with words of its own
    ("01.1", "my_extract = lambda t: extract_answer(t) or ''", "an empty text, which is not"),
    (
        "01.1",
        "import re\ndef my_extract(t):\n    one = r'[^{}]'\n    for _ in range(3):\n"
        "        one = r'(?:[^{}]|\\{' + one + r'*\\})'\n"
        "    found = re.findall(r'boxed\\{(' + one + r'*)\\}', t)\n"
        "    return (found[-1] or None) if found else None",
        "an earlier box",
    ),
    (
        "01.3",
        "my_verdicts = {x: x == 'F' for x in 'ABCDEFGH'}",
        "a teacher who reads spelling, not values",
    ),
    (
        "02.2",
        "def my_draw(p, u):\n    s = p.exp().sort(-1, descending=True).values.cumsum(-1)\n"
        "    return (s > u[:, None]).int().argmax(-1)",
        "the tokens were sorted first",
    ),
    (
        "02.2",
        "def my_draw(p, u):\n    s, i = p.exp().sort(-1, descending=True)\n"
        "    at = (s.cumsum(-1) > u[:, None]).int().argmax(-1)\n"
        "    return i.gather(-1, at[:, None])[:, 0]",
        "from another stretch",
    ),
    (
        "02.2",
        "def my_draw(p, u):\n    return (p.exp().cumsum(-1) > u).int().argmax(-1)",
        "laid the darts along the entries",
    ),
    (
        "02.2",
        "def my_draw(p, u):\n    return (p.exp().cumsum(-1) < u[:, None]).int().argmax(-1)",
        "the comparison is turned round",
    ),
    (
        "02.2",
        "def my_draw(p, u):\n    return (p[:1].exp().cumsum(-1) > u[:, None]).int().argmax(-1)",
        "each row has its own dart",
    ),
    (
        "02.2",
        "def my_draw(p, u):\n    return ((p.exp().cumsum(-1) <= u[:, None]).sum(-1) - 1).clamp_min(0)",
        "one place too early",
    ),
    (
        "02.3",
        "def my_mask(t, end):\n    return ((t == end).cumsum(1) <= 1).int()",
        "between the first end and the second",
    ),
    (
        "02.3",
        "def my_mask(t, end):\n    return ((t == end).cumsum(1) == 1).int()",
        "the tokens before it were sampled as well",
    ),
    ("02.3", "my_mask = lambda t, end: (t == end).int()", "only the end tokens themselves"),
    (
        "02.3",
        "def my_mask(t, end):\n    e = (t == end).int()\n    return (e.cumsum(0) - e == 0).int()",
        "counted down the rows",
    ),
    (
        "02.4",
        "def my_places(P, G, L, T):\n    return P*G*sum(L+t+1 for t in range(T)), 0, 0",
        "the first run is on the prompt alone",
    ),
    (
        "02.4",
        "def my_places(P, G, L, T):\n    return P*G*T*(L+T), P*G*(L+T-1), P*L+P*G*(T-1)",
        "the text grows by a token a run",
    ),
    (
        "02.4",
        "def my_places(P, G, L, T):\n"
        "    return P*G*sum(L+t for t in range(T)), P*L+P*G*(T-1), P*L+P*G*(T-1)",
        "counted once a prompt; that is the third way",
    ),
    (
        "02.4",
        "def my_places(P, G, L, T):\n"
        "    return P*G*sum(L+t for t in range(T)), P*G*(T-1), P*L+P*G*(T-1)",
        "the prompt is missing",
    ),
    (
        "02.4",
        "def my_places(P, G, L, T):\n"
        "    return P*G*sum(L+t for t in range(T)), P*G*(L+T-1), P*(L+T-1)",
        "the drawn tokens are not shared",
    ),
    ("03.3", "def my_k3(a, b):\n    return (b - a).exp() - 1", "w - 1 alone"),
    (
        "03.3",
        "def my_k3(a, b):\n    w = (b - a).exp()\n    return w * w.log() - w + 1",
        "that is RAPO's estimator",
    ),
    ("03.3", "def my_k3(a, b):\n    return (b - a).exp() + 1 - (b - a)", "the 1 is subtracted"),
    ("03.3", "def my_k3(a, b):\n    return b.exp() - a.exp() - 1 - (b - a)", "QUOTIENT"),
    ("03.3", "def my_k3(a, b):\n    return b - a", "yours is -"),
    (
        "04.4",
        "def my_loss(g, kl, h, m, a, b):\n    return ((-g-a*kl+b*h)*m).sum(1).div(m.sum(1)).mean()",
        "the minus of -J reaches g alone",
    ),
    (
        "04.4",
        "def my_loss(g, kl, h, m, a, b):\n    return -(((g-b*kl+a*h)*m).sum(1)/m.sum(1)).mean()",
        "alpha and beta are swapped",
    ),
    (
        "04.4",
        "def my_loss(g, kl, h, m, a, b):\n    return -((g*m).sum(1)/m.sum(1)).mean()",
        "the KL and the entropy are missing",
    ),
    (
        "04.4",
        "def my_loss(g, kl, h, m, a, b):\n    return -(((g-kl+h)*m).sum(1)/m.sum(1)).mean()",
        "alpha and beta are missing",
    ),
    (
        "04.4",
        "def my_loss(g, kl, h, m, a, b):\n    return -((g-a*kl+b*h).sum(1)/m.sum(1)).mean()",
        "the sum still runs over the padding",
    ),
    (
        "04.5",
        "def my_logit_gradient(pi, t, y, A, a):\n    e = torch.zeros_like(pi)\n    e[y] = 1\n"
        "    return -(e - pi) + a * (pi - t)",
        "not multiplied with the advantage",
    ),
    (
        "04.5",
        "def my_logit_gradient(pi, t, y, A, a):\n    e = torch.zeros_like(pi)\n    e[y] = 1\n"
        "    return -A * e / pi + a * (pi - t)",
        "the derivative by the PROBABILITY, e_y / pi",
    ),
    (
        "04.5",
        "def my_logit_gradient(pi, t, y, A, a):\n    e = torch.zeros_like(pi)\n    e[y] = 1\n"
        "    return -A * e * (1 - pi) + a * (pi - t)",
        "only the drawn token's own entry",
    ),
    (
        "04.5",
        "def my_logit_gradient(pi, t, y, A, a):\n    e = torch.zeros_like(pi)\n    e[y] = 1\n"
        "    return -A * (e - pi) - a * t / pi",
        "the KL's part is the derivative by the PROBABILITY",
    ),
    (
        "04.5",
        "def my_logit_gradient(pi, t, y, A, a):\n    e = torch.zeros_like(pi)\n    e[y] = 1\n"
        "    return -A * (e - pi) + a * (pi.log() - t.log())",
        "a difference of logs",
    ),
    (
        "04.5",
        "def my_logit_gradient(pi, t, y, A, a):\n    e = torch.zeros_like(pi)\n    e[y] = 1\n"
        "    return -A * (e - pi)",
        "the KL's part is missing",
    ),
    (
        "04.5",
        "def my_logit_gradient(pi, t, y, A, a):\n    e = torch.zeros_like(pi)\n    e[y] = 1\n"
        "    return -A * (2 * e - pi) + a * (pi - t)",
        "a gradient on logits sums to 0",
    ),
    (
        "05.1",
        "import math\nmy_pass_at_k = lambda n, c, k: math.comb(c, k) / math.comb(n, k)",
        "ALL k are right",
    ),
    ("05.1", "my_pass_at_k = lambda n, c, k: min(1, k * c / n)", "counts a draw with two right"),
    ("05.2", "my_difference = lambda a, b: bootstrap(abs(a - b))", "without its sign"),
    ("05.2", "my_difference = lambda a, b: bootstrap((a > b).astype(float))", "by how much"),
    (
        "05.2",
        "import numpy as np\ndef my_difference(a, b):\n    e = bootstrap(np.sort(a) - np.sort(b))\n"
        "    return e",
        "sorted by itself",
    ),
    (
        "05.2",
        "def my_difference(a, b):\n    e = bootstrap(a - b)\n    return (e.mean, e.high, e.low)",
        "mean, low, high in this order",
    ),
    (
        "05.3",
        "my_base_on_hard = lambda a, b, n: (b[b == 0] / n).mean()",
        "fresh choose the puzzles",
    ),
    (
        "05.3",
        "my_base_on_hard = lambda a, b, n: (a[b == 0] / n).mean()",
        "the two draws are swapped",
    ),
    ("05.3", "my_base_on_hard = lambda a, b, n: b[a == 0].sum() / n / len(b)", "by all puzzles"),
    (
        "05.3",
        "my_base_on_hard = lambda a, b, n: (b[(a == 0) & (b > 0)] / n).mean()",
        "chosen by both draws",
    ),
    # what a student who worked from the text alone wrote at first
    (
        "02.2",
        "def my_draw(p, u):\n    return (p.cumsum(-1).exp() > u[:, None]).int().argmax(-1)",
        "a running PRODUCT",
    ),
    (
        "02.2",
        "def my_draw(p, u):\n    return (p.exp().cumsum(0) > u[:, None]).int().argmax(-1)",
        "the sum runs down the rows",
    ),
    (
        "02.2",
        "def my_draw(p, u):\n    return torch.multinomial(p.exp(), 1)[:, 0]",
        "dice of its own",
    ),
    (
        "02.3",
        "def my_mask(t, end):\n    return ((t == end).cumsum(1) == 0).int() + (t == end).int()",
        "only the first was sampled",
    ),
    (
        "02.4",
        "def my_places(P, G, L, T):\n    return G*sum(L+t for t in range(T)), 0, 0",
        "yours has one prompt",
    ),
    (
        "02.4",
        "def my_places(P, G, L, T):\n    return P*sum(L+t for t in range(T)), 0, 0",
        "each prompt has G completions",
    ),
    (
        "03.3",
        "def my_k3(a, b):\n    w = b - a\n    return w - 1 - w.log()",
        "your w is the difference of the logs",
    ),
    (
        "03.4",
        "my_table = {'coefficients': {'k1': torch.ones_like, 'k2': lambda w: -w, "
        "'k3': lambda w: 1 - w, 'k_rapo': lambda w: -w * w.log()}, 'descent': {}}",
        "takes its argument for w",
    ),
    (
        "03.5",
        "def my_expected_gradient(k, z, r):\n    z = z.detach().requires_grad_()\n"
        "    p = z.log_softmax(-1)\n"
        "    return torch.autograd.grad((p.detach() * k(p, r)).sum(), z)[0]",
        "the weight is log pi(v)",
    ),
    (
        "03.5",
        "def my_expected_gradient(k, z, r):\n    z = z.detach().requires_grad_()\n"
        "    p = z.log_softmax(-1)\n"
        "    return torch.autograd.grad(-(p.detach().exp() * k(p, r)).sum(), z)[0]",
        "without a minus",
    ),
    (
        "04.1",
        "def my_advantages(r):\n    s = r.std(0, correction=0)\n"
        "    return torch.where(s > 0, (r - r.mean(0)) / s, 0.0)",
        "run down the columns",
    ),
    (
        "04.1",
        "def my_advantages(r):\n    s = r.var(1, keepdim=True, correction=0)\n"
        "    return torch.where(s > 0, (r - r.mean(1, keepdim=True)) / s, 0.0)",
        "divided by the variance",
    ),
    (
        "04.2",
        "def my_reweight(r, phi):\n    x = phi * r\n"
        "    return x / torch.logsumexp(x, dim=-1, keepdim=True)",
        "SUBTRACT from its log",
    ),
    (
        "04.3",
        "def my_surrogate(rho, A, e):\n    return min(rho * A, rho.clamp(1-e, 1+e) * A)",
        "torch.minimum and torch.where do not",
    ),
    (
        "04.3",
        "def my_surrogate(rho, A, e):\n    return torch.minimum(rho*A, (rho*A).clamp(1-e, 1+e))",
        "the product is clipped",
    ),
    (
        "04.3",
        "def my_surrogate(rho, A, e):\n    return torch.minimum(rho*A, rho.clamp(-e, e) * A)",
        "it is to stay near 1",
    ),
    (
        "04.4",
        "def my_loss(g, kl, h, m, a, b):\n    return -(((g-a*kl+b*h)*m).sum(0)/m.sum(0)).mean()",
        "a completion is a row",
    ),
    (
        "04.4",
        "def my_loss(g, kl, h, m, a, b):\n    return -(((g-a*kl+b*h)*m).sum(1)/m.sum()).mean()",
        "the tokens of the whole batch",
    ),
    # 00 and 04b: the loop, and the rule bandit
    ("00.1", "my_loop = ['prompt', 'group']", "each of the six words once"),
    (
        "00.1",
        "my_loop = ['group', 'prompt', 'reward', 'advantage', 'loss', 'step']",
        "sampled FROM the prompt",
    ),
    (
        "00.1",
        "my_loop = ['prompt', 'reward', 'group', 'advantage', 'loss', 'step']",
        "first they have to be sampled",
    ),
    (
        "00.1",
        "my_loop = ['prompt', 'group', 'advantage', 'reward', 'loss', 'step']",
        "so those come first",
    ),
    (
        "00.1",
        "my_loop = ['prompt', 'group', 'reward', 'loss', 'advantage', 'step']",
        "weighs each token",
    ),
    (
        "00.1",
        "my_loop = ['prompt', 'group', 'reward', 'advantage', 'step', 'loss']",
        "goes down the loss's gradient",
    ),
    ("04b.1", "my_strength = lambda p, G: math.sqrt(p * (1 - p))", "the pull of the MEAN group"),
    ("04b.1", "my_strength = lambda p, G: p * (1 - p) * (G - 1) / G", "the root is missing"),
    (
        "04b.1",
        "my_strength = lambda p, G: sum(math.sqrt(c / G * (1 - c / G)) for c in range(G + 1))",
        "the groups are not weighted",
    ),
    (
        "04b.1",
        "my_strength = lambda p, G: sum(p**c * (1 - p) ** (G - c) * math.sqrt(c / G * (1 - c / G)) "
        "for c in range(G + 1))",
        "comb(G, c), is missing",
    ),
    (
        "04b.1",
        "my_strength = lambda p, G: sum(math.sqrt(c / G * (1 - c / G)) for c in range(G)) / (G + 1)",
        "every count weighs the same",
    ),
    ("04b.1", "my_strength = lambda p, G: p", "it gives 0.01000"),
    ("04b.2", "my_push = lambda pi, right, s: s * pi", "so must the push"),
    (
        "04b.2",
        "def my_push(pi, right, s):\n    out = s * pi / (1 - pi[right])\n    out[right] = -s\n"
        "    return out",
        "all signs are turned round",
    ),
    (
        "04b.2",
        "def my_push(pi, right, s):\n    out = torch.full_like(pi, -s / (len(pi) - 1))\n"
        "    out[right] = s\n    return out",
        "share the push equally",
    ),
    (
        "04b.2",
        "def my_push(pi, right, s):\n    out = -s * pi\n    out[right] = s\n    return out",
        "given that a completion is wrong",
    ),
    (
        "04b.2",
        "def my_push(pi, right, s):\n    out = -s * pi\n    out[right] += s\n    return out",
        "that is s (e - pi)",
    ),
    (
        "04b.2",
        "def my_push(pi, right, s):\n    out = torch.zeros_like(pi)\n    out[right] = s\n    return out",
        "only the right rule is moved",
    ),
    ("04b.3", "my_claims = dict.fromkeys('ABCDE', True)", "a hundred times less"),
    (
        "04b.3",
        "my_claims = {'A': False, 'B': False, 'C': True, 'D': True, 'E': False}",
        "not on how rare it was",
    ),
    (
        "04b.3",
        "my_claims = {'A': False, 'B': True, 'C': False, 'D': True, 'E': False}",
        "look at the slope",
    ),
    (
        "04b.3",
        "my_claims = {'A': False, 'B': True, 'C': True, 'D': False, 'E': False}",
        "nothing beside ref",
    ),
    (
        "04b.3",
        "my_claims = {'A': False, 'B': True, 'C': True, 'D': True, 'E': True}",
        "hardly pulls at what is nearly gone",
    ),
    ("04b.3", "my_claims = {'A': 0}", "True or False is needed"),
    # 08: the step; the check itself tells more slips apart than these
    ("08.1", "my_step = lambda policy, optimizer, rolled, settings: 0.0", "has not moved"),
    ("08.1", slip("optimizer.zero_grad()", "pass"), "the old gradient is still there"),
    (
        "08.1",
        slip("group_advantages(rolled.reward)", "group_advantages(rolled.reward.view(1, -1))"),
        "the advantages are those of all completions together",
    ),
    (
        "08.1",
        slip("* rolled.reward.flatten()", "* 0 * rolled.reward.flatten()"),
        "every completion has the flattened reference",
    ),
    ("08.1", slip("(logp, old, A", "(logp, logp.detach(), A"), "when the completions were SAMPLED"),
    (
        "08.1",
        slip("    torch.nn.utils.clip_grad_norm_(policy.trainable(), MAX_GRAD_NORM)\n", ""),
        "longer than MAX_GRAD_NORM",
    ),
    (
        "08.1",
        slip("exact_forward_kl(rows, target)", "exact_forward_kl(target, rows)"),
        "the reverse KL",
    ),
    ("08.1", slip("loss.backward()", "(-loss).backward()"), "it climbs the loss"),
    ("08.1", slip("return loss.item()", "return loss"), "give back the loss as a number"),
    ("08.1", slip("settings.clip_eps", "1e9"), "where rho leaves"),
    ("08.1", slip("(logp, old, A", "(old, logp, A"), "rho is upside down"),
    ("08.1", slip("+ settings.beta", "- settings.beta"), "the entropy has the wrong sign"),
    (
        "08.1",
        slip("settings.alpha * ", "settings.beta * ").replace(
            "+ settings.beta", "+ settings.alpha"
        ),
        "alpha and beta are swapped",
    ),
    (
        "08.1",
        slip("log_prob_rows(model, rolled)", "log_prob_rows(policy.model, rolled)").replace(
            "with reference_weights(policy) as model", "if True"
        ),
        "the reference is the policy itself",
    ),
    ("08.1", slip("loss = -((J", "loss = -((0.5 * J"), "first update goes another way"),
    (
        "08.1",
        slip("(logp, old, A", "(logp, 2 * old - logp.detach(), A"),
        "the second goes",
    ),
]
