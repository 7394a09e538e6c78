"""Distribution: which worker gets which cell, and what becomes of a cell whose worker died."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from xdist.scheduler import LoadScheduling

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.config.matrix import plan_cells
from pytest_sst2.config.specs import Cell, ModelSpec
from pytest_sst2.session.xdist import CellLookup, CellScheduling, DeferredScheduling
from tests.conftest import results

BY_NAME = {method.name: method for method in METHODS}


def matrix(models: Sequence[str], methods: Sequence[str], seeds: Sequence[int]) -> list[Cell]:
    specs = [ModelSpec(name, folder=Path(name)) for name in models]
    return plan_cells(specs, [BY_NAME[name] for name in methods], seeds)


def node_id(cell: Cell | str) -> str:
    return f"tests/test_bench.py::test_cell[{cell if isinstance(cell, str) else cell.id}]"


class TestCellLookup:
    def find(self, nodeid: str, *models: str, seeds: Sequence[int] = (4, 42)) -> str | None:
        cells = matrix(models or ("minilm", "paraphrase-minilm"), ["linear-probe", "fine-tune", "tfidf"], seeds)
        found = CellLookup(cells)(nodeid)
        return found.id if found else None

    @pytest.mark.parametrize(
        ("parameters", "cell"),
        [
            ("minilm-linear-probe-seed4", "minilm-linear-probe-seed4"),
            ("minilm-linear-probe-seed42", "minilm-linear-probe-seed42"),
            ("minilm-linear-probe-seed42-fp16", "minilm-linear-probe-seed42"),
            ("fp16-minilm-linear-probe-seed4-2", "minilm-linear-probe-seed4"),
            ("fp16-paraphrase-minilm-fine-tune-seed4", "paraphrase-minilm-fine-tune-seed4"),
            ("tfidf-seed42", "tfidf-seed42"),
            ("minilm-linear-probe-seed421", None),
            ("xtfidf-seed42", None),
            ("minilm", None),
        ],
    )
    def test_ids_within_ids_are_told_apart(self, parameters: str, cell: str | None) -> None:
        assert self.find(node_id(parameters)) == cell

    def test_a_test_without_parameters_has_none(self) -> None:
        assert self.find("tests/test_bench.py::test_tfidf_seed42") is None

    def test_brackets_elsewhere_are_no_parameters(self) -> None:
        assert self.find("a[1]/test_bench.py::TestIt::test_cell[tfidf-seed4]") == "tfidf-seed4"
        assert self.find(node_id("my[model]-fine-tune-seed4"), "my[model]") == "my[model]-fine-tune-seed4"

    def test_names_are_found_as_pytest_writes_them(self) -> None:
        assert self.find(node_id(r"mod\xe8le-fine-tune-seed4"), "modèle") == "modèle-fine-tune-seed4"
        assert self.find(node_id("modèle-fine-tune-seed4"), "modèle") == "modèle-fine-tune-seed4"


class Node:
    """A worker as a scheduler sees it."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.given: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += indices

    def shutdown(self) -> None:
        self.shutting_down = True


class Log:
    def __getattr__(self, name: str) -> Log:
        return self

    def __call__(self, *_: object) -> None: ...


def config(workers: int) -> Any:
    options = {"tx": ["popen"] * workers, "maxschedchunk": None, "dist": "load"}
    return SimpleNamespace(
        option=SimpleNamespace(loadscopereorder=True),
        getvalue=options.__getitem__,
        getoption=lambda name, *_: options[name],
    )


class Run:
    """A run of cells by a scheduler, without processes."""

    def __init__(
        self, cells: list[Cell], workers: int = 2, *, seeds_together: bool = False, schedule: Any = None
    ) -> None:
        self.collection = [node_id(cell) for cell in cells]
        lookup = CellLookup(cells, seeds_together=seeds_together, schedule=schedule)
        self.scheduler = CellScheduling(config(workers), Log(), lookup)
        self.nodes: list[Node] = []
        for _ in range(workers):
            self.add()
        self.scheduler.schedule()

    def add(self) -> Node:
        node = Node(f"gw{len(self.nodes)}")
        self.nodes.append(node)
        self.scheduler.add_node(node)
        self.scheduler.add_node_collection(node, self.collection)
        return node

    def given(self, node: Node) -> list[str]:
        return [self.collection[index].partition("[")[2][:-1] for index in node.given]

    def finish(self, node: Node, count: int | None = None) -> None:
        """Let a worker do what it has and is given meanwhile."""
        done = 0
        while done < len(node.given) and done != count:
            self.scheduler.mark_test_complete(node, node.given[done])
            done += 1


class TestCellScheduling:
    def test_probes_of_one_encoder_go_to_one_worker_and_trainings_are_spread(self) -> None:
        run = Run(matrix(["a", "b"], ["linear-probe", "torch-probe", "fine-tune"], [1, 2]))
        for node in run.nodes:
            run.finish(node)
        homes: dict[str, set[str]] = {}
        for node in run.nodes:
            for name in run.given(node):
                homes.setdefault(name, set()).add(node.gateway.id)
        assert len(homes) == 12
        assert all(len(home) == 1 for home in homes.values())
        for model in "ab":
            assert len(set.union(*(homes[name] for name in homes if name.startswith(model) and "probe" in name))) == 1
        first = [set(run.given(node)[:4]) for node in run.nodes]
        assert [{name[0] for name in names} for names in first] == [{"a"}, {"b"}]

    def test_trainings_of_one_model_are_spread(self) -> None:
        run = Run(matrix(["a"], ["fine-tune"], [1, 2, 3, 4]))
        assert [len(node.given) for node in run.nodes] == [2, 2]

    def test_seeds_that_stop_together_stay_on_one_worker(self) -> None:
        run = Run(matrix(["a", "b"], ["fine-tune"], [1, 2, 3]), seeds_together=True)
        assert [{name[0] for name in run.given(node)} for node in run.nodes] == [{"a"}, {"b"}]

    def test_a_cell_that_its_worker_died_of_is_not_handed_out_again_the_rest_of_its_group_is(self) -> None:
        run = Run(matrix(["a"], ["linear-probe"], [1, 2, 3, 4]), workers=1)
        (first,) = run.nodes
        run.finish(first, 1)
        assert run.scheduler.remove_node(first) == node_id("a-linear-probe-seed2")
        second = run.add()
        run.scheduler.schedule()
        assert run.given(second) == ["a-linear-probe-seed3", "a-linear-probe-seed4"]

    def test_seeds_that_are_not_needed_after_a_death_are_not_handed_out(self) -> None:
        class Schedule:
            ended: tuple[str | None, str] | None = None

            def add_failure(self, key: tuple[str | None, str], seed: int) -> None:
                self.ended = key

            def reason_to_skip(self, key: tuple[str | None, str], seed: int) -> str:
                return "its cell has ended" if key == self.ended else ""

        cells = matrix(["a"], ["linear-probe", "torch-probe"], [1, 2, 3])
        run = Run(cells, workers=1, seeds_together=True, schedule=Schedule())
        (first,) = run.nodes
        run.finish(first, 1)
        crashed = str(run.scheduler.remove_node(first))
        method = "linear-probe" if "linear-probe" in crashed else "torch-probe"
        second = run.add()
        run.scheduler.schedule()
        started = {run.given(first)[0], crashed.partition("[")[2][:-1]}
        assert run.given(second) == [
            cell.id for cell in cells if cell.id not in started and f"-{method}-" not in f"-{cell.id}-"
        ]

    def test_a_unit_of_which_nothing_is_left_is_not_handed_out_empty(self) -> None:
        run = Run(matrix(["a"], ["fine-tune"], [1, 2]), workers=1)
        (first,) = run.nodes
        assert run.scheduler.remove_node(first) == node_id("a-fine-tune-seed1")
        assert [list(unit) for unit in run.scheduler.workqueue.values()] == [[node_id("a-fine-tune-seed2")]]

    def test_a_worker_that_had_nothing_left_takes_nothing_with_it(self) -> None:
        run = Run(matrix([], ["tfidf"], [1, 2]), workers=2)
        for node in run.nodes:
            run.finish(node)
            assert run.scheduler.remove_node(node) is None
        assert not run.scheduler.workqueue


class TestDeferredScheduling:
    def scheduler(self, collection: list[str], cells: list[Cell]) -> tuple[DeferredScheduling, list[Any]]:
        asked: list[Any] = []

        def cell_lookup() -> CellLookup:
            asked.append(1)
            return CellLookup(cells)

        late = DeferredScheduling(config(2), Log(), cell_lookup)
        for node in (Node("gw0"), Node("gw1")):
            late.add_node(node)
        for node in late.nodes:
            late.add_node_collection(node, collection)
        return late, asked

    @pytest.mark.parametrize("parameter", ["1", "seed", "seed1"])
    def test_a_run_without_cells_is_left_to_pytest_xdist(self, parameter: str) -> None:
        late, asked = self.scheduler([f"test_it.py::test_it[{parameter}]"], matrix([], ["tfidf"], [1]))
        assert isinstance(late._scheduler, LoadScheduling)
        assert late.collection_is_completed
        if parameter == "1":
            assert asked == []

    def test_a_run_with_cells_has_them_handed_out_by_encoder(self) -> None:
        cells = matrix([], ["tfidf"], [1])
        late, asked = self.scheduler(["test_it.py::test_it[1]", node_id(cells[0])], cells)
        assert isinstance(late._scheduler, CellScheduling)
        assert len(late.nodes) == 2
        assert asked == [1]


CONFTEST = """
import os, signal
import numpy as np
from pytest_sst2 import MethodSpec

def lengths(job):
    if job.seed == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return lambda sentences: np.array([0.9 if len(each) % 2 else 0.1 for each in sentences])

def pytest_sst2_methods():
    return [MethodSpec("lengths", lengths, needs_model={model}, frozen={model})]
"""
TESTS = """
def test_cell(sst2_run):
    sst2_run.measure()
"""


@pytest.mark.processes
class TestAWorkerThatDies:
    @pytest.fixture
    def deadly(self, project: pytest.Pytester) -> pytest.Pytester:
        """A project of five cells, the third of which is killed by the system."""
        return self.made(project, model=False)

    def made(self, project: pytest.Pytester, *, model: bool) -> pytest.Pytester:
        project.makeconftest(CONFTEST.replace("{model}", str(model)))
        (project.path / "test_bench.py").write_text(TESTS, encoding="utf-8")
        ini = (project.path / "tox.ini").read_text(encoding="utf-8")
        project.makeini(f"{ini}\nsst2_methods = lengths\nsst2_seeds = 1,2,3,4,5\nsst2_json = r.json\n")
        return project

    def check(self, project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
        result = project.runpytest_subprocess(*arguments)
        assert result.ret == 1
        data = results(project.path / "r.json")
        assert sorted(record["seed"] for record in data["records"]) == [1, 2, 4, 5]
        (failure,) = data["failures"]
        assert failure["seed"] == 3
        assert "died during the measurement" in failure["error"]
        return result

    def test_its_cell_fails_by_name_and_every_other_has_its_number(self, deadly: pytest.Pytester) -> None:
        result = self.check(deadly, "-n", "2", "--sst2-report", "out", "-p", "no:cacheprovider")
        result.assert_outcomes(passed=4, failed=1)
        result.stdout.fnmatch_lines(["*lengths seed 3*its worker gw* died during the measurement*"])
        page = (deadly.path / "out" / "sst2-report.md").read_text(encoding="utf-8")
        assert "died during the measurement" in page
        data = results(deadly.path / "r.json")
        assert {record["placement"]["executor"] for record in data["records"]} == {"xdist"}
        assert len(data["planned"]) == 5

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_in_the_middle_of_a_group_that_shares_an_encoder(self, project: pytest.Pytester, workers: str) -> None:
        deadly = self.made(project, model=True)
        self.check(deadly, "-n", workers).assert_outcomes(passed=4, failed=1)

    def test_another_scheduler_ends_too_and_has_one_failure_of_the_cell(self, deadly: pytest.Pytester) -> None:
        result = deadly.runpytest_subprocess("-n", "2", "--dist", "worksteal", "--max-worker-restart", "1")
        assert result.ret == 1
        data = results(deadly.path / "r.json")
        assert [each["seed"] for each in data["failures"]] == [3]
        assert {record["seed"] for record in data["records"]} <= {1, 2, 4, 5}
        assert len(data["records"]) + len(data["planned"]) >= 5

    @pytest.mark.parametrize("order", ["loadfile", "loadgroup", "worksteal"])
    def test_the_users_order_of_a_healthy_run(self, deadly: pytest.Pytester, order: str) -> None:
        result = deadly.runpytest_subprocess("-n", "2", "--dist", order, "--sst2-seeds", "1,2,4")
        result.assert_outcomes(passed=3)
        assert len(results(deadly.path / "r.json")["records"]) == 3

    def test_a_run_without_cells_crashes_as_ever(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
            import os, pytest

            @pytest.mark.parametrize("number", [1, 2])
            def test_it(number):
                if number == 2:
                    os._exit(3)
            """
        )
        result = pytester.runpytest_subprocess("-n", "1")
        result.assert_outcomes(passed=1, failed=1)
        assert "SST-2" not in result.stdout.str()
