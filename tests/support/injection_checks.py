"""Renderings of hostile results, and what is wrong with each: found by parsers, against the same of harmless words."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import html5lib
import markdown_it
import markdown_it.token

from pytest_sst2.compare.history import history
from pytest_sst2.report.cells import cell_reports
from pytest_sst2.report.comparison_text import comparison_json, comparison_lines
from pytest_sst2.report.csv_export import csv_text
from pytest_sst2.report.history import history_html, history_lines
from pytest_sst2.report.html import html_text
from pytest_sst2.report.markdown import markdown
from pytest_sst2.report.terminal import summary_lines
from pytest_sst2.results.file import results_from_text, results_text
from pytest_sst2.session.session import Session
from tests.support.hostile_texts import Planted

# What may follow from a text that has no direction of its own, and from letters that are joined.
_HARMLESS_FORMATS = frozenset("\u061c\u200c\u200d\u200e\u200f")
_TAB_AND_RETURN = str.maketrans("", "", "\t\r")
_URL_ATTRIBUTES = frozenset(("href", "src", "action", "formaction", "poster", "background", "srcset", "data", "cite"))
_FORMULA = re.compile(r"^[^\S\t\n]*[=+\-@＝＋－＠]|^[\t\r\n]")
# What GitHub makes a link or a formula of, in a text that a reader of Markdown leaves alone.
_GITHUB = re.compile(r"(?<![\w/])@\w|#\d|\bgh-\d|https?://|\bwww\.|:[a-z][\w+-]*:|[\w.+-]@[\w-]+\.\w", re.IGNORECASE)


def terminal(planted: Planted, width: int | None) -> str:
    """Return all that is printed of a run and of its comparison."""
    after = planted.after
    session = SimpleNamespace(
        records=after.records, failures=after.failures, notes=planted.problems, problems=planted.problems
    )
    lines = summary_lines(cast(Session, session), width)
    lines += comparison_lines(planted.comparison, ("regressed",), width)
    lines += history_lines(history([planted.before, planted.after]), width)
    return "\n".join(lines)


def page(planted: Planted) -> str:
    """Return the HTML report."""
    cells = cell_reports(planted.after, planted.sentences_of, planted.before, planted.comparison)
    # Two cells have all that a page can have of one; each takes a second to draw.
    return html_text(planted.report, cells[:2])


def history_page(planted: Planted) -> str:
    """Return the history as HTML."""
    return history_html(history([planted.before, planted.after]))


def markdown_text(planted: Planted) -> str:
    """Return the Markdown, which is the job's summary too."""
    return markdown(planted.report)


def csv_of(planted: Planted) -> str:
    """Return the CSV."""
    return csv_text(planted.report)


def json_of(planted: Planted) -> str:
    """Return the comparison as JSON."""
    return comparison_json(planted.comparison, ("regressed",))


def control_characters(text: str) -> list[str]:
    """Return the characters of a text that a terminal obeys, that hide or turn others, or that no file can hold."""
    found = []
    for character in sorted(set(text) - {"\n"}):
        category = unicodedata.category(character)
        code = ord(character)
        if (
            category in ("Cc", "Cs", "Zl", "Zp")
            or (category == "Cf" and character not in _HARMLESS_FORMATS)
            or code & 0xFFFE == 0xFFFE
            or 0xFDD0 <= code <= 0xFDEF
        ):
            found.append(f"U+{code:04X}")
    return found


def wrong_in_terminal(text: str, clean: str) -> list[str]:
    """Return what is wrong with a text for a terminal."""
    found = [f"control characters {codes}"] if (codes := control_characters(text)) else []
    if text.count("\n") != clean.count("\n"):
        found.append(f"{text.count(chr(10))} lines, not {clean.count(chr(10))}")
    return found


class _Page:
    """What a page is made of, as a browser's parser sees it."""

    def __init__(self, text: str) -> None:
        tree = html5lib.parse(text, namespaceHTMLElements=False)
        elements = [each for each in tree.iter() if isinstance(each.tag, str)]
        self.tags = Counter(each.tag for each in elements)
        self.attributes = {(each.tag, name) for each in elements for name in map(str, each.attrib)}
        self.addresses = Counter(
            (name, value)
            for each in elements
            for name, value in each.attrib.items()
            if str(name).rpartition("}")[2] in _URL_ATTRIBUTES
        )
        self.styles = {re.sub(r"\d+", "N", each.attrib["style"]) for each in elements if "style" in each.attrib}
        self.code = Counter(each.text or "" for each in elements if each.tag in ("script", "style"))
        self.comments = sum(not isinstance(each.tag, str) for each in tree.iter())
        self.policies = [
            each.attrib.get("content") for each in elements if each.tag == "meta" and "http-equiv" in each.attrib
        ]


def wrong_in_page(text: str, clean: str) -> list[str]:
    """Return what a page has that the same page of harmless words has not."""
    one, other = _Page(text), _Page(clean)
    found = [f"control characters {codes}"] if (codes := control_characters(text)) else []
    found += [f"an element {tag}" for tag in one.tags.keys() - other.tags.keys()]
    found += [
        f"{one.tags[tag]} of {tag}, not {other.tags[tag]}"
        for tag in ("a", "script", "style", "link", "meta", "base", "img", "iframe", "form", "input", "button", "table")
        if one.tags[tag] != other.tags[tag]
    ]
    found += [f"an attribute {name} of {tag}" for tag, name in one.attributes - other.attributes]
    found += [f"an attribute {name}" for _, name in one.attributes if name.lower().startswith("on")]
    found += [f"an address {each}" for each in one.addresses - other.addresses]
    found += [f"a style {each}" for each in one.styles - other.styles]
    if one.code != other.code:
        found.append("another script or style")
    if one.comments != other.comments:
        found.append("a comment")
    if one.policies != other.policies or len(one.policies) != 1:
        found.append(f"policies {one.policies}")
    return found


def _reader() -> markdown_it.MarkdownIt:
    """Return a reader of GitHub's Markdown; it finds addresses as GitHub does, with http, www or an @ in them."""
    reader = markdown_it.MarkdownIt("commonmark", {"linkify": True}).enable(["table", "strikethrough", "linkify"])
    reader.linkify.set({"fuzzy_link": False, "fuzzy_email": True})  # type: ignore[union-attr]
    return reader


def _tokens(tokens: Sequence[markdown_it.token.Token]) -> Iterator[markdown_it.token.Token]:
    for token in tokens:
        yield token
        yield from _tokens(token.children or ())


def wrong_in_markdown(text: str, clean: str) -> list[str]:
    """Return what a reader of Markdown makes of a text that it does not make of the same in harmless words."""
    one, other = (list(_tokens(_reader().parse(each))) for each in (text, clean))
    kinds, expected = (
        Counter(token.type for token in tokens if token.type not in ("text", "html_inline", "text_special"))
        for tokens in (one, other)
    )
    found = [f"control characters {codes}"] if (codes := control_characters(text)) else []
    found += [
        f"{kinds[kind]} of {kind}, not {expected[kind]}"
        for kind in kinds.keys() | expected.keys()
        if kinds[kind] != expected[kind]
    ]
    # A comment of ours splits what would be linked.
    found += [f"HTML {token.content}" for token in one if token.type == "html_inline" and token.content != "<!-- -->"]
    blocks, expected_blocks = (
        [token.content for token in tokens if token.type == "html_block"] for tokens in (one, other)
    )
    if blocks != expected_blocks:
        found.append(f"HTML {blocks}")
    found += [
        f"a link or a picture {match[0]}"
        for token in one
        if token.type == "text"
        for match in _GITHUB.finditer(token.content)
    ]
    found += ["mathematics"] if re.search(r"(?<!\\)\$", _without_code(text)) else []
    if text.count("\n") != clean.count("\n"):
        found.append(f"{text.count(chr(10))} lines, not {clean.count(chr(10))}")
    return found


def _without_code(text: str) -> str:
    return re.sub(r"^(`{3,})sh$.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)


def wrong_in_csv(text: str, clean: str) -> list[str]:
    """Return what a spreadsheet would run, and numbers that are none any more."""
    rows, expected = (list(csv.reader(io.StringIO(each, newline=""))) for each in (text, clean))
    if [len(row) for row in rows] != [len(row) for row in expected]:
        return [f"rows of {[len(row) for row in rows]} cells"]
    found = [f"control characters {codes}"] if (codes := control_characters(text.translate(_TAB_AND_RETURN))) else []
    for row, same in zip(rows, expected, strict=True):
        for cell, harmless in zip(row, same, strict=True):
            if _is_number(harmless):
                found += [f"{cell!r} for the number {harmless}"] if cell != harmless else []
            elif _FORMULA.search(cell):
                found.append(f"a formula {cell!r}")
    # Where a comma is for decimals, a spreadsheet splits at other signs, whatever the quotes say.
    for sign in ";\t":
        cells = [
            part for row in rows for cell in row if not _is_number(cell) for part in re.split(rf"[{sign}\n]", cell)
        ]
        found += [f"a formula behind {sign!r}: {cell!r}" for cell in cells[1:] if _FORMULA.match(cell)]
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def wrong_in_json(text: str, clean: str) -> list[str]:
    """Return what is wrong with the comparison as JSON: it is to say the same, in characters that can be printed."""
    found = [f"control characters {codes}"] if (codes := control_characters(text)) else []
    if _shape(json.loads(text)) != _shape(json.loads(clean)):
        found.append("another structure")
    return found


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return sorted((_shape(each) for each in value), key=repr)
    return type(value).__name__


def wrong_in_results(planted: Planted) -> list[str]:
    """Return what a results file loses of hostile records, or has in it that cannot be printed."""
    found = []
    after = planted.after
    for packed in (False, True):
        text = results_text(after.records, after.failures, planned=after.planned, packed=packed)
        found += [f"control characters {codes}"] if (codes := control_characters(text)) else []
        text.encode()
        again = results_from_text(text, "again")
        if [each.warnings for each in again.records] != [each.warnings for each in after.records]:
            found.append("other warnings")
        if [each.model for each in again.records] != [each.model for each in after.records]:
            found.append("other names")
        if list(again.failures) != list(after.failures):
            found.append("other failures")
    return found


def wrong_in_texts(planted: Planted, clean: Planted) -> list[str]:
    """Return what is wrong with everything but pages, which take a hundred times as long as all the rest."""
    found = []
    for width in (None, 80):
        found += [f"terminal: {each}" for each in wrong_in_terminal(terminal(planted, width), terminal(clean, width))]
    found += [f"Markdown: {each}" for each in wrong_in_markdown(markdown_text(planted), markdown_text(clean))]
    found += [f"CSV: {each}" for each in wrong_in_csv(csv_of(planted), csv_of(clean))]
    found += [f"JSON: {each}" for each in wrong_in_json(json_of(planted), json_of(clean))]
    return found + [f"results: {each}" for each in wrong_in_results(planted)]


def wrong_in_pages(planted: Planted, clean_page: str, clean_history: str) -> list[str]:
    """Return what is wrong with the report's page and that of the history."""
    return [
        *(f"page: {each}" for each in wrong_in_page(page(planted), clean_page)),
        *(f"history: {each}" for each in wrong_in_page(history_page(planted), clean_history)),
    ]
