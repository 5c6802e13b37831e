"""The page of a trace in a real browser: from disk, by pointer and by keys, narrow, wide, light, dark."""

import copy
import json
import random

import pytest
from trace_browser import (
    HOSTILE,
    OpenPage,
    cards,
    colour,
    columns,
    focused,
    show_records,
    shown,
    token,
)

import rapo_mini
from docs.trace_pictures import MISSING, chromium_path
from settings import Settings
from watch import tracer
from watch.files import write_whole

pytestmark = pytest.mark.skipif(chromium_path() is None, reason=MISSING)
QUANTITIES = ("change", "gain", "kl", "entropy", "drift", "share")


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
        group = len(record["completions"])
        assert count == len(cards(record)) <= group - 2
        assert "×" in page.locator(".card h3").first.inner_text()
        assert "×" in page.locator("#attempts li").first.inner_text()
        assert f"{count} different ones of {group}" in page.locator("#attempts-count").inner_text()


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
    assert f"token 5 of completion {row}" in label
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
    assert len(legends) == 6 and len({seen[q] for q in QUANTITIES if q != "drift"}) >= 4
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
            name = token(page, card, t).get_attribute("class") or ""
            by = k["logp_after"][t] - k["logp"][t]
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
    place, last = int(at.split()[1]), page.locator("#inspector > h3").inner_text().split()[-1]
    assert f"token {min(place + 1, int(last))} of" in focused(page)
    page.locator("#quantities label").nth(2).click()
    page.wait_for_function("document.activeElement.closest('.tokens')")
    page.keyboard.press("Home")
    assert "token 1 of" in focused(page), (
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
    for key, place in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2)):
        page.keyboard.press(key)
        assert f"token {place} of" in focused(page)
    move, there = ("ArrowDown", at + 1) if at + 1 < len(rows) else ("ArrowUp", at - 1)
    page.keyboard.press(move)
    assert f"token 2 of completion {rows[there][0]}" in focused(page)
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
        page.mouse.move(0, 0)
        for _ in range(len(cards(folder[1][0])) - 1):
            page.keyboard.press("ArrowDown")
            page.wait_for_timeout(100)
            box = page.locator(".tokens [aria-current]").bounding_box()
            panel = page.locator("#inspector").bounding_box()
            assert box["y"] >= 0 and box["y"] + box["height"] <= panel["y"]
            assert panel["y"] + panel["height"] <= 801


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def test_a_finger_goes_from_token_to_token_and_over_the_ends(browser, folder):
    _, records = folder
    length, rows = len(columns(records[0], 0)["token"]), cards(records[0])
    with OpenPage(browser, folder[0] / "trace.html", **PHONE) as page:
        before, after, close = (page.locator(".steps button").nth(n) for n in range(3))
        where = page.locator("#inspector h3").first
        assert where.is_hidden(), "nothing is covered before a token is touched"
        token(page, 0, 0).tap()
        close.tap()
        assert where.is_hidden()
        token(page, 0, 0).tap()
        for t in range(1, length):
            assert f"y{rows[0][0]} token {t} of {length}" in where.inner_text()
            after.tap()
        after.tap()
        assert f"y{rows[1][0]} token 1 of " in where.inner_text(), "on to the next completion"
        box = page.locator(".tokens [aria-current]").bounding_box()
        assert box["y"] + box["height"] <= page.locator("#inspector").bounding_box()["y"]
        before.tap()
        assert f"y{rows[0][0]} token {length} of {length}" in where.inner_text()
        for button in (before, after):
            size = button.bounding_box()
            assert size["width"] >= 36 and size["height"] >= 36


def test_a_phone_says_what_its_numbers_are_and_shows_all_their_digits(browser, folder):
    with OpenPage(browser, folder[0] / "trace.html", **PHONE) as page:
        token(page, 0, 0).tap()
        assert page.locator("#inspector .place").inner_text().startswith("share of J = (g")
        number = page.locator("#inspector [data-name=logp]")
        short, exact = number.inner_text(), number.get_attribute("title")
        number.tap()
        assert number.inner_text() == exact != short
        number.tap()
        assert number.inner_text() == short
        assert page.locator("footer .touch").is_visible()
        assert not page.locator("footer .keys").is_visible(), "there are no keys"


def test_a_weight_stands_on_the_line_of_what_it_weighs(browser, folder):
    with OpenPage(browser, folder[0] / "trace.html", **PHONE) as page:
        for weight, weighed in (("alpha", "mean-kl"), ("beta", "mean-entropy")):
            one, two = (
                page.locator(f"#equation [data-name={name}]").bounding_box()
                for name in (weight, weighed)
            )
            assert abs(one["y"] - two["y"]) < 12


def test_a_mouse_has_its_keys(page, folder):
    assert page.locator("footer .keys").is_visible()
    assert not page.locator(".steps").first.is_visible()


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
        assert "token 10 of completion 1" in focused(page)
        assert page.evaluate("seen.size") <= 7
        page.evaluate("seen.clear()")
        page.keyboard.press("4")
        assert page.evaluate("[...seen].every(e => e.parentNode.className === 'tokens')")
        page.keyboard.press("End")
        assert "token 1000 of completion 1" in focused(page)
        assert page.locator(".tokens [aria-current]").bounding_box()["y"] > 0
