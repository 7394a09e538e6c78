"""Test the HTML report in a real browser: sorting, filters, tooltips, keyboard and accessibility.

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
from pytest_sst2.report.html import html_text
from pytest_sst2.report.summary import make_report
from tests.support.hostile_texts import HTML_PAYLOADS, RUN, Planted, planted
from tests.support.injection_checks import history_page, page
from tests.support.run_factory import baseline, compared, later, sentences_of

pytest.importorskip("altair")
pytest.importorskip("vl_convert")
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
    texts: list[str] = page.locator(f"#{table} tbody tr:visible td:nth-child({number})").all_inner_texts()
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
    page.get_by_role("searchbox").first.fill("<img src=x onerror=window.pwned=1>")
    page.get_by_role("searchbox").first.fill("")
    page.evaluate(
        "() => document.querySelectorAll('.mark').forEach((mark) => mark.dispatchEvent(new Event('pointerenter')))"
    )
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
    assert opened_page.page.locator(".mark[tabindex]").count() > 0
    assert {url for url in opened_page.requests if url.startswith("http")} == set()
    # Without the policy the payloads run, so the test would notice them.
    opened_page.context.close()
    opened_page = opened_text(browser, tmp_path, HARMLESS_POLICY.sub("", broken))
    assert opened_page.page.evaluate("() => window.pwned") == 1
    opened_page.context.close()


def test_a_header_sorts_by_number_and_back(opened: Any) -> None:
    page = opened().page
    button = page.get_by_role("button", name="accuracy", exact=True).first
    button.click()
    rising = [float(text) for text in column(page, 5) if text != "–"]
    assert rising == sorted(rising)
    assert column(page, 5)[-1] == "–"
    button.click()
    falling = [float(text) for text in column(page, 5) if text != "–"]
    assert falling == rising[::-1]
    # Rows without a number stay at the end.
    assert column(page, 5)[-1] == "–"
    assert page.locator("#cells th[aria-sort=descending]").inner_text().startswith("accuracy")


def test_a_header_sorts_by_text(opened: Any) -> None:
    page = opened().page
    page.get_by_role("button", name="method").click()
    assert column(page, 1) == sorted(column(page, 1))


def test_points_with_a_typographic_minus_are_sorted_as_numbers(opened: Any) -> None:
    page = opened().page
    page.get_by_role("button", name="Δ points").click()
    assert column(page, 6, "compared")[0] == "−20.00"


def test_the_filter_keeps_the_rows_with_all_words_and_counts_them(opened: Any) -> None:
    page = opened().page
    total = len(column(page, 1))
    page.get_by_role("searchbox").first.fill("fine-tune minilm")
    assert column(page, 1) == ["fine-tune", "fine-tune"]
    assert page.locator("[data-counts=cells]").inner_text() == f"2 of {total} rows"
    page.get_by_role("searchbox").first.fill("")
    assert len(column(page, 1)) == total


def test_a_mark_that_is_pointed_at_says_what_it_stands_for(opened: Any) -> None:
    page = opened().page
    mark = page.locator(".wide .mark").first
    mark.hover()
    tip = page.locator("#tip")
    assert tip.is_visible()
    assert tip.inner_text() == mark.get_attribute("aria-label")
    page.mouse.move(0, 0)
    assert not tip.is_visible()


def test_everything_is_reached_by_the_tab_key_and_a_chart_is_one_stop(opened: Any) -> None:
    page = opened().page
    stops = []
    for _ in range(80):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            "() => { const e = document.activeElement;"
            " return [e.tagName.toLowerCase(), e.getAttribute('class') || '', e.innerText || '',"
            " getComputedStyle(e).outlineStyle + getComputedStyle(e).strokeWidth]; }"
        )
        if stop[0] == "body":
            break
        stops.append(stop)
    assert stops[0][2] == "To the results"
    kinds = [stop[0] for stop in stops]
    assert kinds.count("input") == 2
    assert kinds.count("button") == 14 + 11
    charts = page.locator(".wide svg:visible").count()
    assert len([stop for stop in stops if stop[1] == "mark"]) == charts > 4
    assert "summary" in kinds
    assert all("none" not in stop[3] or "3px" in stop[3] for stop in stops), "a stop that cannot be seen"


def test_arrow_keys_go_from_mark_to_mark_and_say_each(opened: Any) -> None:
    page = opened().page
    marks = page.locator(".wide svg").first.locator(".mark")
    marks.first.focus()
    tooltips = [page.locator("#tip").inner_text()]
    for _ in range(marks.count() - 1):
        page.keyboard.press("ArrowRight")
        tooltips.append(page.locator("#tip").inner_text())
    assert tooltips == [mark.get_attribute("aria-label") for mark in marks.all()]
    page.keyboard.press("ArrowRight")
    assert page.locator("#tip").inner_text() == tooltips[0]
    page.keyboard.press("Escape")
    assert not page.locator("#tip").is_visible()


def test_the_keyboard_sorts_too(opened: Any) -> None:
    page = opened().page
    page.get_by_role("button", name="seed", exact=True).focus()
    page.keyboard.press("Enter")
    assert page.locator("#cells th[aria-sort=ascending]").count() == 1


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_itself_never_scrolls_sideways(opened: Any, size: dict[str, int]) -> None:
    page = opened(size).page
    page.evaluate("() => document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")


def test_a_phone_gets_charts_of_its_own_with_letters_that_can_be_read(opened: Any) -> None:
    page = opened(PHONE).page
    assert page.locator(".wide svg:visible").count() == 0
    chart = page.locator(".narrow svg:visible").first
    text = chart.locator("text").first
    assert text.evaluate("(e) => e.getBoundingClientRect().height") >= 9
    assert chart.evaluate("(e) => e.getBoundingClientRect().right <= window.innerWidth")


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
    assert page.locator("details.cell[open]").count() == 1
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
