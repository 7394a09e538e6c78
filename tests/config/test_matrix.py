"""The matrix: the cells of a run, and those that a marker selects."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_sst2.config.catalog import CATALOG, METHODS
from pytest_sst2.config.matrix import Matrix, distinct_models, plan_cells
from pytest_sst2.config.registry import Registry
from pytest_sst2.config.specs import Cell, MethodSpec, ModelSpec
from tests.config.test_registry import look_up, model_folder
from tests.conftest import collected

REGISTRY = Registry(CATALOG, METHODS)
PROBE, TFIDF = REGISTRY.method("linear-probe"), REGISTRY.method("tfidf")
VARIANT_PAIR = ("minilm", "minilm:int8")
MINILM, ALBERT = REGISTRY.models["minilm"], REGISTRY.models["albert"]


@pytest.mark.parametrize("marker", ["'tfidf', added=True", "removed=True", "methods=['tfidf']"])
def test_another_marker_is_refused_with_what_it_takes(pytester: pytest.Pytester, marker: str) -> None:
    pytester.makepyfile(f"import pytest\n@pytest.mark.sst2({marker})\ndef test_cell(sst2_run): ...")
    result = pytester.runpytest("--collect-only", "-q")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*it takes names of methods, or added=True alone, not *"])


def test_repeated_models_and_methods_make_one_cell_each(cells: pytest.Pytester) -> None:
    names = "minilm,minilm,sentence-transformers/all-MiniLM-L6-v2"
    result = cells.runpytest("--collect-only", "-q", "--models", names, "--methods", "tfidf,linear-probe,tfidf")
    assert collected(result) == ["tfidf-seed42", "minilm-linear-probe-seed42"]


def test_every_seed_is_a_cell_and_methods_without_a_model_run_once(cells: pytest.Pytester) -> None:
    result = cells.runpytest(
        "--collect-only",
        "-q",
        "--models",
        "minilm,bert-tiny",
        "--methods",
        "majority,fine-tune",
        "--sst2-seeds",
        "7,1,7",
    )
    assert collected(result) == [
        "majority-seed7",
        "majority-seed1",
        "minilm-fine-tune-seed7",
        "minilm-fine-tune-seed1",
        "bert-tiny-fine-tune-seed7",
        "bert-tiny-fine-tune-seed1",
    ]


def test_two_folders_of_one_name_stay_two_cells(cells: pytest.Pytester, tmp_path: Path) -> None:
    for parent in ("old", "new"):
        (tmp_path / parent / "encoder").mkdir(parents=True)
        (tmp_path / parent / "encoder" / "config.json").write_text("{}", encoding="utf-8")
    names = ",".join(str(tmp_path / parent / "encoder") for parent in ("old", "new"))
    result = cells.runpytest("--collect-only", "-q", "--models", names, "--methods", "fine-tune")
    assert collected(result) == ["encoder-fine-tune-seed42", "new/encoder-fine-tune-seed42"]


def test_the_matrix_runs_method_by_method_and_methods_without_a_model_once_a_seed() -> None:
    cells = plan_cells([MINILM, ALBERT], [PROBE, TFIDF], [42, 7])
    assert [cell.id for cell in cells] == [
        "minilm-linear-probe-seed42",
        "minilm-linear-probe-seed7",
        "albert-linear-probe-seed42",
        "albert-linear-probe-seed7",
        "tfidf-seed42",
        "tfidf-seed7",
    ]
    assert str(cells[0]) == cells[0].id


def test_no_two_cells_have_one_id() -> None:
    models = [ModelSpec(name, "a/b") for name in ("tiny", "tiny-linear", "a", "a-b", "x-tiny-linear")]
    names = ("probe", "linear-probe", "c", "b-c", "x-b-c")
    methods = [MethodSpec(name, "m:f") for name in names]
    methods += [MethodSpec("tiny-linear-probe", "m:f", needs_model=False)]
    cells = plan_cells(models, methods, [4, 42], [method.name for method in methods])
    assert len({cell.id for cell in cells}) == len(cells) == 2 * (5 * 5 + 1)
    # Only an id with two readings has another separator.
    assert {cell.id for cell in cells} >= {"a-c-seed4", "tiny-linear+probe-seed4", "a-b+c-seed4"}


def test_the_id_of_a_cell_does_not_depend_on_the_methods_of_the_run() -> None:
    registry = Registry([], [*METHODS, MethodSpec("probe", "m:f")])
    model = ModelSpec("tiny-linear", "a/b")
    for methods in (("probe",), ("probe", "linear-probe")):
        matrix = Matrix((model,), tuple(map(registry.method, methods)), (1,), registry)
        assert matrix.cells[0].id == "tiny-linear+probe-seed1"


def test_without_models_the_methods_that_need_none_are_left() -> None:
    assert plan_cells([], [PROBE, TFIDF], [1]) == [Cell(None, TFIDF, 1)]


def test_a_model_that_is_named_twice_is_run_once(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "a" / "best")
    names = ["minilm", MINILM.hub_id, "a/best", str(folder), f"{MINILM.hub_id}@main"]
    specs = distinct_models(look_up(name, tmp_path) for name in names)
    assert [spec.name for spec in specs] == ["minilm", "best", f"{MINILM.hub_id}@main"]


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [model_folder(tmp_path / place) for place in ("a/best", "b/best", "c/b/best", "d/b/best")]
    specs = distinct_models(look_up(str(folder), tmp_path) for folder in folders)
    assert [spec.name for spec in specs] == ["best", "b/best", "best#2", "best#3"]
    assert [spec.folder for spec in specs] == folders


class TestVariants:
    def test_a_variant_has_cells_of_the_methods_that_freeze_its_encoder(self, cells: pytest.Pytester) -> None:
        result = cells.runpytest("--collect-only", "-q", "--models", "minilm,minilm:int8,minilm:int8")
        names = [name for name in collected(result) if name.startswith("minilm")]
        assert names == [
            "minilm-fine-tune-seed42",
            *(f"{model}-{method}-seed42" for method in ("linear-probe", "torch-probe") for model in VARIANT_PAIR),
        ]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["minilm,minilm:int8", "--methods", "fine-tune"], "*a variant is served, not trained*--methods linear-*"),
            (["minilm:onnx", "--methods", "as-is"], "*onnx serves sentence embeddings, not a classification head*"),
            (["minilm:bf16", "--sst2-dtype", "float16"], "*is a variant of the float32 model; leave out --sst2-dtype*"),
        ],
    )
    def test_what_cannot_be_measured_is_refused_before_anything_is_loaded(
        self, cells: pytest.Pytester, arguments: list[str], words: str
    ) -> None:
        result = cells.runpytest("--models", *arguments)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([words])
