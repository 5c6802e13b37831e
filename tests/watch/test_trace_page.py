"""The page of a trace in a real browser: from disk, by pointer and by keys, narrow, wide, light, dark."""

import copy
import json
import math
import random

import pytest
import torch

import objective
import rapo_mini
from docs.trace_pictures import MISSING, chromium, chromium_path
from settings import Settings
from watch import glimpse, tracer
from watch.files import write_whole

pytestmark = pytest.mark.skipif(chromium_path() is None, reason=MISSING)
HOSTILE = "</script><script>document.title='owned'</script> & &lt; <b>x</b>"
QUANTITIES = ("change", "gain", "kl", "entropy", "drift", "share")


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of three traced steps; in the last one all that is text is hostile."""
    out = tmp_path_factory.mktemp("page")
    settings = Settings(
        steps=3, trace=str(out), out=str(out / "run"), prompts=4, group_size=6, threads=1,
        eval_problems=0, show_every=0, beta=0.01, lr=2e-3, max_new_tokens=60,
    )  # fmt: skip
    assert rapo_mini.main(settings) == 0
    records = tracer.read_trace(out)
    last = records[-1]
    for holder, key in ((last["prompt"], "text"), (last["prompt"], "answer")):
        holder[key] = HOSTILE
    last["problems"][0] = last["completions"][0]["reason"] = HOSTILE
    first, second, third = last["completions"][0]["columns"]["token"][:3]
    last["vocabulary"] |= {str(first): HOSTILE, str(second): " \n", str(third): "\u200d\x00"}
    write_whole(out / "trace.html", tracer.page([tracer.as_json(r) for r in records]))
    return out, records


@pytest.fixture
def page(browser, folder):
    """The page from disk; at the end no message on its console and nothing fetched but itself."""
    with OpenPage(browser, folder[0] / "trace.html") as page:
        yield page


class OpenPage:
    def __init__(self, browser, path, **options):
        self.browser, self.path = browser, path
        self.options = {"viewport": {"width": 1200, "height": 900}} | options

    def __enter__(self):
        self.page = self.browser.new_page(**self.options)
        self.wrong, self.fetched = [], []
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.fetched.append(request.url))
        self.page.goto(self.path.as_uri())
        return self.page

    def __exit__(self, kind, *_):
        if kind is None:
            assert self.wrong == [] and self.fetched == [self.path.as_uri()]
        self.page.close()


def token(page, card, t):
    return page.locator(".card").nth(card).locator(".tokens span").nth(t)


def cards(record):
    """The rows that share a card: those with the same tokens, in the group's order."""
    same = {}
    for row, c in enumerate(record["completions"]):
        same.setdefault((c["reward"], c["ended"], *c["columns"]["token"]), []).append(row)
    return list(same.values())


def columns(record, card):
    return record["completions"][cards(record)[card][0]]["columns"]


def show_records(browser, tmp_path, records, **options):
    write_whole(tmp_path / "made.html", tracer.page([tracer.as_json(r) for r in records]))
    return OpenPage(browser, tmp_path / "made.html", **options)


def shown(page, name, within="#inspector"):
    """The exact number behind one that is shown."""
    return float(page.locator(f"{within} [data-name={name}]").first.get_attribute("title"))


def colour(locator):
    return locator.evaluate("e => getComputedStyle(e).backgroundColor")


# ---------------------------------------------------------------- what it shows


def test_the_equation_holds_the_steps_values(page, folder):
    record = folder[1][0]
    rows, metrics = record["rows"], record["metrics"]
    assert shown(page, "J", "#equation") == -metrics["loss"]
    for weight in ("alpha", "beta"):
        assert shown(page, weight, "#equation") == record["settings"][weight]
    assert shown(page, "mean-kl", "#equation") == pytest.approx(metrics["kl"], abs=1e-6)
    assert shown(page, "mean-entropy", "#equation") == pytest.approx(metrics["entropy"], abs=1e-6)
    assert shown(page, "mean-g", "#equation") == pytest.approx(sum(rows["surrogate"]) / 24)
    assert page.locator("#equation").inner_text().replace("\n", "").startswith("J(θ)")
    text = page.locator("#equation [data-name=mean-kl]").inner_text()
    assert text == f"{sum(rows['kl']) / 24:.4g}"


def test_the_group_stands_side_by_side_with_rewards_and_advantages(page, folder):
    record = folder[1][0]
    shown_cards = page.locator(".card")
    assert shown_cards.count() == len(cards(record))
    for i, rows in enumerate(cards(record)):
        c, card = record["completions"][rows[0]], shown_cards.nth(i)
        assert c["reason"].replace("_", " ") in card.locator("h3").inner_text()
        assert (f"×{len(rows)}" in card.locator("h3").inner_text()) == (len(rows) > 1)
        exact = {
            name: float(card.locator(f"[data-name={name}]").get_attribute("title")) for name in "rA"
        }
        assert exact == {"r": c["reward"], "A": c["advantage"]}
        words = [record["vocabulary"][str(t)] for t in c["columns"]["token"]]
        assert card.locator(".tokens span").count() == len(words)
        text = card.locator(".tokens").text_content().replace("␣", " ").replace("↵", "")
        assert text == "".join(words)
    boxes = [shown_cards.nth(i).bounding_box() for i in (0, 1)]
    assert boxes[0]["y"] == boxes[1]["y"] and boxes[0]["x"] < boxes[1]["x"]


def test_equal_completions_share_a_card(browser, folder, tmp_path):
    record = copy.deepcopy(folder[1][0])
    record["completions"][4] = record["completions"][2] = record["completions"][0]
    with show_records(browser, tmp_path, [record]) as page:
        count = page.locator(".card").count()
        assert count == len(cards(record)) <= 4
        assert "×" in page.locator(".card h3").first.inner_text()
        assert "×" in page.locator("#attempts li").first.inner_text()
        assert f"{count} different ones of 6" in page.locator("#attempts-count").inner_text()


def test_a_focused_token_shows_its_numbers(page, folder):
    card = len(cards(folder[1][0])) - 1
    row = cards(folder[1][0])[card][0]
    c = folder[1][0]["completions"][row]
    k = c["columns"]
    token(page, card, 4).click()
    names = ("logp", "logp_after", "logp_old", "logp_ref", "logp_target", "ratio", "kl", "entropy")
    for name in names:
        assert shown(page, name) == k[name][4], name
    assert shown(page, "share") == -k["share"][4], "of J, not of the loss"
    assert shown(page, "change") == k["logp_after"][4] - k["logp"][4]
    assert shown(page, "advantage") == c["advantage"] and shown(page, "phi") == c["phi"]
    label = token(page, card, 4).get_attribute("aria-label")
    assert f"token 4 of completion {row}" in label
    assert f"{k['kl'][4]:.4g}".replace("-", "−").split("e")[0] in label
    text = page.locator("#inspector .place").inner_text()
    assert "/ (24·" + str(len(k["token"])) + ")" in text.replace(" / ", "/ "), text


def test_the_distributions_are_bars(page, folder):
    k = columns(folder[1][0], 1)
    token(page, 1, 0).click()
    rows = page.locator(".likely li:not(.head)")
    assert rows.count() == len(k["likely"][0]) + 1, "the candidates, and all others"
    drawn = k["likely"][0].index(k["token"][0])
    assert "drawn" in rows.nth(drawn).inner_text()
    for name in ("p_policy", "p_after", "p_ref", "p_target"):
        widths = [
            rows.nth(i).locator(f"i.{name}").bounding_box()["width"]
            for i in range(len(k["likely"][0]))
        ]
        most = max(range(len(widths)), key=widths.__getitem__)
        assert k[name][0][most] == max(k[name][0])
        assert widths[most] > 20 * max(k[name][0])
    factors = page.locator("[data-name=factor]")
    for n in range(len(k["likely"][0])):
        wanted = k["p_target"][0][n] / k["p_ref"][0][n]
        assert float(factors.nth(n).get_attribute("title")) == pytest.approx(wanted)


def test_the_pointer_previews_and_the_focus_stays(page, folder):
    k = columns(folder[1][0], 1)
    token(page, 1, 2).click()
    token(page, 1, 6).hover()
    assert shown(page, "logp") == k["logp"][6]
    page.locator("h1").hover()
    assert shown(page, "logp") == k["logp"][2]


def test_choosing_another_quantity_recolours(page, folder):
    seen, legends = {}, set()
    for quantity in QUANTITIES:
        page.locator(f"#quantities label:has([value={quantity}])").click()
        spans = page.locator(".tokens span")
        seen[quantity] = tuple(
            spans.evaluate_all("all => all.map(e => getComputedStyle(e).backgroundColor)")
        )
        legends.add(page.locator("#legend").inner_text())
    assert len(legends) == 6 and len({seen[q] for q in QUANTITIES if q != "drift"}) == 5
    assert len(set(seen["entropy"])) > 3, "shades, not one colour"
    assert set(seen["drift"]) == {"rgba(0, 0, 0, 0)"}, (
        "before any update the policy is the reference"
    )


def test_colours_follow_sign_and_size(page, folder):
    record = folder[1][0]
    page.keyboard.press("2")
    for card, rows in enumerate(cards(record)):
        sign = "p" if record["completions"][rows[0]]["reward"] else "n"
        assert token(page, card, 0).get_attribute("class")[0] == sign
    page.keyboard.press("4")
    k = columns(record, 0)["entropy"]
    most, least = (k.index(f(k)) for f in (max, min))
    assert token(page, 0, most).get_attribute("class").startswith("s")
    assert token(page, 0, least).get_attribute("class") == ""


def test_the_first_colour_is_what_the_step_changed(page, folder):
    assert page.locator("[value=change]").is_checked()
    assert "what this step changed" in page.locator("#legend").inner_text()
    for card in range(len(cards(folder[1][0]))):
        k = columns(folder[1][0], card)
        for t in (0, 1, 2):
            by, name = (
                k["logp_after"][t] - k["logp"][t],
                token(page, card, t).get_attribute("class"),
            )
            assert name == "" or (name[0] == "p") == (by > 0)


def test_blue_raises_and_orange_lowers_whatever_is_shown(browser, folder, tmp_path):
    """One token up in every signed quantity, the next one down."""
    record = copy.deepcopy(folder[1][0])
    k = record["completions"][0]["columns"]
    for t, sign in ((0, 1), (1, -1)):
        k["logp_after"][t], k["logp_ref"][t] = k["logp"][t] + sign, k["logp"][t] - sign
        k["share"][t] = -0.1 * sign
    with show_records(browser, tmp_path, [record]) as page:
        for key in "156":
            page.keyboard.press(key)
            assert [token(page, 0, t).get_attribute("class")[0] for t in (0, 1)] == ["p", "n"], key


# ---------------------------------------------------------------- the page explains itself


def test_five_captioned_stops(page, folder):
    record = folder[1][0]
    assert [h.split("\n")[0] for h in page.locator("h2 > span").all_inner_texts()] == list("12345")
    for n in range(1, 6):
        assert len(page.locator(f"#caption-{n}").inner_text()) > 40
    right = sum(c["reward"] == 1 for c in record["completions"])
    assert f"{right} of 6 are right" in page.locator("#caption-3").inner_text()
    assert (
        page.locator("#grades i").count() == 6 and page.locator("#grades i.right").count() == right
    )
    for name, want in (("advantage-right", 1), ("advantage-wrong", 0)):
        c = next(c for c in record["completions"] if c["reward"] == want)
        assert shown(page, name, "#advantage") == c["advantage"]


def test_the_letters_have_words(page, folder):
    text = page.locator("#definitions").inner_text()
    for word in ("alpha, the weight of the KL", "phi, the power", "beta", "the nat", "share of J"):
        assert word in text, word
    assert "the target of the KL" in text and "1.105 times as likely" in text


MOVED = (
    "The step made growing likelier by 0.058 and common less likely by 0.041; nothing else moved."
)


def test_what_the_step_moved_is_said_in_words(browser, folder, tmp_path):
    record = copy.deepcopy(folder[1][0])
    record["vocabulary"] |= {"7": "growing", "8": "common", "9": "rare"}
    for c in record["completions"]:
        k = c["columns"]
        k["token"][0] = 8
        for name in ("p_policy", "p_after", "p_ref", "p_target"):
            k[name] = [[0.3, 0.6, 0.1] for _ in k["token"]]
        k["likely"] = [[7, 8, 9] for _ in k["token"]]
        k["p_after"][0] = [0.3 * math.exp(0.058), 0.6 * math.exp(-0.041), 0.1]
    with show_records(browser, tmp_path, [record]) as page:
        assert "token 0 of" in page.locator("#inspector > h3").inner_text(), "where most moved"
        assert page.locator(".moved").inner_text() == MOVED
        page.keyboard.press("ArrowRight")
        assert "moved nothing here" in page.locator(".moved").inner_text()


def test_the_whole_attempts_changes_are_said(page, folder):
    record = folder[1][0]
    for name, want in (("times-right", 1), ("times-wrong", 0)):
        by = [
            sum(c["columns"]["logp_after"]) - sum(c["columns"]["logp"])
            for c in record["completions"]
            if c["reward"] == want
        ]
        assert shown(page, name, "#outcome") == pytest.approx(math.exp(sum(by) / len(by)))


def test_another_group_can_be_read(page, folder):
    record = folder[1][0]
    other = next(p for p in range(4) if p != record["prompt"]["index"])
    assert "not the numbers of their tokens" in page.locator("#step-rows").inner_text()
    page.locator(".groups button").nth(other).click()
    text = page.locator("#other").inner_text()
    assert record["problems"][other] in text and record["answers"][other] in text
    assert record["attempts"][other * 6]["reason"].replace("_", " ") in text
    assert page.locator("#other li").count() <= 6


# ---------------------------------------------------------------- ref^ at another phi


@pytest.mark.parametrize(("plausible", "fork_entropy"), [(0.0, 0.0), (0.02, 0.0), (0.02, 2.5)])
def test_the_page_flattens_the_reference_as_the_objective_does(page, plausible, fork_entropy):
    torch.manual_seed(1)
    row = (2.5 * torch.randn(1, 300)).log_softmax(-1)  # (1, V): most of it no candidate
    at = torch.cat([row.topk(6).indices, row.topk(3, largest=False).indices], dim=1)  # (1, 9)
    k = {
        "p_ref": [[float(f"{x:.6g}") for x in row.gather(1, at).exp()[0].tolist()]],
        "log_z": glimpse.log_powers(row, plausible).tolist(),
        "ref_entropy": objective.entropy(row).tolist(),
    }
    s = {"plausible": plausible, "fork_entropy": fork_entropy}
    for phi in (0.0, 0.05, 0.3, 0.55, 0.7, 0.95, 1.0):
        phi_t = objective.phi_at_forks(torch.tensor([[phi]]), row, fork_entropy)
        wanted = objective.reweight(row, phi_t, plausible).gather(1, at).exp()[0].tolist()
        got = page.evaluate("([k, phi, s]) => flattened(k, 0, phi, s)", [k, phi, s])
        assert got == pytest.approx(wanted, rel=2e-3), phi


def test_the_slider_of_phi_recomputes_the_target(page, folder):
    record = folder[1][0]
    wrong = next(
        i for i, rows in enumerate(cards(record)) if not record["completions"][rows[0]]["reward"]
    )
    token(page, wrong, 0).click()
    factor = page.locator("[data-name=factor]").first
    before = float(factor.get_attribute("title"))
    page.locator(".phi").fill("1")
    assert float(factor.get_attribute("title")) == pytest.approx(1, rel=1e-3), (
        "phi = 1: the reference"
    )
    token(page, wrong, 1).click()
    assert shown(page, "phi-slider") == 1, "the slider keeps its place"
    token(page, wrong, 0).click()
    page.locator(".flatten button").click()
    assert float(factor.get_attribute("title")) == before


# ---------------------------------------------------------------- the steps


def test_the_slider_changes_the_step(page, folder):
    records = folder[1]
    page.locator("#step").focus()
    page.keyboard.press("ArrowRight")
    assert "step 1" in page.locator("#step-name").inner_text()
    assert shown(page, "J", "#equation") == -records[1]["metrics"]["loss"]
    assert page.locator(".x").inner_text() == records[1]["prompt"]["text"].strip()
    assert page.locator("#step").get_attribute("aria-valuetext") == "step 1"


def test_all_metrics_of_the_step_are_there(page, folder):
    page.locator("#metrics summary").click()
    rows = dict(row.split("\t", 1) for row in page.locator("#metrics tr").all_inner_texts())
    assert set(rows) == set(folder[1][0]["metrics"])


def test_texts_are_texts_and_never_markup(page, folder):
    page.locator("#step").fill("2")
    assert token(page, 0, 0).text_content().replace("␣", " ") == HOSTILE
    token(page, 0, 0).click()
    assert page.locator("#inspector .token").inner_text().replace("␣", " ") == HOSTILE
    assert page.locator(".x").inner_text() == HOSTILE
    assert HOSTILE in page.locator(".card h3").first.inner_text()
    assert page.title() != "owned" and page.locator("main b:has-text('x')").count() == 0
    assert token(page, 0, 1).text_content() == "␣↵\n", "blanks are seen"
    assert token(page, 0, 2).text_content() == "<U+200D>␀"


# ---------------------------------------------------------------- keys, widths, themes


def test_the_arrows_work_at_once(page, folder):
    at = page.locator(".tokens [aria-current]").get_attribute("aria-label").split(":")[0]
    page.keyboard.press("ArrowRight")
    place = int(at.split()[1])
    assert f"token {place + 1} of" in focused(page) or f"token {place} of" in focused(page)
    page.locator("#quantities label").nth(2).click()
    page.wait_for_function("document.activeElement.closest('.tokens')")
    page.keyboard.press("Home")
    assert "token 0 of" in focused(page), (
        "a colour that was clicked leaves the arrows to the tokens"
    )


def test_the_keyboard_alone_reaches_everything(page, folder):
    record = folder[1][0]
    rows, reached = cards(record), []
    for _ in range(16):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(e => e.id || e.className || e.type || e.tagName)(document.activeElement)"
            )
        )
        if page.evaluate("document.activeElement.closest('.tokens') !== null"):
            break
    else:
        raise AssertionError(f"Tab never came to a token: {reached}")
    assert "step" in reached and "radio" in reached and reached.count("term") == 4
    row = int(focused(page).split("completion ")[1].split(":")[0])
    at = next(i for i, same in enumerate(rows) if same[0] == row)
    page.keyboard.press("Home")
    assert shown(page, "logp") == columns(record, at)["logp"][0]
    for key, place in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        page.keyboard.press(key)
        assert f"token {place} of" in focused(page)
    move, there = ("ArrowDown", at + 1) if at + 1 < len(rows) else ("ArrowUp", at - 1)
    page.keyboard.press(move)
    assert f"token 1 of completion {rows[there][0]}" in focused(page)
    k = columns(record, there)
    assert shown(page, "logp") == k["logp"][1]
    page.keyboard.press("End")
    assert shown(page, "logp") == k["logp"][-1]
    page.keyboard.press("ArrowRight")
    assert shown(page, "logp") == k["logp"][-1], "the last token is the last"
    before = colour(token(page, there, 0))
    page.keyboard.press("2")
    assert page.locator("[value=gain]").is_checked() and colour(token(page, there, 0)) != before
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "the focus is seen"
    assert page.locator(".tokens [tabindex]").count() == 1


def focused(page):
    return page.evaluate("document.activeElement.getAttribute('aria-label')")


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("step", [0, 2])
def test_nothing_is_wider_than_the_window(browser, folder, width, step):
    with OpenPage(
        browser, folder[0] / "trace.html", viewport={"width": width, "height": 844}
    ) as page:
        page.locator("#step").fill(str(step))
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        wide = page.locator("main *").evaluate_all(
            "(all, w) => all.filter(e => e.getBoundingClientRect().right > w + 1).map(e => e.outerHTML)",
            width,
        )
        assert wide == []


def test_a_narrow_window_keeps_the_focused_token_in_sight(browser, folder):
    with OpenPage(
        browser, folder[0] / "trace.html", viewport={"width": 400, "height": 800}
    ) as page:
        token(page, 0, 0).click()
        for _ in range(5):
            page.keyboard.press("ArrowDown")
        page.mouse.move(0, 0)
        page.wait_for_timeout(100)
        box = page.locator(".tokens [aria-current]").bounding_box()
        panel = page.locator("#inspector").bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= panel["y"]
        assert panel["y"] + panel["height"] <= 801


LUMINANCE = """rgb => {
  const canvas = document.createElement('canvas').getContext('2d');
  canvas.fillStyle = rgb; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
    .map(x => x / 255).map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_every_colour(browser, folder, scheme):
    """WCAG AA, 4.5 to 1, on the strongest shade of each scale and on the cards."""
    with OpenPage(browser, folder[0] / "trace.html", color_scheme=scheme) as page:

        def bright(css):
            return page.evaluate(f"({LUMINANCE})({json.dumps(css)})")

        paper = bright(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert (paper > 0.8) == (scheme == "light") and (paper < 0.05) == (scheme == "dark")
        backgrounds = [colour(page.locator(".card").first)]
        for name in ("p10", "n10", "s10"):
            token(page, 0, 1).evaluate("(e, name) => { e.className = name }", name)
            backgrounds.append(colour(token(page, 0, 1)))
        ink = bright(page.evaluate("getComputedStyle(document.body).color"))
        soft = bright(page.locator("footer").evaluate("e => getComputedStyle(e).color"))
        for text, back in [*((ink, b) for b in backgrounds), (soft, backgrounds[0])]:
            light, dark = sorted((text, bright(back)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, back


# ---------------------------------------------------------------- other arms, long completions


@pytest.mark.parametrize(
    ("arm", "term"), [("grpo", "w − 1 − log w"), ("no-kl", "no KL in this arm")]
)
def test_other_arms(browser, tmp_path, arm, term):
    settings = Settings(steps=1, arm=arm, trace=str(tmp_path), out=str(tmp_path / "r"), threads=1,
                        prompts=2, group_size=4, eval_problems=0, show_every=0)  # fmt: skip
    assert rapo_mini.main(settings) == 0
    with OpenPage(browser, tmp_path / "trace.html") as page:
        assert term in page.locator("main").inner_text()
        page.keyboard.press("3")
        token(page, 0, 1).click()
        series = page.locator(".series > span").count()
        assert series == (4 if arm == "grpo" else 2)
        if arm == "no-kl":
            assert page.locator("[data-name=logp_ref]").inner_text() == "–"
            assert "no reference" in page.locator("#legend").inner_text()


def test_subwords_of_the_qwen_kind(browser, tmp_path, qwen_like_base):
    """Chat prompt, subwords, bytes, ids past the vocabulary, 300 tokens: nothing overflows or is lost."""
    settings = Settings(steps=1, model=str(qwen_like_base), data="puzzles", trace=str(tmp_path),
                        threads=1, prompts=1, group_size=4, max_new_tokens=300, eval_problems=0,
                        show_every=0, out=str(tmp_path / "r"))  # fmt: skip
    assert rapo_mini.main(settings) == 0
    record = tracer.read_trace(tmp_path)[0]
    with OpenPage(browser, tmp_path / "trace.html", viewport={"width": 400, "height": 800}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert "<|im_start|>user" in page.locator(".x").inner_text()
        assert "all rewards are equal" in page.locator("#advantage").inner_text()
        for i, rows in enumerate(cards(record)):
            c = record["completions"][rows[0]]
            spans = page.locator(".card").nth(i).locator(".tokens span")
            texts = spans.evaluate_all("all => all.map(e => e.textContent)")
            assert len(texts) == len(c["columns"]["token"]) and all(t.strip() for t in texts)


def test_two_runs_stand_side_by_side(browser, folder, tmp_path):
    """Each completion once, with a strip of tokens a run; one scale for both; one place is selected."""
    mine, theirs = folder[1][0], copy.deepcopy(folder[1][0])
    theirs["settings"]["arm"] = "grpo"
    theirs["settings"]["kl_form"] = "sampled"
    for c in theirs["completions"]:
        k = c["columns"]
        k["logp_after"] = [2 * p - q for p, q in zip(k["logp"], k["logp_after"], strict=True)]
    html = tracer.page([tracer.as_json(mine)], beside=[tracer.as_json(theirs)])
    write_whole(tmp_path / "beside.html", html)
    with OpenPage(browser, tmp_path / "beside.html") as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 1200
        assert page.locator(".equation").count() == page.locator("#inspector .side").count() == 2
        assert page.locator("#inspector .arm").all_text_contents() == ["rapo", "grpo"]
        strips = page.locator(".card").first.locator(".tokens")
        assert strips.count() == 2
        for t in range(3):
            one, other = (
                strips.nth(n).locator("span").nth(t).get_attribute("class") for n in (0, 1)
            )
            assert one == "" == other or {one[0], other[0]} == {"p", "n"}, "they moved apart"
            assert one[1:] == other[1:], "and as far, on one scale"
        page.keyboard.press("End")
        page.keyboard.press("ArrowRight")
        assert page.locator(".tokens [aria-current]").count() == 1
        strips.nth(1).locator("span").nth(2).click()
        assert "token 2 of" in page.locator(".tokens [aria-current]").get_attribute("aria-label")


def long_record(record, length):
    """16 completions of `length` tokens each, made of the record's own tokens."""
    record, rng = copy.deepcopy(record), random.Random(0)
    base = record["completions"][0]
    record["completions"] = []
    for _ in range(16):
        picks = [rng.randrange(len(base["columns"]["token"])) for _ in range(length)]
        columns = {
            name: column and [column[t] for t in picks] for name, column in base["columns"].items()
        }
        record["completions"].append(base | {"columns": columns})
    return record


def test_a_thousand_tokens_a_completion_stay_light(browser, folder, tmp_path):
    """Counted by work, not by the clock: one element a token, and a move touches two of them."""
    record = long_record(folder[1][0], 1000)
    write_whole(tmp_path / "long.html", tracer.page([tracer.as_json(record)]))
    with OpenPage(browser, tmp_path / "long.html") as page:
        assert page.locator(".tokens *").count() == 16_000
        assert page.evaluate("document.querySelectorAll('.tokens [style]').length") == 0
        styles = page.locator(".card").evaluate_all(
            "all => all.map(e => getComputedStyle(e).contentVisibility)"
        )
        assert set(styles) == {"auto"}, "cards out of sight are not laid out"
        assert page.locator(".card").first.bounding_box()["height"] < 600, (
            "side by side, each scrolls"
        )
        page.evaluate(
            "window.seen = new Set();"
            "new MutationObserver(list => list.forEach(m => seen.add(m.target))).observe("
            "document.getElementById('cards'), {subtree: true, attributes: true, childList: true})"
        )
        token(page, 0, 5).click()
        for key in ["ArrowRight"] * 4 + ["ArrowDown"]:
            page.keyboard.press(key)
        assert "token 9 of completion 1" in focused(page)
        assert page.evaluate("seen.size") <= 7
        page.evaluate("seen.clear()")
        page.keyboard.press("4")
        assert page.evaluate("[...seen].every(e => e.parentNode.className === 'tokens')")
        page.keyboard.press("End")
        assert "token 999 of completion 1" in focused(page)
        assert page.locator(".tokens [aria-current]").bounding_box()["y"] > 0
