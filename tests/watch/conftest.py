"""A browser, a folder with three traced steps, and its page, for the tests of the trace page."""

import pytest
from trace_browser import HOSTILE, OpenPage

import rapo_mini
from docs.trace_pictures import chromium
from settings import Settings
from watch import tracer
from watch.files import write_whole


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
