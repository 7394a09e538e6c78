"""Test the HTML report in a real browser: widths, sorting, copying, keyboard and accessibility.

The tests need Chromium and the extra ``browser`` (playwright and axe), and are skipped without them. With
SST2_SCREENSHOTS=FOLDER the screenshots are kept.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.compare.cell_analysis import analyse_cells
from pytest_sst2.compare.history import cell_histories
from pytest_sst2.report.history import history_html
from pytest_sst2.report.html import html_text
from pytest_sst2.report.summary import make_report
from pytest_sst2.results.file import Results
from tests.support.hostile_texts import HTML_PAYLOADS, RUN, Planted, planted
from tests.support.injection_checks import history_page, page
from tests.support.run_factory import baseline, compared, later, of, sentences_of

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: browser)")

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
# No background requests.
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


def chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        path = chromium() or playwright.chromium.executable_path
        if not Path(path).is_file():
            pytest.skip("no Chromium is installed (playwright install chromium, or the system's package)")
        started = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    before, after = baseline(), later()
    comparison = compared(before, after)
    text = html_text(
        make_report(after, comparison, ("regressed",)), analyse_cells(after, sentences_of, before, comparison)
    )
    path = tmp_path_factory.mktemp("report") / "sst2-report.html"
    path.write_text(text, encoding="utf-8")
    return path


class Opened:
    """An opened page with its errors, dialogs and requests."""

    def __init__(self, browser: Any, path: Path, size: dict[str, int], scheme: str = "light") -> None:
        self.context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
        self.page = self.context.new_page()
        self.troubles: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.troubles.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())


@pytest.fixture
def opened(browser: Any, report_file: Path) -> Iterator[Any]:
    made: list[Opened] = []

    def open_page(size: dict[str, int] = DESKTOP, scheme: str = "light") -> Opened:
        made.append(Opened(browser, report_file, size, scheme))
        return made[-1]

    yield open_page
    for opened_page in made:
        opened_page.context.close()


def column(page: Any, number: int, table: str = "cells") -> list[str]:
    texts: list[str] = page.locator(f"#{table} tbody tr:visible > :nth-child({number})").all_inner_texts()
    return texts


def test_the_page_opens_without_errors_requests_or_foreign_scripts(opened: Any, report_file: Path) -> None:
    page = opened()
    page.page.wait_for_load_state("networkidle")
    assert page.troubles == []
    assert set(page.requests) <= {report_file.as_uri(), "data:,"}


HARMLESS_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


def opened_text(browser: Any, folder: Path, text: str) -> Opened:
    path = folder / "page.html"
    path.write_text(text, encoding="utf-8")
    opened = Opened(browser, path, DESKTOP)
    opened.page.wait_for_load_state("networkidle")
    return opened


def use_everything(page: Any) -> None:
    """Use everything in a page: unfold, sort, filter, point at every mark, print."""
    page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    for button in page.locator("th button").all()[:8]:
        button.click()
    for button in page.locator("button.copy").all():
        button.click()
    page.evaluate(
        "() => document.querySelectorAll('*').forEach((e) => { e.focus?.(); e.dispatchEvent(new Event('load')); })"
    )


@pytest.mark.parametrize("render", [page, history_page], ids=["report", "history"])
def test_no_hostile_text_is_run_even_where_no_policy_forbids_it(
    browser: Any, tmp_path: Path, render: Callable[[Planted], str]
) -> None:
    text, policies = HARMLESS_POLICY.subn("", render(planted(1, names=False, together=8)))
    assert policies == 1
    opened_page = opened_text(browser, tmp_path, text)
    if render is page:
        use_everything(opened_page.page)
    assert opened_page.page.evaluate("() => window.pwned") is None
    assert opened_page.troubles == []
    assert {url for url in opened_page.requests if not url.startswith(("file:", "data:,"))} == set()
    assert len([url for url in opened_page.requests if url.startswith("file:")]) == 1
    opened_page.context.close()


def test_the_policy_forbids_what_was_not_escaped(browser: Any, tmp_path: Path, report_file: Path) -> None:
    text = report_file.read_text(encoding="utf-8")
    broken = text.replace("</main>", "".join(payload for payload in HTML_PAYLOADS if RUN in payload) + "</main>")
    assert broken != text
    opened_page = opened_text(browser, tmp_path, broken)
    assert opened_page.page.evaluate("() => window.pwned") is None
    # The policy names the digest of our own script, so it runs.
    assert opened_page.page.locator("button.copy:visible").count() > 0
    assert {url for url in opened_page.requests if url.startswith("http")} == set()
    # Without the policy the payloads run, so the test would notice them.
    opened_page.context.close()
    opened_page = opened_text(browser, tmp_path, HARMLESS_POLICY.sub("", broken))
    assert opened_page.page.evaluate("() => window.pwned") == 1
    opened_page.context.close()


def test_a_header_sorts_by_number_and_back(opened: Any) -> None:
    page = opened().page
    button = page.locator("#cells").get_by_role("button", name="accuracy")
    button.click()
    rising = [float(text.split()[0]) for text in column(page, 5) if text != "–"]
    assert rising == sorted(rising)
    assert column(page, 5)[-1] == "–"
    button.click()
    falling = [float(text.split()[0]) for text in column(page, 5) if text != "–"]
    assert falling == rising[::-1]
    # Rows without a number stay at the end.
    assert column(page, 5)[-1] == "–"
    assert page.locator("#cells th[aria-sort=descending]").inner_text().startswith("accuracy")


def test_a_header_sorts_by_text(opened: Any) -> None:
    page = opened().page
    page.locator("#cells").get_by_role("button", name="cell").click()
    assert column(page, 1) == sorted(column(page, 1))


def test_points_with_a_typographic_minus_are_sorted_as_numbers(opened: Any) -> None:
    page = opened().page
    button = page.get_by_role("button", name="Δ points")
    button.click()
    button.click()
    assert column(page, 5, "compared")[-1] == "−20.00"


def test_the_filter_of_a_long_table_keeps_the_rows_with_all_words_and_counts_them(browser: Any, tmp_path: Path) -> None:
    made = [of([True] * 20, model=f"m{number}", cell=f"m{number}") for number in range(12)]
    page = opened_text(browser, tmp_path, html_text(make_report(Results(made, [])), [])).page
    page.get_by_role("searchbox").fill("probe m7")
    assert column(page, 1) == ["m7 × linear-probe"]
    assert page.locator("[data-counts=cells]").inner_text() == "1 of 12 rows"
    page.get_by_role("searchbox").fill("")
    assert len(column(page, 1)) == 12
    page.context.close()


def test_a_button_copies_its_command_or_selects_it(opened: Any) -> None:
    page = opened().page
    button = page.locator("button.copy").first
    button.click()
    page.wait_for_function("() => document.querySelector('button.copy').textContent !== 'Copy'")
    if button.inner_text() == "Selected":
        assert page.evaluate("() => getSelection().toString()").startswith("python -m pip install")


def test_everything_is_reached_by_the_tab_key_and_can_be_seen(opened: Any) -> None:
    page = opened().page
    stops = []
    for _ in range(80):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            "() => { const e = document.activeElement;"
            " return [e.tagName.toLowerCase(), e.innerText || '', getComputedStyle(e).outlineStyle]; }"
        )
        if stop[0] == "body":
            break
        stops.append(stop)
    assert stops[0][1] == "To the first section"
    kinds = [stop[0] for stop in stops]
    assert kinds.count("button") == 8 + 11 + 3
    assert "summary" in kinds
    assert all("none" not in stop[2] for stop in stops), "a stop that cannot be seen"


def test_the_keyboard_sorts_too(opened: Any) -> None:
    page = opened().page
    page.locator("#cells").get_by_role("button", name="seeds").focus()
    page.keyboard.press("Enter")
    assert page.locator("#cells th[aria-sort=ascending]").count() == 1


# The text of two elements, none inside the other, on the same place; measured in the font that is shown.
OVERLAPPING = """() => {
  const boxes = [];
  for (const element of document.querySelectorAll('th, td, li, p, summary, figcaption, h1, h2, h3, h4')) {
    const range = document.createRange();
    range.selectNodeContents(element);
    for (const box of range.getClientRects()) if (box.width > 1 && box.height > 1) boxes.push([element, box]);
  }
  const overlap = ([one, a], [other, b]) => one !== other && !one.contains(other) && !other.contains(one)
    && Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
  return boxes.flatMap((one, place) => boxes.slice(place + 1, place + 200).filter((other) => overlap(one, other))
    .map(([element]) => `${one[0].textContent.slice(0, 40)} / ${element.textContent.slice(0, 40)}`));
}"""


@pytest.mark.parametrize("width", [390, 768, 1280, 1440, 1920])
@pytest.mark.parametrize("kind", ["report", "history"])
def test_no_table_and_no_text_is_wider_than_its_box_and_no_texts_overlap(
    browser: Any, tmp_path: Path, width: int, kind: str
) -> None:
    long = "an-organisation-with-a-name/a-multilingual-model-with-a-very-long-name-finetuned-on-sst2-english"
    before = [*baseline().records, of([True] * 60, model=long)]
    after = Results([*later().records, of([False] * 30 + [True] * 30, model=long)], later().failures)
    comparison = compared(Results(before, []), after)
    if kind == "report":
        cells = analyse_cells(after, sentences_of, Results(before, []), comparison)
        text = html_text(make_report(after, comparison), cells)
    else:
        text = history_html(cell_histories([Results(before, [], "2026-08-01", long), after]))
    path = tmp_path / "page.html"
    path.write_text(text, encoding="utf-8")
    opened_page = Opened(browser, path, {"width": width, "height": 900})
    wide = opened_page.page.evaluate(
        """() => {
          document.querySelectorAll('details').forEach((details) => { details.open = true; });
          const wide = [...document.querySelectorAll('table, th, td, pre, h1, li, svg')].filter((element) =>
            element.scrollWidth > element.clientWidth + 1
            || element.getBoundingClientRect().right > element.parentElement.getBoundingClientRect().right + 1);
          return wide.map((element) => `${element.tagName} ${element.textContent.slice(0, 40)}`);
        }"""
    )
    assert wide == []
    assert opened_page.page.evaluate(OVERLAPPING) == []
    assert opened_page.page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    opened_page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_serious(opened: Any, size: dict[str, int], scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed (extra: browser)")
    page = opened(size, scheme).page
    page.evaluate("() => document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    violations = axe.Axe().run(page).response["violations"]
    serious = [
        (violation["id"], violation["help"], [node["html"][:200] for node in violation["nodes"][:3]])
        for violation in violations
        if violation["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_printing_unfolds_the_details(opened: Any) -> None:
    page = opened().page
    assert page.locator("details.cell[open]").count() == 0
    page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details.cell:not([open])").count() == 0
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    assert page.pdf()[:5] == b"%PDF-"


@pytest.mark.parametrize(
    ("name", "size", "scheme", "paper"),
    [
        ("desktop", DESKTOP, "light", "rgb(255, 255, 255)"),
        ("phone", PHONE, "light", "rgb(255, 255, 255)"),
        ("dark", DESKTOP, "dark", "rgb(20, 23, 27)"),
    ],
)
def test_screenshots(opened: Any, tmp_path: Path, name: str, size: dict[str, int], scheme: str, paper: str) -> None:
    page = opened(size, scheme).page
    folder = Path(os.environ.get("SST2_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    picture = page.screenshot(path=folder / f"report-{name}.png", full_page=True)
    width, height = struct.unpack(">II", picture[16:24])
    assert (width, height > 3 * size["height"]) == (size["width"], True)
    assert page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor") == paper
