"""Write what follows from the code: docs/reference.md and the schema of results files.

    python tools/docs/reference.py            # write both
    python tools/docs/reference.py --check    # exit status 1, and a sentence each, where one is out of date

Whatever can be asked for is declared once in the package; here it is only laid out. Prose that the code does not hold
(exit statuses, environment variables) stands in this file.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pytest_sst2 import hookspec, plugin
from pytest_sst2.cli import main as cli
from pytest_sst2.compare.comparison import CANNOT_COMPARE, FAILS, HOLDS
from pytest_sst2.config import options
from pytest_sst2.config import options as gate
from pytest_sst2.config.catalog import CATALOG, METHODS
from pytest_sst2.config.recipes import PRESETS
from pytest_sst2.config.specs import MethodSpec, ModelSpec
from pytest_sst2.instruments.environment import VARIABLES
from pytest_sst2.methods.base import Job, Trained
from pytest_sst2.report.write import NAMES
from pytest_sst2.runner.metrics import LOCAL
from tools.docs.results_schema import docstring_parts, flowing, results_schema

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = Path("docs") / "reference.md"
SCHEMA = Path("pytest_sst2") / "results" / "schema.json"
NONE = "–"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write both files, or say which of them is not what it should be; return the exit status."""
    parser = argparse.ArgumentParser(description="Write docs/reference.md and the schema of results files.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is out of date")
    check = parser.parse_args(arguments).check
    stale = {path: text for path, text in made_files().items() if _text_of(ROOT / path) != text}
    for path, text in stale.items():
        if check:
            print(f"{path.as_posix()} is not what the code says. Run: python tools/docs/reference.py", file=sys.stderr)
        else:
            (ROOT / path).write_text(text, encoding="utf-8", newline="\n")
            print(f"wrote {path.as_posix()}")
    return 1 if stale and check else 0


def made_files() -> dict[Path, str]:
    """Return the text of each generated file, by its path from the project's root."""
    return {REFERENCE: reference(), SCHEMA: json.dumps(results_schema(), ensure_ascii=False, indent=1) + "\n"}


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def reference() -> str:
    """Return docs/reference.md."""
    parts = [
        "# Reference",
        "<!-- Written by tools/docs/reference.py from the code; what is changed here is lost. -->",
        "Everything that can be typed, asked for and read, as the code of this version has it.",
        *_options(),
        *_exit_statuses(),
        *_commands(),
        *_fixtures(),
        *_hooks(),
        *_names(),
        *_variables(),
        *_results_fields(),
    ]
    return "\n\n".join(parts) + "\n"


def _options() -> Iterator[str]:
    yield "## Options of pytest"
    yield (
        "Each has an ini twin for `pytest.ini`, `pyproject.toml` and the like; the command line wins. `--models` and "
        "`--methods` may be typed instead of `--sst2-models` and `--sst2-methods`, unless another plugin or a conftest "
        "has taken them. Write paths with `=` (`--sst2-data=FOLDER`): pytest takes a separate word that is a path for "
        "something to collect. Relative paths start from the folder pytest was called in, those of an ini file from "
        "the ini file's folder."
    )
    yield from _ini_files()
    rows = [
        (
            _code(f"{option.flag} {option.metavar}" if option.metavar else option.flag),
            _code(option.dest),
            _with_default(option),
        )
        for option in options.OPTIONS
    ]
    yield _table(("option", "ini", "what it asks for"), rows)
    yield (
        "Options without a value are switches (`true` in an ini file). Sizes, rates and lengths without a default are "
        f"the recipe's. `--sst2-metrics` takes {_listed(LOCAL)}; any other name is downloaded and run by `evaluate`, "
        "and needs `--sst2-trust-remote-code`. `--sst2-fail-on` takes `none`, too. `--sst2-report` writes "
        f"{_listed(NAMES)}, and needs the extra `report`."
    )


def _ini_files() -> Iterator[str]:
    """Yield how values are written in either kind of ini file: in one all are text, in the other they have types."""
    lists = _listed(option.dest for option in options.OPTIONS if option.ini_kind == "args")
    yield (
        "- In `pytest.ini`, `tox.ini` and `setup.cfg`, and in `[tool.pytest.ini_options]` of `pyproject.toml`, a value "
        'is text (in TOML quoted: `sst2_rounds = "3"`), with commas where several are meant; in TOML these may also be '
        'a list (`sst2_methods = ["tfidf", "majority"]`, `sst2_seeds = [1, 2]`), and a switch `true`.\n'
        "- In `[tool.pytest]` of `pyproject.toml` and in `pytest.toml`, which pytest 9 reads, these are lists of "
        f'quoted texts: {lists} (`sst2_methods = ["tfidf"]`, `sst2_seeds = ["1", "2"]`); switches are `true` or '
        '`false` without quotes; everything else is one quoted text (`sst2_rounds = "3"`).'
    )


def _with_default(option: options.Option) -> str:
    said, default = _help(option.help)
    default = _code(option.default) if option.default else default
    return said if default == NONE else f"{said}; default: {default}"


def _exit_statuses() -> Iterator[str]:
    code = pytest.ExitCode
    yield "## Exit statuses"
    yield "Of `pytest`:"
    yield _table(
        ("status", "what happened"),
        [
            (f"{code.OK:d}", "every cell has a number and reaches its floor, and the comparison holds if there is one"),
            (
                f"{FAILS}",
                "a test failed (a cell below its floor, or without a number), something asked for could not be written "
                "or saved, or `--sst2-compare` found what `--sst2-fail-on` names",
            ),
            (
                f"{CANNOT_COMPARE}",
                "no test failed, but cells could not be compared (unless `--sst2-fail-on` leaves `incomparable` out), "
                "or the two runs have no cell in common; pytest's own meaning: interrupted",
            ),
            (f"{code.INTERNAL_ERROR:d}", "an error inside pytest or a plugin"),
            (f"{code.USAGE_ERROR:d}", "a mistake in the options, the data or the floors file: nothing was run"),
            (
                f"{code.NO_TESTS_COLLECTED:d}",
                "no test was selected; not where the cells are in other shards (`--sst2-shard`): that is 0",
            ),
        ],
    )
    yield "Of `pytest-sst2`:"
    yield _table(
        ("status", "what happened"),
        [
            (f"{HOLDS}", "done; of `compare`: it holds"),
            (
                f"{FAILS}",
                f"`compare`: it found what `--fail-on` names (default: `{gate.FAIL_ON_DEFAULT}`); `merge`: cells or "
                "shards are missing, or the baseline was not saved",
            ),
            (f"{CANNOT_COMPARE}", "`compare`: the two cannot be compared; of any command: a mistake, in one sentence"),
        ],
    )


def _commands() -> Iterator[str]:
    yield "## Commands of pytest-sst2"
    yield "None of them measures anything. `pytest-sst2 COMMAND --help` says the same; `--version` says which it is."
    (words,) = [action for action in cli._parser()._actions if isinstance(action, argparse._SubParsersAction)]
    for name, parser in words.choices.items():
        yield f"### pytest-sst2 {name}"
        yield _as_markdown(parser.description or "")
        shown = [action for action in parser._actions if action.dest != "help" and action.help != argparse.SUPPRESS]
        rows = [_argument(action) for action in shown]
        if rows:
            yield _table(("argument", "default", "what it is"), rows)


def _argument(action: argparse.Action) -> tuple[str, str, str]:
    """Return the row of one argument of a command."""
    value = "" if action.nargs == 0 else f" {_value_of(action)}"
    typed = ", ".join(f"{flag}{value}" for flag in action.option_strings) or _value_of(action)
    said, default = _help(action.help or "")
    choices = f"one of {_listed(map(str, action.choices))}" if action.choices else ""
    needed = action.required and action.nargs != "*" and default == NONE
    return _code(typed), "required" if needed else default, said or choices


def _value_of(action: argparse.Action) -> str:
    """Return what stands for an argument's value, the way a usage line shows it."""
    name = str(action.metavar or action.dest.upper())
    repeated = {"+": f"{name} ...", "*": f"[{name} ...]"}
    return repeated.get(str(action.nargs), name)


def _fixtures() -> Iterator[str]:
    yield "## Fixtures"
    rows = [(_code(name), scope, said) for name, scope, said in _fixtures_of(inspect.getsource(plugin))]
    yield _table(("fixture", "scope", "what it is"), rows)
    yield "## Marker"
    signature, _, said = plugin.MARKER.partition(": ")
    yield f"`@pytest.mark.{signature}`: {said}"


def _fixtures_of(source: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, scope and docstring of every fixture in a module: pytest's own classes for them keep changing."""
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if ast.unparse(called) == "pytest.fixture":
                given = decorator.keywords if isinstance(decorator, ast.Call) else []
                scope = next((ast.literal_eval(each.value) for each in given if each.arg == "scope"), "function")
                yield node.name, scope, flowing(ast.get_docstring(node) or "")


def _hooks() -> Iterator[str]:
    yield "## Hooks"
    yield "A `conftest.py` or a plugin can implement them. Each example runs when pasted into a `conftest.py`."
    for hook in (hookspec.pytest_sst2_models, hookspec.pytest_sst2_methods):
        said, _, example = (inspect.getdoc(hook) or "").partition("Example::\n\n")
        yield f"### {hook.__name__}"
        yield flowing(said)
        # In a docstring one empty line parts functions, in a file two.
        code = textwrap.dedent(example).rstrip().replace("\n\ndef ", "\n\n\ndef ")
        yield f"```python\n{code}\n```"
    yield "What they return, and what a method is given and gives back:"
    for kind in (ModelSpec, MethodSpec, Job, Trained):
        about, fields = docstring_parts(inspect.getdoc(kind) or "")
        yield f"### {kind.__name__}"
        yield f"`{kind.__module__}.{kind.__name__}`: {about}"
        yield _table(("field", "what it is"), [(_code(name), said) for name, said in fields.items()])


def _names() -> Iterator[str]:
    yield "## Recipes"
    rows = [
        (
            _code(name),
            "all" if recipe.train_size is None else f"{recipe.train_size:,}",
            recipe.evaluation,
            "all" if recipe.eval_size is None else f"{recipe.eval_size:,}",
            ", ".join(map(str, recipe.seeds)),
            str(recipe.epochs),
            str(recipe.batch_size),
            f"{recipe.learning_rate:g}",
            str(recipe.max_length),
        )
        for name, recipe in PRESETS.items()
    ]
    headers = ("recipe", "train", "evaluated on", "rows", "seeds", "epochs", "batch", "learning rate", "max tokens")
    yield _table(headers, rows)
    yield "## Methods"
    yield _table(
        ("method", "needs a model", "how the classifier is made"),
        [(_code(spec.name), "yes" if spec.needs_model else "no", spec.notes) for spec in METHODS],
    )
    yield "## Models"
    yield (
        "What has a short name; any other is named by its Hub id (`org/name`, `org/name@revision`) or by a folder. A "
        "licence is what the model's card states."
    )
    yield _table(
        ("model", "Hub id", "M parameters", "licence", "notes"),
        [
            (_code(spec.name), _code(spec.hub_id), f"{spec.parameters_millions:.1f}", spec.licence, spec.notes)
            for spec in CATALOG
        ],
    )


ENVIRONMENT = {
    "PYTEST_SST2_CACHE": "the folder in which embeddings are kept from run to run (default: the user's cache folder; "
    "`pytest-sst2 cache` names it)",
    "HF_HOME": "where the Hub's clients keep what they downloaded, SST-2 and models included",
    "HF_HUB_OFFLINE": "`1`: the Hub is never asked; a file that is not in its cache is an error",
    "HF_DATASETS_OFFLINE": "`1`: SST-2 is never downloaded",
    "HF_ENDPOINT": "another address of the Hub, such as a mirror's",
    "PYTEST_SST2_HUB_PATIENCE": "the seconds without new data after which a download is ended (default: 30)",
    "HF_TOKEN": "the token for models that are gated or private",
    "HF_TOKEN_PATH": "the file in which the Hub's clients keep the token in use; it is taken out of all output",
    "HF_STORED_TOKENS_PATH": "the file in which they keep all tokens, likewise",
    "XDG_CACHE_HOME": "the user's cache folder, where these files lie unless these or `HF_HOME` say otherwise",
    "RAY_AUTH_TOKEN": "the token of a Ray cluster; a cluster that a run starts for itself has one of its own where "
    "neither this nor `RAY_AUTH_MODE` or `RAY_AUTH_TOKEN_PATH` is set",
    "RAY_AUTH_TOKEN_PATH": "the file in which Ray keeps its token, likewise",
    "CI": "anything but nothing, `0` and `false`: `--sst2-data auto` takes no other data in place of SST-2",
    "GITHUB_STEP_SUMMARY": "the file that every run with cells appends its report to, as Markdown; GitHub Actions sets "
    "it, and shows the file as the job's summary",
    "COLUMNS": "how wide tables may be; without it they take the terminal's width. Where there is no terminal pytest "
    "takes 80, `pytest-sst2` any width",
    "NO_COLOR": "no colours",
    "TERM": "`dumb`: no colours, and no line that is drawn again and again",
    "PYTEST_XDIST_WORKER_COUNT": "set by pytest-xdist: each worker takes its share of the cores, and times are not "
    "compared",
    "PYTEST_XDIST_WORKER": "set by pytest-xdist: the worker's name, which stands in the record and says which of "
    "several GPUs it takes",
}


def _variables() -> Iterator[str]:
    yield "## Environment variables"
    yield _table(("variable", "what it does"), [(_code(name), said) for name, said in ENVIRONMENT.items()])
    yield (f"Recorded and compared where they are set, since they change precision or threads: {_listed(VARIABLES)}.")


def _results_fields() -> Iterator[str]:
    schema = results_schema()
    yield "## Results files"
    yield (
        "[results/schema.json](../pytest_sst2/results/schema.json) is the JSON Schema (draft 2020-12, "
        f"`{schema['$id']}`) of what `--sst2-json` writes, and says what each field is. It comes with the package:"
    )
    yield (
        "```python\n"
        "import json\n"
        "from importlib import resources\n\n"
        'file = resources.files("pytest_sst2") / "results" / "schema.json"\n'
        'schema = json.loads(file.read_text(encoding="utf-8"))\n'
        "```"
    )
    yield (
        "Baselines (`--sst2-save`, `.sst2/`) are packed, another form of the same: what several records have in common "
        "stands once, and what is one value an example is base64. `pytest-sst2 compare` and `--sst2-compare` read both "
        "forms, and those of older versions."
    )
    rows = [
        (title, _listed(part["properties"]))
        for title, part in [("the file", schema), *schema["$defs"].items()]
        if "properties" in part
    ]
    yield _table(("part", "fields"), rows)


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def _code(text: str) -> str:
    return f"`{text}`"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(_code, names))


def _help(text: str) -> tuple[str, str]:
    """Return a help text and the default that stands at its end, both as Markdown."""
    said, default = re.fullmatch(r"(.*?)(?:;? *\(?default: (.*?)\)?)?", text).groups()  # type: ignore[union-attr]
    # With a space after each comma a narrow column can break it.
    return _as_markdown(said), _as_markdown(re.sub(r",\b", ", ", default or NONE))


def _as_markdown(text: str) -> str:
    """Return a help text with the options, files and folders it names marked as code."""
    return re.sub(r"(?<![\w`])(--[a-z0-9-]+|\.sst2/|[\w/]+\.toml)", r"`\1`", text)


if __name__ == "__main__":
    sys.exit(main())
