"""The page's sections on the three bugs: what each was, the run that shows it, and what it changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from homework.figures import accuracy, balanced_accuracy, change, code, gate_says, p_value, points, shell, table
from homework.measure import Findings, without_places
from homework.plan import FOREIGN, WORK
from homework.published import PROBE, ROBERTA, TINYBERT
from pytest_sst2.results.record import Record
from pytest_sst2.utils.formatting import signed_points

STAND_IN = Path(FOREIGN).name


def bug_one(findings: Findings) -> str:
    """Return the section on sentences cut to five tokens."""
    pairs = [_pair(findings, name, "fine-tune", "whole", "five-tokens") for name in findings.encoders]
    minilm = pairs[0][1]
    rows = [
        [f"{before.model} × fine-tune", accuracy(before), accuracy(after), *_moved(before, after)]
        for before, after in pairs
    ]
    epochs = " / ".join(f"{epoch.eval_accuracy:.4f}" for epoch in minilm.epochs)
    published = " / ".join(f"{each:.4f}" for each in TINYBERT.accuracies)
    return f"""## Bug 1: sentences cut to five tokens

The notebook tokenized with `max_length=5`: a start mark, an end mark and three word pieces between them. That held for
the two models that it fine-tuned. The sentence transformer, in its own library, read whole sentences.

{_commands(findings, "whole", "five-tokens")}

{table(("held-out slice, one seed", "128 tokens", "5 tokens", "change in points (95 % interval)", "p (McNemar)"), rows)}

The run at five tokens says so itself: {_quoted(_about(minilm, "were cut"))}. After its three epochs minilm stood at
{epochs}; the published TinyBERT at {published}.

The gate does not let the two pass for one experiment:

{_gate(findings, "whole", "five-tokens")}

**What it changed:** fine-tuning lost {_lost(pairs)}; the frozen encoder, which read whole sentences, nothing."""


def bug_two(findings: Findings) -> str:
    """Return the section on the tokenizer of another model."""
    cells = (
        ("fine-tune, 128 tokens", _pair(findings, "minilm", "fine-tune", "whole", "foreign", STAND_IN)),
        (
            "fine-tune, 5 tokens",
            _pair(findings, "minilm", "fine-tune", "five-tokens", "foreign-five-tokens", STAND_IN),
        ),
        ("linear-probe", _pair(findings, "minilm", "linear-probe", "whole", "foreign", STAND_IN)),
    )
    rows = [
        [name, accuracy(before), accuracy(after), *_moved(before, after), f"{_positive(after):.0%}"]
        for name, (before, after) in cells
    ]
    headers = (
        "held-out slice, one seed",
        "own tokenizer",
        "foreign one",
        "change in points (95 % interval)",
        "p (McNemar)",
        "answers “positive” with the foreign one",
    )
    refused = findings.outcomes["refused"]
    return f"""## Bug 2: RoBERTa read another model's token ids

The notebook tokenized once, with TinyBERT's tokenizer and to five tokens, and gave those ids to RoBERTa too, for which
each number is some other word. {_majority(findings)}

**This package refuses such a pair** before anything is trained. To show it, a narrow RoBERTa of random weights with
RoBERTa-base's table of 50,265 tokens lies beside BERT's uncased tokenizer, which is of TinyBERT's kind:

{code(f"$ {shell(refused.run.command)}", *(without_places(each.error) for each in refused.results.failures))}

**What such ids do where nothing refuses them** is shown by a stand-in: all-MiniLM-L6-v2's weights beside a byte-level
BPE tokenizer trained on the 5,000 training sentences. It is neither RoBERTa nor TinyBERT's tokenizer, and it was made
to pass: its ids lie within MiniLM's vocabulary, it pads with the same one, and its common pieces have the ids of common
words. Only the mistake is the notebook's: every word is looked up as another.

{_commands(findings, "foreign", "foreign-five-tokens")}

{table(headers, rows)}

{_collapse([after for _, (_, after) in cells])}

The gate, given the same encoder with its own tokenizer and then with the foreign one, names the step:

{_gate(findings, "own", "foreign")}

**What it changed:** {_tokenizer_cost(cells)}"""


def bug_three(findings: Findings) -> str:
    """Return the section on the held-out slice."""
    cells: list[tuple[str, str | None, str, str]]
    cells = [("majority", None, "majority", "whole"), ("tfidf", None, "tfidf", "whole")]
    for name in findings.encoders:
        cells += [
            (f"{name} × linear-probe", name, "linear-probe", "whole"),
            (f"{name} × fine-tune", name, "fine-tune", "whole"),
            (f"{name} × fine-tune, 5 tokens", name, "fine-tune", "five-tokens"),
        ]
    pairs = [(label, *_pair(findings, model, method, run, f"{run}-validation")) for label, model, method, run in cells]
    rows = [
        [
            label,
            accuracy(heldout),
            accuracy(validation),
            signed_points(validation.accuracy - heldout.accuracy, digits=1),
            f"{balanced_accuracy(heldout):.3f}",
            f"{balanced_accuracy(validation):.3f}",
        ]
        for label, heldout, validation in pairs
    ]
    headers = ("seed 42", "held-out slice", "validation", "points", "balanced: held-out", "balanced: validation")
    words = findings.words
    _, heldout, validation = pairs[2]
    return f"""## Bug 3: a held-out slice that is easier than the official set

The notebook evaluated on rows 5001 to 10000 of the shuffled training split. SST-2's training split is made of phrases:
{words["train"]:.1f} words on average where it was trained, {words["heldout"]:.1f} in the held-out slice, but \
{words["validation"]:.1f} in the official validation set, which has whole sentences.

{_commands(findings, "whole", "whole-validation")}

{table(headers, rows)}

The slice also has more of one class, which is why `majority` moves. The balanced accuracy, the mean over both classes,
takes that out: {_harder(pairs)}

{_overlap(heldout, validation)}

{_gate(findings, "whole", "whole-validation")}

**What it changed:** the level. The frozen probe's published {PROBE.accuracies[-1]:.4f} is {validation.accuracy:.4f}
on the official set. A number of one is never to be held against a number of the other."""


def _pair(
    findings: Findings, model: str | None, method: str, first: str, second: str, other: str | None = None
) -> tuple[Record, Record]:
    """Return two records of a cell; ``other`` is the model's name in the second run where it has another there."""
    before, after = findings.record(first, model, method), findings.record(second, other or model, method)
    if before is None or after is None:
        raise SystemExit(f"{model} × {method} is not in {first} and {second}, so the page cannot be written.")
    return before, after


def _commands(findings: Findings, *names: str) -> str:
    return code(*(shell(findings.outcomes[name].run.command) for name in names))


def _moved(before: Record, after: Record) -> tuple[str, str]:
    found = change([before], [after])
    return points(found), p_value(found.p_value)


def _gate(findings: Findings, before: str, after: str) -> str:
    says = gate_says(findings.outcomes[before].results, findings.outcomes[after].results)
    return code(f"$ pytest-sst2 compare {WORK}/{before}.json {WORK}/{after}.json", *says)


def _about(record: Record, words: str) -> list[str]:
    return [each for each in record.warnings if words in each]


def _quoted(sentences: Iterable[str]) -> str:
    return ", ".join(f"“{each}”" for each in sentences) or "nothing"


def _lost(pairs: Sequence[tuple[Record, Record]]) -> str:
    return " and ".join(
        f"{100 * (before.accuracy - after.accuracy):.1f} points ({before.model})" for before, after in pairs
    )


def _positive(record: Record) -> float:
    return float(np.mean(record.predictions))


def _majority(findings: Findings) -> str:
    record = findings.record("whole", None, "majority")
    published = ROBERTA.accuracies[-1]
    if record is None:
        raise SystemExit("majority is not in whole, so the page cannot be written.")
    answer = "positive" if record.predictions[0] else "negative"
    got = f"`majority`, which answers “{answer}” to everything, gets **{record.accuracy:.4f}** here"
    count = f"({record.correct:,} of {record.total:,})"
    if f"{record.accuracy:.4f}" == f"{published:.4f}":
        return (
            f"Its published {published:.4f}, the same after each of three epochs, is not that of a model that reads: "
            f"{got} {count}, the same four digits. RoBERTa had collapsed to the commoner class."
        )
    return f"It published {published:.4f} after each of three epochs; {got} {count}."


def _collapse(records: Sequence[Record]) -> str:
    """Say whether the stand-in fell to one class, in the words of the run's own warnings."""
    said = [each for record in records for each in record.warnings if each.startswith(("collapsed", "no better"))]
    if said:
        return f"The runs warn: {_quoted(dict.fromkeys(said))}."
    return (
        "None of these collapsed to one class, so they show what the mistake costs an encoder, not why RoBERTa fell "
        "all the way."
    )


def _tokenizer_cost(cells: Sequence[tuple[str, tuple[Record, Record]]]) -> str:
    lost = [f"{100 * (before.accuracy - after.accuracy):.1f} points ({name})" for name, (before, after) in cells]
    return (
        f"the stand-in lost {'; '.join(lost)}. RoBERTa's published number says nothing about RoBERTa: it is that of a "
        "model that was never given the words."
    )


def _harder(pairs: Sequence[tuple[str, Record, Record]]) -> str:
    trained = [(heldout, validation) for label, heldout, validation in pairs if label != "majority"]
    lower = sum(balanced_accuracy(validation) < balanced_accuracy(heldout) for heldout, validation in trained)
    apart = sum(validation.accuracy_interval.high < heldout.accuracy_interval.low for heldout, validation in trained)
    return (
        f"{lower} of {len(trained)} trained classifiers are lower on validation by it too. The intervals of the "
        f"accuracies themselves are apart for {apart} of the {len(trained)}."
    )


def _overlap(heldout: Record, validation: Record) -> str:
    first, second = (_quoted(_about(each, "evaluation sentences")) for each in (heldout, validation))
    return (
        f"The runs also say what the slice shares with the training rows: {first}; of the validation set: {second}. "
        "The gate refuses to compare the two:"
    )
