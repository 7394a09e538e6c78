"""The page: docs/homework.md from what was measured and what was published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from homework.bugs import bug_one, bug_three, bug_two
from homework.figures import NOT_MEASURED, accuracy, change, code, flowing, mean_accuracy, p_value, points, shell, table
from homework.measure import Findings, Outcome, without_places
from homework.plan import ALWAYS, DATA, SEED, WORK, Extras, notebook_runs
from homework.published import PUBLISHED, PublishedCell
from pytest_sst2.compare.significance import AccuracyChange, direction, holm
from pytest_sst2.config.options import ALPHA, TOLERANCE
from pytest_sst2.results.record import Record

# Bugs that are still there, and the runs of the fine-tuned and of the frozen encoder with them.
BUGS = {
    "1 and 3: as published": ("five-tokens", "whole"),
    "3: whole sentences, held-out slice": ("whole", "whole"),
    "none: whole sentences, validation": ("whole-validation", "whole-validation"),
}
FROZEN, TUNED, UNDECIDED = "frozen", "fine-tuned", "undecided"


@dataclass(frozen=True)
class Contest:
    """A fine-tuned encoder against a frozen one, on the same sentences by the same seeds."""

    models: str
    bugs: str
    frozen: Sequence[Record]
    tuned: Sequence[Record]

    @property
    def change(self) -> AccuracyChange:
        """Fine-tuned minus frozen."""
        return change(self.frozen, self.tuned)


def page(findings: Findings) -> str:
    """Return the whole text of docs/homework.md."""
    parts = (
        _head(findings),
        _first_table(findings),
        _missing(findings),
        bug_one(findings),
        bug_two(findings),
        bug_three(findings),
        _conclusion(findings),
        _making(findings),
    )
    return flowing("\n\n".join(part for part in parts if part)) + "\n"


def command(extras: Extras) -> str:
    """Return the command that writes the page."""
    return " ".join(["python tools/homework", f"--data={DATA}", *extras.flags])


def _head(findings: Findings) -> str:
    return f"""# The homework, and what its bugs did

A homework notebook compared three classifiers on SST-2 and concluded that the sentence transformer was the best of all
three. Three bugs made that so. Here is its table beside ours, each bug shown by a run, and what is left of the
conclusion. All numbers but those called *published* were measured by

{code(command(findings.extras))}

`{DATA}` stands for a folder with GLUE's `train.tsv` and `dev.tsv` (or for `hub`), `{WORK}` for the one that
`--keep={WORK}` names. Every run was also given `{" ".join(ALWAYS)}` and a file for its
records; neither moves a number."""


def _first_table(findings: Findings) -> str:
    headers = (
        "classifier",
        "published, held-out slice",
        "as published: 5 tokens, held-out slice",
        "whole sentences, held-out slice",
        "whole sentences, official validation set",
    )
    rows = [_published_row(findings, cell) for cell in PUBLISHED]
    for name in findings.encoders:
        rows.append(_row(findings, f"{name}, fine-tuned", name, "fine-tune"))
        if name != "minilm":
            rows.append(_row(findings, f"{name} frozen + logistic regression", name, "linear-probe"))
    rows.append(_row(findings, "TF-IDF + logistic regression", None, "tfidf"))
    rows.append(_row(findings, "always the commoner class", None, "majority"))
    return f"""## The table

{table(headers, rows)}

Trained on 5,000 rows, seed {SEED}; in brackets the 95 % interval. The held-out slice has 5,000 rows, the validation set
872. Only fine-tuning cut sentences; what was not cut stands in both columns. `minilm` is all-MiniLM-L6-v2."""


def _published_row(findings: Findings, cell: PublishedCell) -> list[str]:
    return _row(findings, cell.label, cell.model, cell.method, published=f"{cell.accuracies[-1]:.4f}")


def _row(findings: Findings, label: str, model: str | None, method: str, published: str = "–") -> list[str]:
    prefix = "notebook-" if model in _notebook_models() else ""
    five = f"{prefix}five-tokens" if method == "fine-tune" else f"{prefix}whole"
    runs = (five, f"{prefix}whole", f"{prefix}whole-validation")
    return [label, published, *(accuracy(findings.record(run, model, method)) for run in runs)]


def _notebook_models() -> tuple[str, ...]:
    return notebook_runs()[0].models


def _missing(findings: Findings) -> str:
    """Say which weights could not be downloaded, and the commands that measure those cells where they can."""
    first, *_ = notebook_runs()
    failures = findings.failures(first.name)
    if not failures:
        return ""
    reasons = "\n".join(f"- {without_places(failure.error)}" for failure in failures)
    wanted = notebook_runs([str(failure.model) for failure in failures])
    return f"""**{NOT_MEASURED.capitalize()}** are cells whose weights could not be downloaded where this page was made:

{reasons}

Where the Hub can be reached, these commands measure them, as published and mended, and so does the one above:

{code(*(shell(run.command) for run in wanted))}"""


def _conclusion(findings: Findings) -> str:
    contests = _contests(findings)
    changes = [contest.change for contest in contests]
    adjusted = holm([each.p_value for each in changes])
    winners = [_winner(each, p) for each, p in zip(changes, adjusted, strict=True)]
    rows = [
        [
            contest.models,
            contest.bugs,
            ", ".join(str(record.seed) for record in contest.tuned),
            mean_accuracy(contest.frozen),
            mean_accuracy(contest.tuned),
            points(found),
            p_value(p),
            winner,
        ]
        for contest, found, p, winner in zip(contests, changes, adjusted, winners, strict=True)
    ]
    headers = (
        "encoder",
        "bugs left",
        "seeds",
        FROZEN,
        TUNED,
        "difference in points (95 % interval)",
        "p (Holm)",
        "better",
    )
    return f"""## The conclusion

"The sentence transformer was the best of all three" set a frozen encoder that read whole sentences against fine-tuned
ones that did not. So the question is asked of one encoder at a time: frozen, or fine-tuned on the same 5,000 rows?

{table(headers, rows)}

*Better* is the gate's own rule: more than {100 * TOLERANCE:g} points, and p ≤ {ALPHA:g} after Holm's correction
over these rows. One seed compares two
trained classifiers (exact McNemar test); several seeds compare two ways of training, with seeds and sentences both
taken as random.

{_flip(contests, winners)}

{_limits(findings)}"""


def _contests(findings: Findings) -> list[Contest]:
    found = []
    for name in (*findings.encoders, *_notebook_models()):
        prefix, frozen = ("notebook-", "minilm") if name in _notebook_models() else ("", name)
        models = name if frozen == name else f"{name} against {frozen} frozen"
        for bugs, (tuned_run, frozen_run) in BUGS.items():
            tuned = findings.seeds(prefix + tuned_run, name, "fine-tune")
            of_seeds = {each.seed: each for each in findings.seeds(frozen_run, frozen, "linear-probe")}
            if tuned:
                found.append(Contest(models, bugs, [of_seeds[each.seed] for each in tuned], tuned))
    return found


def _winner(found: AccuracyChange, adjusted_p: float) -> str:
    words = {"improved": TUNED, "regressed": FROZEN, "unchanged": UNDECIDED}
    return words[direction(found.delta, adjusted_p, alpha=ALPHA, tolerance=TOLERANCE)]


def _flip(contests: Sequence[Contest], winners: Sequence[str]) -> str:
    """Say what became of the conclusion, no more than the rows carry."""
    published, whole, mended = ([w for c, w in zip(contests, winners, strict=True) if c.bugs == bugs] for bugs in BUGS)
    flips = set(published) == {FROZEN} and set(whole + mended) == {TUNED}
    return (
        f"**{'The conclusion flips.' if flips else 'Not every row turns.'} As published, the frozen encoder is better "
        f"in {published.count(FROZEN)} of {len(published)} rows. With whole sentences, bug 1 alone mended, the "
        f"fine-tuned one is better in {whole.count(TUNED)} of {len(whole)}; on the official validation set in "
        f"{mended.count(TUNED)} of {len(mended)}{_undecided(mended)}.**"
    )


def _undecided(winners: Sequence[str]) -> str:
    count = winners.count(UNDECIDED)
    return f" ({count} undecided: too few seeds or sentences to tell)" if count else ""


def _limits(findings: Findings) -> str:
    lost = {failure.model for failure in findings.failures(notebook_runs()[0].name)}
    missing = [cell.label.partition(" (")[0].partition(",")[0] for cell in PUBLISHED if cell.model in lost]
    if not missing:
        return ""
    return (
        f"What this does not say: how {' and '.join(missing)} fare once mended, and so which of the notebook's three "
        "is best. That needs their weights and the commands below the first table."
    )


def _making(findings: Findings) -> str:
    outcomes = list(findings.outcomes.values())
    environment = findings.outcomes["whole"].results.records[0].environment
    rows = [
        [f"`{outcome.run.name}.json`", f"`{outcome.run.command}`", _threads(outcome), f"{outcome.seconds:.0f}"]
        for outcome in outcomes
    ]
    minutes = sum(outcome.seconds for outcome in outcomes) / 60
    return f"""## How long it took, and with what

{minutes:.0f} minutes on {environment.cpu_model} ({environment.device}), with Python {environment.python},
{environment.headline}. The seconds are those of whole commands, once each, on a machine that others used too: read them
as a rough size.

{table((f"file in `{WORK}`", "command", "threads", "seconds"), rows)}"""


def _threads(outcome: Outcome) -> str:
    records = outcome.results.records
    return str(records[0].environment.threads) if records else "–"
