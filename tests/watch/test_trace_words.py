"""The page of a trace explains itself: its stops, its words, phi by a slider, two runs side by side."""

import copy
import math

import pytest
import torch
from trace_browser import OpenPage, cards, show_records, shown, token

import objective
from docs.trace_pictures import MISSING, chromium_path
from watch import glimpse, tracer
from watch.files import write_whole

pytestmark = pytest.mark.skipif(chromium_path() is None, reason=MISSING)


# ---------------------------------------------------------------- the page explains itself


def test_five_captioned_stops(page, folder):
    record = folder[1][0]
    assert [h.split("\n")[0] for h in page.locator("h2 > span").all_inner_texts()] == list("12345")
    for n in range(1, 6):
        assert len(page.locator(f"#caption-{n}").inner_text()) > 40
    right = sum(c["reward"] == 1 for c in record["completions"])
    group = len(record["completions"])
    assert f"{right} of {group} are right" in page.locator("#caption-3").inner_text()
    assert (
        page.locator("#grades i").count() == group
        and page.locator("#grades i.right").count() == right
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
        assert "token 1 of" in page.locator("#inspector > h3").inner_text(), "where most moved"
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
    group, traced = len(record["completions"]), record["prompt"]["index"]
    other = next(p for p in range(len(record["problems"])) if p != traced)
    assert "not the numbers of their tokens" in page.locator("#step-rows").inner_text()
    page.locator(".groups button").nth(other).click()
    text = page.locator("#other").inner_text()
    assert record["problems"][other] in text and record["answers"][other] in text
    assert record["attempts"][other * group]["reason"].replace("_", " ") in text
    assert page.locator("#other li").count() <= group


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


# ---------------------------------------------------------------- two runs


def changes(record):
    """The step's change of log pi at every token, a list for each different completion."""
    some = [record["completions"][rows[0]]["columns"] for rows in cards(record)]
    return [[q - p for p, q in zip(k["logp"], k["logp_after"], strict=True)] for k in some]


def test_two_runs_stand_side_by_side(browser, folder, tmp_path):
    """Each completion once, with a strip of tokens a run; one scale for both; one place is selected."""
    mine, theirs = folder[1][0], copy.deepcopy(folder[1][0])
    theirs["settings"]["arm"] = "grpo"
    theirs["settings"]["kl_form"] = "sampled"
    for c in theirs["completions"]:
        k = c["columns"]
        k["logp_after"] = [4 * p - 3 * q for p, q in zip(k["logp"], k["logp_after"], strict=True)]
    sizes = sorted(abs(x) for record in (mine, theirs) for card in changes(record) for x in card)
    limit = max(1e-3, sizes[int(0.98 * (len(sizes) - 1))])
    html = tracer.page([tracer.as_json(mine)], beside=[tracer.as_json(theirs)])
    write_whole(tmp_path / "beside.html", html)
    with OpenPage(browser, tmp_path / "beside.html") as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 1200
        assert page.locator(".equation").count() == page.locator("#inspector .side").count() == 2
        assert page.locator("#inspector .arm").all_text_contents() == ["rapo", "grpo"]
        strips = page.locator(".card").first.locator(".tokens")
        assert strips.count() == 2
        for n, record in enumerate((mine, theirs)):
            for t, moved in enumerate(changes(record)[0]):
                level = min(10, int(abs(moved) / limit * 10 + 0.5))  # on one scale for both
                shade = f"{'p' if moved > 0 else 'n'}{level}" if level else ""
                assert (strips.nth(n).locator("span").nth(t).get_attribute("class") or "") == shade
        page.keyboard.press("End")
        page.keyboard.press("ArrowRight")
        assert page.locator(".tokens [aria-current]").count() == 1
        strips.nth(1).locator("span").nth(2).click()
        assert "token 3 of" in page.locator(".tokens [aria-current]").get_attribute("aria-label")
