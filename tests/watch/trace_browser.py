"""What the tests of the trace page share: the open page, and where things stand on it."""

from watch import tracer
from watch.files import write_whole

HOSTILE = "</script><script>document.title='owned'</script> & &lt; <b>x</b>"


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


def focused(page):
    return page.evaluate("document.activeElement.getAttribute('aria-label')")
