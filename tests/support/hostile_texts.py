"""Hostile texts, and results in which every text is hostile, as the author of a model or a file could write them."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_sst2.compare.comparison import Comparison, compare
from pytest_sst2.compare.within_run import compare_within
from pytest_sst2.report.summary import Report, make_report
from pytest_sst2.results.file import Results, results_from_text, results_text
from pytest_sst2.results.record import Record
from pytest_sst2.results.validation import record_from_json
from tests.support.run_factory import SENTENCES, baseline, later, of

# The effect of a payload that is run: a mark in the browser's window, or a request.
RUN = "window.pwned=1"
ADDRESS = "//evil.example/x"

HTML_PAYLOADS = (
    f"<script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"</style><script>{RUN}</script>",
    f"</title></head><script>{RUN}</script>",
    f"--></textarea></svg></pre><script>{RUN}</script>",
    f"<img src=x onerror={RUN}>",
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><foreignObject><iframe srcdoc='<script>parent.{RUN}</script>'></iframe></foreignObject></svg>",
    f"<svg><use href='data:image/svg+xml,<svg id=x xmlns=http://www.w3.org/2000/svg onload={RUN}/>#x'/></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<details open ontoggle={RUN}>",
    f'" onmouseover="{RUN}" x="',
    f"' onfocus='{RUN}' autofocus tabindex='1",
    f'"><script>{RUN}</script>',
    f"x onfocus={RUN} autofocus",
    f'" style="background:url({ADDRESS})',
    f"x:expression({RUN})",
    f"}}*{{background:url({ADDRESS})}}",
    "</style><style>body{display:none}</style>",
    f"javascript:{RUN}",
    f"data:text/html,<script>{RUN}</script>",
    f"<a href=javascript:{RUN}>a</a>",
    f"<base href={ADDRESS}>",
    f"<meta http-equiv=refresh content='0;url={ADDRESS}'>",
    f"<iframe src=javascript:parent.{RUN}></iframe>",
    f"<form action={ADDRESS}><input type=submit name=attributes></form>",
    f"<link rel=stylesheet href={ADDRESS}>",
    "<!--",
    "--><b>",
    "]]><b>",
    "<![CDATA[<b>]]>",
    f"&lt;script&gt;{RUN}&lt;/script&gt;",
    f"&#60;script&#62;{RUN}&#x3c;/script>",
    f"&quot; onclick=&quot;{RUN}",
    "{{ 7 * 7 }}{% raw %}{# #}",
    '{"signal": "1"}',
)
_MARKDOWN = (
    f"[a](javascript:{RUN})",
    f"![a](http:{ADDRESS})",
    f"[a]: http:{ADDRESS}",
    f"<http:{ADDRESS}>",
    f"http:{ADDRESS}",
    f"see {ADDRESS}",
    "www.evil.example",
    "mailto:me@evil.example",
    "me.+@evil.example",
    "@somebody",
    "/@org/team",
    "#1",
    "org/repo#1",
    "gh-1",
    "# heading",
    "a\n\n# heading\n\n",
    "a\n===\n",
    "---",
    "***",
    "> quoted",
    "+ item",
    "1. item",
    "1) item",
    "- [x] done",
    "    indented",
    "```\ncode\n```",
    "~~~",
    "`code` *a* _b_ ~~c~~ **d**",
    "| a | b |\n| - | - |\n| c | d |",
    "a|b",
    "</details>\n\n<details>",
    "<b>bold</b>",
    "[^1]",
    "$x$ $$y$$",
    ":tada:",
    "a\\",
    "\\<b>",
)
_TERMINAL = (
    "\x1b[2J\x1b[31mred",
    "\x1b]8;;http://evil.example\x07click\x1b]8;;\x07",
    "\x1b]52;c;cHduZWQ=\x07",
    "\x1b]0;title\x1b\\",
    "\x1bP$q\x1b\\",
    "\x9b2J\x9d52;c;cHduZWQ=\x9c",
    "all is well\rHOLDS",
    "a\b\b\x07\x00\x7f\v\f",
    "a\nERROR: forged",
    "a\r\nHOLDS: 1 of 1 identical",
    "a\u2028b\u2029c\x85d",
    "a\u202egpj.exe",
    "a\u2066\u2067b\u2069",
    "zero\u200bwidth\u2060\ufeff\u00ad",
    "half \ud800 and \udfff",
    "none \ufffe\uffff\ufdd0",
    "tags \U000e0041\U000e007f",
    "a" + "\u0301" * 100,
    "\u05e9\u05dc\u05d5\u05dd \U0001f468\u200d\U0001f469",
)
_SPREADSHEET = (
    "=cmd|' /C calc'!A0",
    f'=HYPERLINK("http:{ADDRESS}")',
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    " =1+1",
    "\u3000=1+1",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff20SUM(1)",
    'a";=1+1;"',
    "a;=1+1",
    "a\t=1+1",
    'a"\r\n=1+1,"',
)
_ODD = ("", " ", "null", "NaN", "-0.5", "true", "a\\u0000b", "%s %d {0} {name}", "../../x")
PAYLOADS = (*HTML_PAYLOADS, *_MARKDOWN, *_TERMINAL, *_SPREADSHEET, *_ODD)

# Mappings whose keys are hostile too.
_NAMES = frozenset(("packages", "variables", "metrics", "settings", "config", "parts", "optimizer"))
# Packed numbers and digests, which are never printed.
_DENSE = re.compile(r"\.(labels|blocks|logits|ids|pieces|sketch|hidden|prediction_token_ids|order|first_batch)$")
# Fields with a few allowed values: reading a file with another value fails.
_FEW = ("evaluation", "dtype")
_ONE_OF_A_FEW = re.compile(rf"(\.recipe\.({'|'.join(_FEW)})|\.path|^\.shard)$")

# Names that our code looks up. Every other run keeps them, so that output that depends on them is tested too.
_LOOKED_UP = re.compile(r"\.(NAME|source|split|recipe\.\w+|phases\.name|fixed_sentences|executor|device)$")
# Changed parts of the later run's cells, so that every kind of cause is reported.
_CHANGED = {
    "minilm-linear-probe-seed42": ("encoder", "weights"),
    "minilm-fine-tune-seed1": ("training", "settings"),
    "minilm-fine-tune-seed2": ("training", "settings"),
    "other-tfidf-seed42": ("recipe", "dataset"),
}


@dataclass
class Plant:
    """Replace each text by the next payload and a unique mark.

    The same text of the same field always gets the same replacement, so that cells, seeds and files still match.

    Attributes:
        turn: Offset of the first payload; None for harmless words.
        names: Whether names that our code looks up are replaced too.
        together: Payloads per text.
        leaves: The replacement of each field and text, in order.
    """

    turn: int | None
    names: bool = True
    together: int = 1
    leaves: dict[tuple[str, str], str] = field(default_factory=dict)

    def text(self, path: str, text: str) -> str:
        """Return the replacement of a text."""
        if _DENSE.search(path) or _ONE_OF_A_FEW.search(path) or (not self.names and _LOOKED_UP.search(path)):
            return text
        number = len(self.leaves)
        return self.leaves.setdefault((path, text), f"{self._payload(number)}{mark(number)}")

    def _payload(self, number: int) -> str:
        if self.turn is None:
            return "word"
        start = number + self.turn * self.together
        return " ".join(PAYLOADS[(start + step) % len(PAYLOADS)] for step in range(self.together))

    def planted(self, value: Any, path: str = "") -> Any:
        """Return parsed JSON with every text replaced."""
        if isinstance(value, str):
            return self.text(path, value)
        if isinstance(value, list):
            return [self.planted(item, path) for item in value]
        if isinstance(value, dict):
            has_names = path.rpartition(".")[2] in _NAMES
            return {
                self.text(f"{path}.NAME", name) if has_names else name: self.planted(
                    item, path if has_names else f"{path}.{name}"
                )
                for name, item in value.items()
            }
        return value

    def results(self, results: Results) -> Results:
        """Return results with every text replaced, read from the text of a results file."""
        text = results_text(dataclasses.replace(results, saved="2026-08-01", planned=("a", "b")))
        # A results file can have any text that JSON allows.
        return results_from_text(json.dumps(self.planted(json.loads(text))), self.text("origin", results.origin))


def mark(number: int) -> str:
    """Return the mark that identifies a replaced text."""
    return f"q{number:03}q"


@dataclass(frozen=True)
class Planted:
    """A run and its baseline, as the renderers take them."""

    plant: Plant
    before: Results
    after: Results
    comparison: Comparison
    report: Report
    problems: tuple[str, ...]

    def sentences_of(self, record: Record) -> Sequence[str]:
        """Return hostile sentences."""
        return [self.plant.text("sentence", sentence) for sentence in SENTENCES[: record.total]]


def planted(turn: int | None, *, names: bool = True, together: int = 1) -> Planted:
    """Return two runs in which every text is hostile, or harmless if ``turn`` is None."""
    plant = Plant(turn, names, together)
    first, second = baseline(), later()
    other = of([True] * 60, model="other", method="tfidf")
    before = plant.results(dataclasses.replace(first, records=[*first.records, other]))
    after = plant.results(
        dataclasses.replace(second, records=[_changed(record) for record in (*second.records, other)])
    )
    comparison = compare(before, after, tolerance=0.005, alpha=0.01)
    problems = (plant.text("problem", "a problem"),)
    within = compare_within(after, [str(after.records[0].model)], tolerance=0.005, alpha=0.01, option="--pair")
    report = make_report(after, comparison, ("regressed",), problems, within=within)
    return Planted(plant, before, after, comparison, report, problems)


def _changed(record: Record) -> Record:
    """Return a record with other texts in the parts of ``_CHANGED``."""
    data = record.to_json()
    for name in _CHANGED.get(record.cell, ()):
        holder = data["fingerprint"] if name in data["fingerprint"] else data
        holder[name] = _other(holder[name])
    return record_from_json(data)


def _other(value: Any, name: str = "") -> Any:
    if isinstance(value, str):
        return value if _DENSE.search(f".{name}") or name in _FEW else f"{value}2"
    if isinstance(value, list):
        return [_other(item) for item in value]
    if isinstance(value, dict):
        return {key: _other(item, key) for key, item in value.items()}
    return value


def marks_in(text: str) -> set[str]:
    """Return the marks in a text."""
    return set(re.findall(r"q\d{3}q", text))
