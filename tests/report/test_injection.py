"""Test hostile text in every field of a report: no report executes it, and none is damaged."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
import time
import unicodedata
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pytest_sst2.cli.main import main
from pytest_sst2.report.html import MOST_BYTES, html_text
from pytest_sst2.report.markdown import markdown
from pytest_sst2.report.summary import make_report
from pytest_sst2.results.file import Results, results_text
from pytest_sst2.results.record import Failure
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.sanitize import MOST_CHARACTERS, one_line, plain_json, printable
from tests.conftest import results
from tests.support import tiny_models
from tests.support.hostile_texts import PAYLOADS, Planted, marks_in, planted
from tests.support.injection_checks import (
    control_characters,
    csv_of,
    history_page,
    json_of,
    markdown_text,
    page,
    terminal,
    wrong_in_page,
    wrong_in_texts,
)
from tests.support.record_factory import ENVIRONMENT, make_record
from tests.support.run_factory import of

# The payloads that are tested here; tools/checks/injection.py tests all.
TURNS = range(0, len(PAYLOADS), 25)
TOGETHER = 8

# Used as a file name, and in the content of files that a run reads.
EVIL = "\x1b]52;c;cHduZWQ=\x07\x9b2J\u202e\u200b<img src=x onerror=alert(1)>\"' [a](javascript:alert) #1 @me |"


@pytest.fixture(scope="module")
def clean() -> dict[bool, Planted]:
    return {names: planted(None, names=names) for names in (True, False)}


@pytest.fixture(scope="module")
def clean_page(clean: dict[bool, Planted]) -> str:
    return page(clean[False])


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("names", [True, False], ids=["names", "values"])
def test_no_text_is_obeyed_by_terminal_markdown_csv_or_json(clean: dict[bool, Planted], turn: int, names: bool) -> None:
    assert wrong_in_texts(planted(turn, names=names), clean[names]) == []


def test_no_text_is_obeyed_by_a_page(clean_page: str) -> None:
    assert wrong_in_page(page(planted(1, names=False, together=TOGETHER)), clean_page) == []


@pytest.mark.processes  # draws two more pages, which takes seconds
def test_no_text_is_obeyed_by_the_page_of_the_history(clean: dict[bool, Planted]) -> None:
    harmless = history_page(clean[False])
    assert wrong_in_page(history_page(planted(1, names=False, together=TOGETHER)), harmless) == []
    assert len(marks_in(harmless)) >= 10


def test_the_texts_reach_the_reports(clean: dict[bool, Planted], clean_page: str) -> None:
    reached = {
        "terminal": marks_in(terminal(clean[True], None)) | marks_in(terminal(clean[False], None)),
        "markdown": marks_in(markdown_text(clean[False])),
        "csv": marks_in(csv_of(clean[False])),
        "json": marks_in(json_of(clean[True])),
        "html": marks_in(clean_page),
    }
    least = {"terminal": 60, "markdown": 20, "csv": 20, "json": 25, "html": 60}
    assert {name: len(marks) for name, marks in reached.items() if len(marks) < least[name]} == {}


def test_no_control_character_is_printable() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    text = printable(everything)
    turning = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert {char for char in set(text) if unicodedata.bidirectional(char) in turning} == set()
    assert {char for char in set(text) if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")} == {"\n", "\t"}
    assert "\n" not in one_line(everything)
    text.encode()


def test_letters_of_every_script_and_emoji_are_unchanged() -> None:
    text = "naïve 日本語 שלום عربي हिन्दी क्‍ष می‌خواهم 👩‍👩‍👧 ➡️ “quotes” − × →"
    assert printable(text) == one_line(text) == text


def test_json_has_the_same_value_in_printable_characters() -> None:
    for payload in PAYLOADS:
        text = plain_json(json.dumps([payload], ensure_ascii=False))
        assert json.loads(text) == [payload]
        assert control_characters(text) == []


class TestAMegabyteOfText:
    """Names of a megabyte must not break a report."""

    LONG = "<b>" + "A" * 1_000_000

    def hostile(self) -> Results:
        record = of([True] * 60, model=self.LONG, cell=self.LONG, warnings=(self.LONG,), recipe_label=self.LONG)
        record = dataclasses.replace(
            record,
            environment=dataclasses.replace(record.environment, packages={"torch": self.LONG, self.LONG: self.LONG}),
            dataset=dataclasses.replace(record.dataset, name=self.LONG, note=self.LONG),
        )
        return Results([record], [Failure(self.LONG, self.LONG, "fine-tune", 1, self.LONG)], origin=self.LONG)

    def test_every_report_stays_small(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        hostile = self.hostile()
        text = results_text(hostile)
        Path("hostile.json").write_text(text, encoding="utf-8")
        start = time.monotonic()
        assert main(["report", "hostile.json", "-o", "out"]) == 0
        assert time.monotonic() - start < 60
        assert (tmp_path / "out" / "sst2-report.html").stat().st_size <= MOST_BYTES
        # GitHub limits a job summary to a megabyte and a comment to 65,536 characters.
        assert len(markdown(make_report(hostile, None))) < 65_536

    def test_a_report_of_very_many_packages_stays_small(self) -> None:
        many = {f"{'a-long-name-' * 30}{number}": "1.0" for number in range(4_000)}
        record = of([True] * 20, environment=dataclasses.replace(ENVIRONMENT, packages=many))
        text = html_text(make_report(Results([record], [])), [])
        assert len(text.encode()) <= MOST_BYTES
        assert re.search(r"\d+ of 40\d\d rows", text)

    def test_printed_text_stays_short(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert len(one_line(self.LONG)) == MOST_CHARACTERS
        assert len(str(Sst2Error(self.LONG))) < 2_100


class TestAtTheCommandLine:
    """Commands that read files from other people."""

    @pytest.fixture
    def files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        for name, made in (("before", planted(17).before), ("after", planted(17).after)):
            text = results_text(made)
            Path(f"{name}.json").write_text(text, encoding="utf-8")
        return tmp_path

    @pytest.mark.parametrize(
        "words",
        [
            ["compare", "before.json", "after.json"],
            ["compare", "before.json", "after.json", "--format", "markdown"],
            ["compare", "before.json", "after.json", "--format", "json"],
            ["history", "before.json", "after.json"],
            ["merge", "before.json", "after.json", "-o", "joined.json"],
            ["merge", "after.json", "-o", "joined.json"],
            ["compare", "evil.json", "evil.json"],
            ["merge", "evil.json", "copy.json", "-o", "joined.json"],
            ["merge", "evil.json", "other.json", "-o", "joined.json"],
            ["compare", "before.json", "none\x1b]52;c;AAAA\x07.json"],
            ["compare", "before.json", "broken.json"],
            ["compare", "before.json", "newer.json"],
            ["compare", "before.json", "damaged.json"],
            ["upgrade", "--from", "pins.txt", "--latest"],
            ["upgrade", "a\x1b[2J==1"],
            ["report", "after.json", "-o", "out", "--data", "\x9b2J"],
        ],
        ids=lambda words: " ".join(words[:3]).encode("unicode_escape").decode(),
    )
    def test_a_terminal_obeys_nothing(self, files: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        code = "\\u001b]52;c;cHduZWQ=\\u0007\\u202e"
        (files / "broken.json").write_text('{"schema_version": \x1b]52;c;AAAA\x07', encoding="utf-8")
        (files / "newer.json").write_text(f'{{"schema_version": "{code}"}}', encoding="utf-8")
        damaged = f'{{"schema_version": 3, "records": [{{"cell": {{"{code}": 1}}}}], "failures": []}}'
        (files / "damaged.json").write_text(damaged, encoding="utf-8")
        evil = of([True] * 60, model=EVIL, cell=EVIL, dataset=dataclasses.replace(make_record().dataset, name=EVIL))
        for name, made in (("evil", evil), ("copy", evil), ("other", of([True] * 60, cell=f"{EVIL}2"))):
            (files / f"{name}.json").write_text(results_text(Results([made])), encoding="utf-8")
        (files / "pins.txt").write_text("torch >= \x1b]0;title\x07\n", encoding="utf-8")
        assert main(words) in (0, 1, 2)
        printed = capsys.readouterr()
        assert printed.out + printed.err != ""
        assert control_characters(printed.out + printed.err) == []

    def test_a_line_break_in_a_text_adds_no_line(self, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
        forged = Failure("a", "b", "c", 1, "d")
        made = of([True] * 60, model="a\nHOLDS: 1 of 1 identical\r\nERROR: forged")
        for name in ("before", "after"):
            (files / f"{name}.json").write_text(results_text(Results([made], [forged])), encoding="utf-8")
        main(["compare", "before.json", "after.json"])
        assert not [line for line in capsys.readouterr().out.splitlines()[1:] if line.startswith(("HOLDS", "ERROR"))]


LABEL = "quick train_size=60 learning_rate=0.005"


class TestInARun:
    """A run with hostile names of model and data, and hostile floors and errors."""

    def test_neither_the_terminal_nor_any_file_executes_them(self, project: pytest.Pytester) -> None:
        model, data = project.path / f"m{EVIL}", project.path / f"d{EVIL}"
        tiny_models.add_sentence_modules(tiny_models.write_encoder(model))
        data.mkdir()
        sentences, labels = tiny_models.sentences_and_labels(160)
        for name, part in (("train", slice(0, 120)), ("dev", slice(120, 160))):
            lines = [f"{text} {EVIL}\t{label}" for text, label in zip(sentences[part], labels[part], strict=True)]
            (data / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n", encoding="utf-8")
        floors = project.path / "floors.toml"
        floor = {"dataset": data.name, "recipe": LABEL, "model": model.name, "method": "linear-probe"}
        lines = [f"{name} = {_toml(text)}" for name, text in {**floor, "provenance": EVIL}.items()]
        floors.write_text("\n".join(["[[floor]]", *lines, "accuracy = 1.0"]), encoding="utf-8")
        project.makeconftest(f"EVIL = {EVIL!r}\n{_BROKEN_METHOD}")
        project.makepyfile(
            test_added="import pytest\n@pytest.mark.sst2(added=True)\ndef test_added(sst2_run): sst2_run.measure()\n"
        )
        result = project.runpytest(
            *("--sst2-models", model, "--sst2-data", data, "--methods", "linear-probe,broken", "-rA", "-l"),
            *("--sst2-json=out.json", "--junitxml=junit.xml", "--benchmark-json=times.json"),
            "--sst2-floors=floors.toml",
        )
        printed = result.stdout.str() + result.stderr.str()
        assert result.ret == 1
        assert "is below its floor 1.0000" in printed
        assert "broken by" in printed
        assert control_characters(printed) == []
        ElementTree.parse(project.path / "junit.xml")
        for name in ("out.json", "junit.xml", "times.json"):
            text = (project.path / name).read_text(encoding="utf-8")
            assert control_characters(text.replace("\t", "")) == [], name
        assert results(project.path / "out.json")["records"][0]["model"] == model.name

    def test_a_name_without_utf8_loses_no_results(self, project: pytest.Pytester, tiny_data: Path) -> None:
        data = project.path / "half\udc9b"
        shutil.copytree(tiny_data, data)
        result = project.runpytest("--sst2-data", data, "--methods", "tfidf", "--sst2-json=out.json")
        assert result.ret == 0
        assert results(project.path / "out.json")["records"][0]["dataset"]["name"] == data.name


def _toml(text: str) -> str:
    # A basic string of TOML is a JSON string, except for surrogates and DEL.
    return json.dumps(text).replace("\x7f", "\\u007f")


_BROKEN_METHOD = """
import sys
import warnings
from pytest_sst2.config.specs import MethodSpec

def train(job):
    evil = EVIL
    print("printed", evil)
    print("printed", evil, file=sys.stderr)
    raise ValueError(f"broken by {evil}")

def pytest_sst2_methods():
    return [MethodSpec("broken", train, needs_model=False)]
"""
