"""The homework page: rendered from made records, so that nothing is trained here."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_sst2.compare.significance import wilson_interval
from pytest_sst2.config.recipes import build_recipe
from pytest_sst2.results.file import Results, results_text
from pytest_sst2.results.record import Failure, Record
from tests.support import ROOT
from tests.support.record_factory import answered, make_record

sys.path.insert(0, str(ROOT / "tools"))

from homework import measure, stand_ins
from homework.figures import NOT_MEASURED, flowing
from homework.measure import Findings, Outcome, without_places
from homework.page import command, page
from homework.plan import DATA, WORK, Extras, Run, notebook_runs, own_runs
from homework.published import PUBLISHED

ROWS = 200
EVERYTHING = Extras(more_seeds=(43, 44))
ON_THIS_MACHINE = r"https?://|(?<!\w)/(tmp|home|root|work)/"
UNREACHABLE = (
    "model 'roberta' (org/roberta) could not be downloaded: the cache in /home/me/hub has no complete copy, and "
    "https://hub.example cannot be reached ([Errno -2] Name or service not known). Next steps: check the name."
)


def cell(run: Run, model: str | None, method: str, right: int, seed: int = 42) -> Record:
    """Return a record of the run with ``right`` of 200 sentences right."""
    evaluation = run.evaluation
    recipe = build_recipe(run.recipe, evaluation=evaluation, seeds=run.seeds)
    dataset = dataclasses.replace(make_record().dataset, split=evaluation, eval_size=ROWS)
    record = answered([index < right for index in range(ROWS)], seed=seed, model=model, method=method)
    return dataclasses.replace(
        record,
        recipe=recipe,
        recipe_label=recipe.label,
        dataset=dataset,
        accuracy_interval=wilson_interval(right, ROWS),
        warnings=(),
        floor=None,
    )


def right_of(run: Run, method: str) -> int:
    """Return how many sentences a made cell gets right: fine-tuning beats the probe unless it reads five tokens."""
    whole = {"fine-tune": 180, "linear-probe": 150, "tfidf": 140, "majority": 110}[method]
    five = 120 if "published" in run.recipe else whole
    return five - (10 if run.evaluation == "validation" else 0)


def outcome_of(run: Run, **changes: int) -> Outcome:
    """Return a run with all its cells measured; ``changes`` gives methods another number of right answers."""
    records = []
    for method in run.methods:
        models = run.models if method in ("fine-tune", "linear-probe") else (None,)
        right = changes.get(method.replace("-", "_"), right_of(run, method))
        records += [
            cell(run, Path(model).name if model else None, method, right, seed)
            for model in models
            for seed in run.seeds
        ]
    return Outcome(run, Results(records, [], origin=f"{run.name}.json"), 61.0)


def failed(run: Run, error: str) -> Outcome:
    """Return a run of which every cell failed."""
    lost = [Failure(f"{model}-fine-tune-seed42", Path(model).name, "fine-tune", 42, error) for model in run.models]
    return Outcome(run, Results([], lost, origin=f"{run.name}.json"), 5.0)


def findings(*replaced: Outcome, weights: bool = False, extras: Extras = EVERYTHING) -> Findings:
    """Return everything measured, but for the notebook's own models unless their ``weights`` were there."""
    first, *_ = notebook_runs()
    outcomes = [outcome_of(run) for run in own_runs(extras)]
    outcomes += [outcome_of(run) for run in notebook_runs()] if weights else [failed(first, UNREACHABLE)]
    refused = own_runs(EVERYTHING)[0]
    outcomes.append(failed(refused, f"model {refused.name!r}: the tokenizer in /home/me/x knows 30,522 tokens."))
    outcomes += replaced
    words = {"train": 9.25, "heldout": 9.5, "validation": 19.75}
    return Findings({outcome.run.name: outcome for outcome in outcomes}, words, extras)


def planned(name: str) -> Run:
    """Return a run by its name."""
    return next(run for run in own_runs(EVERYTHING) if run.name == name)


def line_with(text: str, *words: str) -> str:
    """Return the first line that holds all these words."""
    return next(line for line in text.split("\n") if all(word in line for word in words))


class TestTheTable:
    def test_published_numbers_stand_beside_ours(self):
        row = line_with(page(findings()), "all-MiniLM-L6-v2 frozen")
        assert [each.split(" ")[0] for each in row.strip("| ").split(" | ")[1:]] == [
            "0.8364",
            "0.7500",
            "0.7500",
            "0.7000",
        ]
        assert "(0.686–0.805)" in row

    def test_every_published_cell_has_a_row(self):
        text = page(findings())
        for published in PUBLISHED:
            assert f"{published.accuracies[-1]:.4f}" in line_with(text, published.label)

    def test_a_row_of_another_record_shows_another_number(self):
        run = planned("whole-validation")
        text = page(findings(outcome_of(run, linear_probe=77)))
        assert "0.3850" in line_with(text, "all-MiniLM-L6-v2 frozen")

    def test_further_encoders_have_rows_of_their_own(self):
        text = page(findings(extras=Extras(also=("models/other",))))
        assert "| other, fine-tuned |" in text
        assert "| other frozen + logistic regression |" in text
        assert "--also=models/other" in text


class TestWeightsThatCannotBeHad:
    def test_their_cells_say_so(self):
        row = line_with(page(findings()), "RoBERTa-base, fine-tuned")
        assert row.count(NOT_MEASURED) == 3

    def test_the_page_gives_the_commands_that_measure_them(self):
        text = unwrapped(page(findings()))
        for run in notebook_runs():
            assert f"\n{run.command}\n" in text
        assert "pytest benchmarks --models tinybert,roberta --methods fine-tune" in text

    def test_the_reason_is_there_without_folders_and_addresses(self):
        text = page(findings())
        assert "the cache in FOLDER has no complete copy, and the Hub cannot be reached" in text
        assert not re.search(ON_THIS_MACHINE, text)

    def test_where_they_can_be_had_the_page_has_their_numbers_and_no_excuse(self):
        text = page(findings(weights=True))
        assert NOT_MEASURED not in text.lower()
        assert "0.9000" in line_with(text, "RoBERTa-base, fine-tuned")
        assert "tinybert against minilm frozen" in text

    def test_only_what_failed_is_asked_for_again(self):
        first, *_ = notebook_runs()
        one_lost = failed(dataclasses.replace(first, models=("roberta",)), UNREACHABLE)
        assert "--models roberta --methods fine-tune" in page(findings(one_lost, weights=True))


class TestBugs:
    def test_each_is_shown_with_the_command_of_its_runs(self):
        _, one, two, three = unwrapped(page(findings())).split("\n## Bug ")
        for section, names in ((one, ("whole", "five-tokens")), (two, ("refused", "foreign")), (three, ("whole",))):
            assert all(planned(name).command in section for name in names)

    def test_the_loss_is_that_of_the_records(self):
        row = line_with(page(findings()), "minilm × fine-tune", "0.9000", "0.6000")
        assert "−30.00 (−36.50 to −24.00)" in row

    def test_the_gate_is_quoted_with_its_verdict_and_its_reason(self):
        text = page(findings())
        assert "incomparable: recipe max_length 5, was 128" in text
        assert "incomparable: evaluation split validation, was heldout" in text

    def test_the_refusal_is_quoted(self):
        assert "the tokenizer in FOLDER knows 30,522 tokens" in page(findings())

    def test_a_collapse_is_told_in_the_words_of_the_run(self):
        outcome = outcome_of(planned("foreign"))
        records = [
            dataclasses.replace(each, warnings=("collapsed: every prediction is positive",))
            for each in outcome.results.records
        ]
        collapsed = dataclasses.replace(outcome, results=Results(records, []))
        assert "“collapsed: every prediction is positive”" in page(findings(collapsed))

    def test_no_collapse_is_claimed_where_there_was_none(self):
        assert "None of these collapsed" in page(findings())

    def test_the_majority_is_said_to_be_roberta_s_number_only_where_it_is(self):
        assert "the same four digits" not in page(findings())
        whole = outcome_of(planned("whole"))
        equal = [dataclasses.replace(each, accuracy=0.5518) for each in whole.results.records]
        alike = dataclasses.replace(whole, results=Results(equal, [], origin="whole.json"))
        assert "the same four digits" in page(findings(alike))


class TestTheConclusion:
    def test_it_flips_where_fine_tuning_is_ahead_on_whole_sentences(self):
        text = flat(page(findings()))
        assert "**The conclusion flips. As published, the frozen encoder is better in 1 of 1 rows." in text

    def test_it_does_not_where_the_frozen_encoder_stays_ahead(self):
        behind = [
            outcome_of(planned(name), fine_tune=100)
            for name in ("whole", "whole-validation", "whole-validation-more-seeds")
        ]
        text = flat(page(findings(*behind)))
        assert "flips" not in text
        assert "the fine-tuned one is better in 0 of 1; on the official validation set in 0 of 1" in text

    def test_what_seeds_and_sentences_cannot_decide_is_undecided(self):
        close = [
            outcome_of(planned(name), fine_tune=142) for name in ("whole-validation", "whole-validation-more-seeds")
        ]
        text = page(findings(*close))
        assert "undecided" in line_with(text, "| none:", "42, 43, 44")
        assert "(1 undecided: too few seeds or sentences to tell)" in flat(text)

    def test_one_seed_is_enough_for_a_row(self):
        text = page(findings(extras=Extras()))
        assert "| 42 |" in line_with(text, "| none:")

    def test_it_says_what_was_not_measured(self):
        assert "how TinyBERT and RoBERTa-base fare once mended" in flat(page(findings()))


def flat(text: str) -> str:
    """Return text with its line ends as spaces."""
    return " ".join(text.split())


def unwrapped(text: str) -> str:
    """Return text with every command on one line."""
    return text.replace(" \\\n    ", " ")


class TestRuns:
    def test_the_command_shown_is_the_one_that_is_run_but_for_its_folders(self):
        run = planned("foreign")
        real = run.arguments({DATA: "/data", WORK: "/keep"})
        assert "--sst2-data=/data" in real
        assert "/keep/foreign/all-MiniLM-L6-v2" in real
        shown = " ".join(real).replace("/data", DATA).replace("/keep", WORK)
        assert run.command == f"pytest benchmarks {shown}"

    def test_a_run_whose_results_are_there_is_not_repeated(self, tmp_path, monkeypatch):
        monkeypatch.setattr(subprocess, "run", lambda *_args, **_kwargs: pytest.fail("was run again"))
        run = planned("own")
        (tmp_path / "own.json").write_text(results_text([cell(run, "minilm", "linear-probe", 150)], []))
        (tmp_path / "own.took").write_text(json.dumps({"command": run.command, "seconds": 12.5}))
        outcome = measure._run(run, {}, tmp_path)
        assert outcome.seconds == 12.5
        assert outcome.results.records[0].accuracy == 0.75

    def test_the_results_of_another_command_are_not_taken_for_it(self, tmp_path, monkeypatch):
        run = planned("own")
        (tmp_path / "own.json").write_text(results_text([cell(run, "minilm", "linear-probe", 150)], []))
        (tmp_path / "own.took").write_text(json.dumps({"command": "pytest benchmarks", "seconds": 12.5}))
        done = subprocess.CompletedProcess([], 4, "", "was run again")
        monkeypatch.setattr(subprocess, "run", lambda *_args, **_kwargs: done)
        with pytest.raises(SystemExit, match="was run again"):
            measure._run(run, {}, tmp_path)

    def test_a_run_without_results_ends_with_what_it_said_last(self, tmp_path, monkeypatch):
        done = subprocess.CompletedProcess([], 4, "", "ERROR: no folder 'nowhere'\n")
        monkeypatch.setattr(subprocess, "run", lambda *_args, **_kwargs: done)
        with pytest.raises(SystemExit, match="no folder 'nowhere'"):
            measure._run(planned("own"), {}, tmp_path)

    def test_a_cell_without_a_number_ends_it_unless_that_is_an_answer(self, tmp_path):
        for name in ("own", "refused"):
            lost = failed(planned(name), "no such thing").results
            (tmp_path / f"{name}.json").write_text(results_text([], lost.failures))
            (tmp_path / f"{name}.took").write_text(json.dumps({"command": planned(name).command, "seconds": 1}))
        assert measure._run(planned("refused"), {}, tmp_path).results.failures
        with pytest.raises(SystemExit, match="no such thing"):
            measure._run(planned("own"), {}, tmp_path)


class TestTheStandIn:
    def test_its_ids_are_those_of_words_and_within_the_vocabulary(self, tmp_path, monkeypatch):
        from transformers import AutoTokenizer

        own = tmp_path / "own"
        own.mkdir()
        for name in ("config.json", "vocab.txt", "tokenizer_config.json"):
            (own / name).write_text("{}" if name.endswith("json") else "[PAD]\n")
        monkeypatch.setattr(stand_ins, "_minilm", lambda: own)
        stand_ins.write_foreign(tmp_path / "foreign", ["a film that moves", "a film that bores"] * 5)
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / "foreign")
        start, *words, end = tokenizer("a film that moves")["input_ids"]
        assert (start, end, tokenizer.pad_token_id) == (1, 2, 0)
        assert min(words) >= stand_ins.FIRST_WORD
        assert max(words) < stand_ins.VOCABULARY
        assert not (tmp_path / "foreign" / "vocab.txt").exists()

    def test_bytes_never_seen_in_training_have_ids_too(self, tmp_path):
        trained = stand_ins._byte_pairs(["a film"] * 3)
        assert len(trained["model"]["vocab"]) >= 256


def test_an_error_loses_its_folders_and_addresses_and_keeps_the_rest():
    assert without_places("in /a/b-c/d.json, and org/name at https://x.y/z is not 1/2.") == (
        "in FOLDER, and org/name at the Hub is not 1/2."
    )


def test_paragraphs_are_filled_and_tables_and_code_are_not():
    long = "word " * 40
    text = flowing(f"{long}\n\n| {long}|\n\n```\n{long}\n\n| x\n```\n\n- {long}")
    lines = text.split("\n")
    assert max(len(line) for line in lines if not line.startswith(("|", "-", long))) <= 120
    assert f"| {long}|" in text
    assert f"```\n{long}\n\n| x\n```" in text


class TestThePageInDocs:
    def test_it_is_of_the_runs_that_the_plan_has_now(self):
        text = (ROOT / "docs" / "homework.md").read_text(encoding="utf-8")
        also = tuple(re.findall(r"--also=(\S+)", text))
        seeds = re.search(r"--more-seeds=(\S+)", text)
        extras = Extras(also, tuple(map(int, seeds[1].split(","))) if seeds else ())
        assert command(extras) in text
        for run in own_runs(extras):
            assert f"`{run.command}`" in text

    def test_it_has_no_folder_and_no_address_of_the_machine_that_made_it(self):
        text = (ROOT / "docs" / "homework.md").read_text(encoding="utf-8")
        assert not re.search(ON_THIS_MACHINE, text)
