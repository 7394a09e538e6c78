"""Render hostile results, parse the output, and list what differs from the output of harmless results."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import html5lib
import markdown_it
import markdown_it.token

from pytest_sst2.compare.cell_analysis import analyse_cells
from pytest_sst2.compare.history import cell_histories
from pytest_sst2.report.comparison_text import comparison_json, comparison_lines
from pytest_sst2.report.csv_export import csv_text
from pytest_sst2.report.history import history_html, history_lines
from pytest_sst2.report.html import html_text
from pytest_sst2.report.markdown import markdown
from pytest_sst2.report.terminal import summary_lines
from pytest_sst2.report.within_run_text import within_run_lines
from pytest_sst2.results.file import results_from_text, results_text
from tests.support.hostile_texts import Planted

# Format characters that some scripts need: direction marks and joiners.
_HARMLESS_FORMATS = frozenset("\u061c\u200c\u200d\u200e\u200f")
_TAB_AND_RETURN = str.maketrans("", "", "\t\r")
_URL_ATTRIBUTES = frozenset(("href", "src", "action", "formaction", "poster", "background", "srcset", "data", "cite"))
_FORMULA = re.compile(r"^[^\S\t\n]*[=+\-@＝＋－＠]|^[\t\r\n]")
# Text that GitHub turns into a link, although a Markdown parser doesn't.
_GITHUB = re.compile(r"(?<![\w/])@\w|#\d|\bgh-\d|https?://|\bwww\.|:[a-z][\w+-]*:|[\w.+-]@[\w-]+\.\w", re.IGNORECASE)


def terminal(planted: Planted, width: int | None) -> str:
    """Return the terminal output of a run, its comparison and the history."""
    after = planted.after
    lines = summary_lines(after.records, after.failures, planted.problems, planted.problems, width)
    if planted.report.within is not None:
        lines += within_run_lines(planted.report.within, width)
    lines += comparison_lines(planted.comparison, ("regressed",), width)
    lines += history_lines(cell_histories([planted.before, planted.after]), width)
    return "\n".join(lines)


def page(planted: Planted) -> str:
    """Return the HTML report."""
    cells = analyse_cells(planted.after, planted.sentences_of, planted.before, planted.comparison)
    # Two cells cover every element of a page; each takes a second to draw.
    return html_text(planted.report, cells[:2])


def history_page(planted: Planted) -> str:
    """Return the HTML of the history."""
    return history_html(cell_histories([planted.before, planted.after]))


def markdown_text(planted: Planted) -> str:
    """Return the Markdown report, which is also the job's summary."""
    return markdown(planted.report)


def csv_of(planted: Planted) -> str:
    """Return the CSV."""
    return csv_text(planted.report)


def json_of(planted: Planted) -> str:
    """Return the comparison as JSON."""
    return comparison_json(planted.comparison, ("regressed",))


def control_characters(text: str) -> list[str]:
    """Return the control characters, the characters that hide or reorder others, and those that UTF-8 cannot encode."""
    problems = []
    for character in sorted(set(text) - {"\n"}):
        category = unicodedata.category(character)
        code = ord(character)
        if (
            category in ("Cc", "Cs", "Zl", "Zp")
            or (category == "Cf" and character not in _HARMLESS_FORMATS)
            or code & 0xFFFE == 0xFFFE
            or 0xFDD0 <= code <= 0xFDEF
        ):
            problems.append(f"U+{code:04X}")
    return problems


def wrong_in_terminal(text: str, clean: str) -> list[str]:
    """Return the problems of terminal output."""
    problems = [f"control characters {codes}"] if (codes := control_characters(text)) else []
    if text.count("\n") != clean.count("\n"):
        problems.append(f"{text.count(chr(10))} lines, not {clean.count(chr(10))}")
    return problems


class _Page:
    """The elements, attributes, addresses and scripts of a page, as a browser parses it."""

    def __init__(self, text: str) -> None:
        tree = html5lib.parse(text, namespaceHTMLElements=False)
        elements = [element for element in tree.iter() if isinstance(element.tag, str)]
        self.tags = Counter(element.tag for element in elements)
        self.attributes = {(element.tag, name) for element in elements for name in map(str, element.attrib)}
        self.addresses = Counter(
            (name, value)
            for element in elements
            for name, value in element.attrib.items()
            if str(name).rpartition("}")[2] in _URL_ATTRIBUTES
        )
        self.styles = {
            re.sub(r"\d+", "N", element.attrib["style"]) for element in elements if "style" in element.attrib
        }
        self.code = Counter(element.text or "" for element in elements if element.tag in ("script", "style"))
        self.comments = sum(not isinstance(element.tag, str) for element in tree.iter())
        self.policies = [
            element.attrib.get("content")
            for element in elements
            if element.tag == "meta" and "http-equiv" in element.attrib
        ]


def wrong_in_page(text: str, clean: str) -> list[str]:
    """Return the problems of a page: what the page of harmless results doesn't have."""
    one, other = _Page(text), _Page(clean)
    problems = [f"control characters {codes}"] if (codes := control_characters(text)) else []
    problems += [f"an element {tag}" for tag in one.tags.keys() - other.tags.keys()]
    problems += [
        f"{one.tags[tag]} of {tag}, not {other.tags[tag]}"
        for tag in ("a", "script", "style", "link", "meta", "base", "img", "iframe", "form", "input", "button", "table")
        if one.tags[tag] != other.tags[tag]
    ]
    problems += [f"an attribute {name} of {tag}" for tag, name in one.attributes - other.attributes]
    problems += [f"an attribute {name}" for _, name in one.attributes if name.lower().startswith("on")]
    problems += [f"an address {problem}" for problem in one.addresses - other.addresses]
    problems += [f"a style {problem}" for problem in one.styles - other.styles]
    if one.code != other.code:
        problems.append("another script or style")
    if one.comments != other.comments:
        problems.append("a comment")
    if one.policies != other.policies or len(one.policies) != 1:
        problems.append(f"policies {one.policies}")
    return problems


def _reader() -> markdown_it.MarkdownIt:
    """Return a parser of GitHub's Markdown that links addresses as GitHub does: with http, www or an @."""
    reader = markdown_it.MarkdownIt("commonmark", {"linkify": True}).enable(["table", "strikethrough", "linkify"])
    reader.linkify.set({"fuzzy_link": False, "fuzzy_email": True})  # type: ignore[union-attr]
    return reader


def _tokens(tokens: Sequence[markdown_it.token.Token]) -> Iterator[markdown_it.token.Token]:
    for token in tokens:
        yield token
        yield from _tokens(token.children or ())


def wrong_in_markdown(text: str, clean: str) -> list[str]:
    """Return the problems of Markdown: what the Markdown of harmless results doesn't have."""
    one, other = (list(_tokens(_reader().parse(source))) for source in (text, clean))
    kinds, expected = (
        Counter(token.type for token in tokens if token.type not in ("text", "html_inline", "text_special"))
        for tokens in (one, other)
    )
    problems = [f"control characters {codes}"] if (codes := control_characters(text)) else []
    problems += [
        f"{kinds[kind]} of {kind}, not {expected[kind]}"
        for kind in kinds.keys() | expected.keys()
        if kinds[kind] != expected[kind]
    ]
    # Our own comments prevent links.
    problems += [
        f"HTML {token.content}" for token in one if token.type == "html_inline" and token.content != "<!-- -->"
    ]
    blocks, expected_blocks = (
        [token.content for token in tokens if token.type == "html_block"] for tokens in (one, other)
    )
    if blocks != expected_blocks:
        problems.append(f"HTML {blocks}")
    problems += [
        f"a link or a picture {match[0]}"
        for token in one
        if token.type == "text"
        for match in _GITHUB.finditer(token.content)
    ]
    problems += ["mathematics"] if re.search(r"(?<!\\)\$", _without_code(text)) else []
    if text.count("\n") != clean.count("\n"):
        problems.append(f"{text.count(chr(10))} lines, not {clean.count(chr(10))}")
    return problems


def _without_code(text: str) -> str:
    return re.sub(r"^(`{3,})sh$.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)


def wrong_in_csv(text: str, clean: str) -> list[str]:
    """Return the problems of a CSV: cells that a spreadsheet would run, and changed numbers."""
    rows, expected = (list(csv.reader(io.StringIO(source, newline=""))) for source in (text, clean))
    if [len(row) for row in rows] != [len(row) for row in expected]:
        return [f"rows of {[len(row) for row in rows]} cells"]
    problems = [f"control characters {codes}"] if (codes := control_characters(text.translate(_TAB_AND_RETURN))) else []
    for row, same in zip(rows, expected, strict=True):
        for cell, harmless in zip(row, same, strict=True):
            if _is_number(harmless):
                problems += [f"{cell!r} for the number {harmless}"] if cell != harmless else []
            elif _FORMULA.search(cell):
                problems.append(f"a formula {cell!r}")
    # In locales with decimal commas a spreadsheet splits at other characters and ignores the quotes.
    for sign in ";\t":
        cells = [
            part for row in rows for cell in row if not _is_number(cell) for part in re.split(rf"[{sign}\n]", cell)
        ]
        problems += [f"a formula behind {sign!r}: {cell!r}" for cell in cells[1:] if _FORMULA.match(cell)]
    return problems


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def wrong_in_json(text: str, clean: str) -> list[str]:
    """Return the problems of a comparison as JSON: another structure or unprintable characters."""
    problems = [f"control characters {codes}"] if (codes := control_characters(text)) else []
    if _shape(json.loads(text)) != _shape(json.loads(clean)):
        problems.append("another structure")
    return problems


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return sorted((_shape(item) for item in value), key=repr)
    return type(value).__name__


def wrong_in_results(planted: Planted) -> list[str]:
    """Return the problems of a results file: lost texts or unprintable characters."""
    problems = []
    after = planted.after
    for packed in (False, True):
        text = results_text(after, packed=packed)
        problems += [f"control characters {codes}"] if (codes := control_characters(text)) else []
        text.encode()
        again = results_from_text(text, "again")
        if [record.warnings for record in again.records] != [record.warnings for record in after.records]:
            problems.append("other warnings")
        if [record.model for record in again.records] != [record.model for record in after.records]:
            problems.append("other names")
        if list(again.failures) != list(after.failures):
            problems.append("other failures")
    return problems


def wrong_in_texts(planted: Planted, clean: Planted) -> list[str]:
    """Return the problems of all outputs except pages, which take a hundred times as long."""
    problems = []
    for width in (None, 80):
        problems += [
            f"terminal: {problem}" for problem in wrong_in_terminal(terminal(planted, width), terminal(clean, width))
        ]
    problems += [f"Markdown: {problem}" for problem in wrong_in_markdown(markdown_text(planted), markdown_text(clean))]
    problems += [f"CSV: {problem}" for problem in wrong_in_csv(csv_of(planted), csv_of(clean))]
    problems += [f"JSON: {problem}" for problem in wrong_in_json(json_of(planted), json_of(clean))]
    return problems + [f"results: {problem}" for problem in wrong_in_results(planted)]


def wrong_in_pages(planted: Planted, clean_page: str, clean_history: str) -> list[str]:
    """Return the problems of the report's and the history's page."""
    return [
        *(f"page: {problem}" for problem in wrong_in_page(page(planted), clean_page)),
        *(f"history: {problem}" for problem in wrong_in_page(history_page(planted), clean_history)),
    ]
