"""Our verifier beside Hugging Face's math-verify on the same pairs: agreement and speed.

The pairs are generated, in about the mix of answers that the MATH test set has, from a seed: each
gold answer with a right answer in another spelling and with a wrong one, so that every pair comes
with the verdict it deserves. Prints both graders' errors, every disagreement, and checks a second.
Needs `pip install math-verify==0.9.0`, which nothing else in the project uses.

    python benchmarks/verifier_vs_math_verify.py --pairs 1000
"""

import argparse
import random
import statistics
import sys
import time
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import verifier

# Each kind: (share in the mix, function of a random.Random -> gold, right answers, wrong answers).


def integer(r):
    n = r.choice([r.randint(-20, 100), r.randint(100, 99_999)])
    right = [f"{n}", f"{n}.0", f"x = {n}", f"{n:,}", f"\\text{{{n}}}"]
    return f"{n}", right, [f"{n + r.choice([-10, -1, 1, 2])}", f"{-n or 1}", f"{n or 5}x"]


def fraction(r):
    q = Fraction(3 * r.randint(-15, 15) + 1, r.choice([3, 9, 27, 21, 33]))  # no finite decimal
    a, b = q.numerator, q.denominator
    sign, size = "-" if a < 0 else "", abs(a)
    gold = f"{sign}\\frac{{{size}}}{{{b}}}"
    right = [f"{a}/{b}", f"\\dfrac{{{a}}}{{{b}}}", f"{2 * a}/{2 * b}", f"\\frac{{{-a}}}{{{-b}}}"]
    return gold, right, [f"{b}/{a}", f"{a + 1}/{b}", f"{a / b:.3f}", f"{-a}/{b}"]


def root(r):
    k, n = r.choice([4, 6, 8, 9, 10]), r.choice([2, 3, 5, 7, 13, 17])
    gold = f"{k}\\sqrt{{{n}}}"
    right = [f"{k}*sqrt({n})", f"{k}sqrt{n}", f"\\sqrt{{{k * k * n}}}", f"{k}√{n}", f"{k}\\sqrt{n}"]
    return gold, right, [f"{n}*sqrt({k})", f"{k * n**0.5:.4f}", f"\\sqrt{{{k * n}}}", f"{k}"]


def pi_multiple(r):
    k, m = r.randint(2, 300), r.choice([2, 3, 4, 6])
    gold = r.choice([f"{k}\\pi", f"\\frac{{{k}\\pi}}{{{m}}}"])
    if "frac" not in gold:
        return (
            gold,
            [f"{k}pi", f"{k}*pi", f"{k}π", f"\\pi \\cdot {k}"],
            [f"{k}", f"{k + 1}pi", f"pi^{k}"],
        )
    right = [f"{k}pi/{m}", f"({k}/{m})*pi", f"\\frac{{{k}}}{{{m}}}\\pi"]
    return gold, right, [f"{k}/{m}", f"{m}pi/{k}", f"{k}pi/{m + 1}"]


def polynomial(r):
    a, b, c = (r.choice([-5, -3, -2, 2, 3, 4, 7]) for _ in range(3))
    gold = f"{a}x^2{b:+d}x{c:+d}"
    right = [f"{c}{b:+d}x{a:+d}x^2", f"{a}*x**2{b:+d}*x{c:+d}", f"x({a}x{b:+d}){c:+d}"]
    return (
        gold,
        right,
        [f"{a}x^2{b:+d}x{c + 1:+d}", f"{a}x^2{-b:+d}x{c:+d}", f"{a}x^3{b:+d}x{c:+d}"],
    )


def listed(r):
    a, b, c = r.sample(range(-12, 13), 3)
    right = [f"{c}, {a}, {b}", f"\\{{{b},{a},{c}\\}}", f"{a}, {b} \\text{{ and }} {c}"]
    return f"{a},{b},{c}", right, [f"{a},{b}", f"{a},{b},{c + 30}", f"{a},{b},{c},{c + 40}"]


def point(r):
    a, b = r.sample([-9, -8, -5, -3, -2, 1, 2, 4, 6, 8], 2)
    gold = f"\\left( {a}, \\frac{{{b}}}{{7}} \\right)"
    return (
        gold,
        [f"({a}, {b}/7)", f"({a},\\frac{{{b}}}{{7}})"],
        [f"({b}/7, {a})", f"({a}, {b}/5+1)"],
    )


def interval(r):
    a = r.randint(-9, 5)
    b = a + r.randint(1, 9)
    right = [f"{a} < x \\le {b}", f"x \\in ({a}, {b}]", f"({2 * a}/2, {b}]"]
    return f"({a},{b}]", right, [f"({a},{b})", f"[{a},{b}]", f"({a},{b + 1}]"]


def complex_number(r):
    a, b = r.randint(-9, 9) or 1, r.randint(2, 9)
    return f"{a}+{b}i", [f"{b}i{a:+d}", f"{a} + {b} i"], [f"{a}-{b}i", f"{a + b}", f"{b}+{a}i"]


def with_unit(r):
    n, unit = r.randint(2, 90), r.choice(["cm", "miles", "hours"])
    wrong = [f"{n + 1}", f"{n} \\text{{ kg}}", f"{n}x"]
    return f"{n}\\text{{ {unit}}}", [f"{n}", f"{n} {unit}", f"{n}\\text{{ {unit}}}"], wrong


def percent(r):
    n = r.randint(2, 99)
    return f"{n}\\%", [f"{n}", f"{n}%", f"{n / 100}"], [f"{n + 1}\\%", f"{n / 10}", f"{n}00"]


def word(r):
    gold, other = r.sample(["Monday", "Evelyn", "even", "parabola", "Friday", "ellipse"], 2)
    return f"\\text{{{gold}}}", [gold, gold.lower(), f"\\textbf{{{gold}}}"], [other, "no", "5"]


def choice(r):
    gold, other = r.sample("ABCDE", 2)
    return (
        f"\\text{{({gold})}}",
        [gold, f"({gold})", f"\\text{{{gold}}}"],
        [other, f"{gold} or {other}"],
    )


def equation(r):
    a, b = r.randint(2, 9), r.randint(1, 9)
    return (
        f"y={a}x+{b}",
        [f"y = {b}+{a}x", f"{a}x - y + {b} = 0"],
        [f"y={a}x-{b}", f"y={b}x+{a + b}"],
    )


def matrix(r):
    a, b = r.sample(range(-9, 10), 2)

    def column(x, y):
        return f"\\begin{{pmatrix}} {x} \\\\ {y} \\end{{pmatrix}}"

    return column(a, b), [column(f"{2 * a}/2", b), column(a, b)], [column(b, a), column(a, b + 1)]


def symbolic(r):
    k = r.randint(2, 5)
    right = [f"2\\sin({k}x)\\cos({k}x)"]
    return f"\\sin({2 * k}x)", right, [f"2\\sin({k}x)", f"\\cos({2 * k}x)"]


MIX = [
    (45, integer), (15, fraction), (7, root), (4, pi_multiple), (6, polynomial), (4, listed),
    (4, point), (3, interval), (2, complex_number), (3, with_unit), (1, percent), (2, word),
    (1, choice), (1, equation), (1, matrix), (1, symbolic),
]  # fmt: skip


def pairs(count, seed):
    """(gold, answer, is it right?): three of five answers are right, half of those as the gold."""
    r = random.Random(seed)
    kinds = r.choices([kind for _, kind in MIX], [share for share, _ in MIX], k=count)
    for kind in kinds:
        gold, right, wrong = kind(r)
        verdict = r.random() < 0.6
        same = verdict and r.random() < 0.5
        yield gold, gold if same else r.choice(right if verdict else wrong), verdict


def ours(gold, answer):
    return verifier.verify(f"\\boxed{{{answer}}}", gold).reward == 1.0


def theirs():
    """math-verify's verdict on (gold, answer), or an exit that says how to install it."""
    try:
        from math_verify import parse, verify
    except ImportError:
        raise SystemExit(
            "math_verify cannot be imported; this benchmark alone needs it:\n"
            "    pip install math-verify==0.9.0"
        ) from None

    return lambda gold, answer: verify(parse(f"${gold}$"), parse(f"$\\boxed{{{answer}}}$"))


def graded(grade, rows):
    """(verdicts, seconds of each check)."""
    verdicts, seconds = [], []
    for gold, answer, _ in rows:
        start = time.perf_counter()
        verdicts.append(bool(grade(gold, answer)))
        seconds.append(time.perf_counter() - start)
    return verdicts, seconds


def print_table(rows, results):
    truth = [right for *_, right in rows]
    print(f"{'':<12}{'right':>8}{'false -':>9}{'false +':>9}{'checks/s':>11}{'median ms':>11}")
    for name, (verdicts, seconds) in results.items():
        miss = sum(t and not v for t, v in zip(truth, verdicts, strict=True))
        leak = sum(v and not t for t, v in zip(truth, verdicts, strict=True))
        share, rate = 1 - (miss + leak) / len(rows), len(rows) / sum(seconds)
        median = 1000 * statistics.median(seconds)
        print(f"{name:<12}{share:>8.1%}{miss:>9}{leak:>9}{rate:>11.0f}{median:>11.3f}")
    (one, fast), (two, slow) = results.values()
    apart = [(row, a, b) for row, a, b in zip(rows, one, two, strict=True) if a != b]
    print(f"agree on {len(rows) - len(apart)} of {len(rows)}", end=", ")
    print(f"ratio of checks/s {sum(slow) / sum(fast):.0f}")
    for (gold, answer, right), a, b in apart:
        print(f"  gold {gold}  answer {answer}  deserves {right}, ours {a}, math-verify {b}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rows = list(pairs(args.pairs, args.seed))
    peer = theirs()
    for grade in (ours, peer):  # imports and the start of sympy's process are not timed
        grade("\\sin(2x)", "2\\sin(x)\\cos(x)")
    print_table(rows, {"ours": graded(ours, rows), "math-verify": graded(peer, rows)})


if __name__ == "__main__":
    main()
