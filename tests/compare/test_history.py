"""Test the history of accuracy and time over the saved baselines."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pytest_sst2.cli.main import main
from pytest_sst2.compare.history import cell_histories
from pytest_sst2.report.history import bars, history_lines
from pytest_sst2.results.baselines import save_baseline
from pytest_sst2.results.commit import Commit
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Phase, Record, Round
from tests.support.record_factory import ENVIRONMENT, probe


def measured(right: int, seconds: float, machine: float | None, *, cached: bool = False, **changes: object) -> Record:
    phases = (Phase("load", 9.0), Phase("encode", seconds, 100, cached), Phase("fit", 1.0))
    record = probe([index < right for index in range(100)], **changes)
    return dataclasses.replace(record, rounds=(Round(seconds + 10, phases, machine, 5, None),))


def saved(name: str, day: int, *records: Record) -> Results:
    return Results(records, [], f"2026-08-{day:02d}T12:00:00+00:00" if day else "", name)


def test_points_are_in_the_order_of_saving() -> None:
    (history,) = cell_histories([saved("a", 3, measured(80, 1, 0.01)), saved("z", 1, measured(90, 1, 0.01))])
    assert [(point.baseline, point.accuracy) for point in history.points] == [("z", 0.9), ("a", 0.8)]


def test_time_is_in_seconds_of_the_newest_machine_without_loading() -> None:
    slow, fast = measured(90, 7, 0.02), measured(90, 3, 0.01)
    (history,) = cell_histories([saved("old", 1, slow), saved("new", 2, fast)])
    # 8 s of work on a machine half as fast are 4 s here, so nothing changed.
    assert [point.seconds for point in history.points] == [pytest.approx(4.0), pytest.approx(4.0)]


def test_cached_work_and_an_unknown_machine_have_no_time() -> None:
    (history,) = cell_histories(
        [
            saved("one", 1, measured(90, 1, None)),
            saved("two", 2, measured(90, 1, 0.01, cached=True)),
            saved("three", 3, measured(90, 1, 0.01)),
        ]
    )
    assert [point.seconds for point in history.points] == [None, None, pytest.approx(2.0)]


def test_seeds_are_one_point_with_their_spread() -> None:
    (history,) = cell_histories([saved("a", 1, measured(80, 1, 0.01, seed=1), measured(90, 1, 0.01, seed=2))])
    (point,) = history.points
    assert (point.accuracy, point.spread, point.seeds) == (pytest.approx(0.85), pytest.approx(0.1), 2)


def test_other_data_has_a_history_of_its_own() -> None:
    record = measured(80, 1, 0.01)
    other = dataclasses.replace(record, dataset=dataclasses.replace(record.dataset, name="sst2"))
    histories = cell_histories([saved("a", 1, record), saved("b", 2, other)])
    assert [(history.dataset, len(history.points)) for history in histories] == [
        ("reviews (sha256:0123456789ab) validation", 1),
        ("sst2 validation", 1),
    ]


def test_sst2_is_one_data_set_from_any_source() -> None:
    record = measured(80, 1, 0.01)
    sources = [("hub", "bcdcba79d0"), ("folder", "sha256:0123456789ab")]
    data = [
        dataclasses.replace(record.dataset, name="sst2", source=source, revision=revision)
        for source, revision in sources
    ]
    runs = [saved(f"v{day}", day, dataclasses.replace(record, dataset=data[day - 1])) for day in (1, 2)]
    (history,) = cell_histories(runs)
    assert len(history.points) == 2


def test_another_device_has_a_history_and_a_machine_speed_of_its_own() -> None:
    on_gpu = dataclasses.replace(ENVIRONMENT, device="cuda:0")
    runs = [
        saved("v1", 1, measured(80, 3, 0.01)),
        saved("v2", 2, measured(80, 3, 0.001, environment=on_gpu)),
    ]
    assert [(history.device, history.points[0].seconds) for history in cell_histories(runs)] == [
        ("cpu", pytest.approx(4.0)),
        ("cuda:0", pytest.approx(4.0)),
    ]


def test_the_newest_machine_speed_also_applies_to_cells_it_did_not_measure() -> None:
    runs = [
        saved("v1", 1, measured(80, 3, 0.02), measured(80, 3, 0.02, method="torch-probe")),
        saved("v2", 2, measured(80, 3, 0.01)),
    ]
    assert {history.cell: history.points[0].seconds for history in cell_histories(runs)} == {
        "minilm × linear-probe": pytest.approx(2.0),
        "minilm × torch-probe": pytest.approx(2.0),
    }


class TestShifts:
    """The first baseline from which the accuracy of a cell differs."""

    @staticmethod
    def shifts(*right: int) -> list[tuple[str, str]]:
        baselines = [
            saved(f"v{number}", number, measured(count, 1, 0.01, commit=Commit(str(number) * 40)))
            for number, count in enumerate(right, 1)
        ]
        (history,) = cell_histories(baselines)
        for shift in history.shifts:
            assert shift.commit == shift.baseline[1:] * 9
        return [(shift.baseline, shift.against) for shift in history.shifts]

    def test_a_drop_is_marked_where_it_began_and_so_is_its_end(self) -> None:
        assert self.shifts(90, 90, 70, 70, 90) == [("v3", "v2"), ("v5", "v4")]

    def test_a_decline_in_small_steps_is_marked_where_it_differs_from_the_first(self) -> None:
        assert self.shifts(90, 86, 82, 78, 74) == [("v4", "v1")]

    def test_nothing_is_marked_where_nothing_differs_or_nothing_is_comparable(self) -> None:
        assert self.shifts(90, 89, 90, 91) == []
        assert self.shifts(90) == []
        other = measured(50, 1, 0.01)
        dataset = dataclasses.replace(other.dataset, digest="other rows")
        other = dataclasses.replace(other, fingerprint=None, dataset=dataset)
        (history,) = cell_histories([saved("a", 1, measured(90, 1, 0.01)), saved("b", 2, other)])
        assert history.shifts == ()

    def test_more_baselines_need_a_smaller_p(self) -> None:
        assert self.shifts(90, 81) == [("v2", "v1")]
        assert self.shifts(90, 81, *[81] * 30) == []

    def test_the_sentence_names_commit_points_and_baselines(self) -> None:
        before, after = measured(90, 1, 0.01), measured(70, 1, 0.01, commit=Commit("c" * 40, dirty=True))
        histories = cell_histories([saved("v1", 1, before), saved("v2", 2, after)])
        sentence = (
            "minilm × linear-probe differs from 'v2' on (commit ccccccccc with uncommitted changes): −20.00 points "
            "against 'v1', p <0.0001 after Holm's correction"
        )
        assert any(line.startswith(sentence) for line in history_lines(histories))


def test_the_terminal_shows_a_table_and_a_line_of_bars() -> None:
    histories = cell_histories(
        [
            saved("v1", 1, measured(80, 3, 0.01)),
            saved("v2", 2, measured(90, 3, 0.01)),
            saved("v3", 0, measured(85, 7, 0.01)),
        ]
    )
    assert history_lines(histories, 100)[:9] == [
        "reviews (sha256:0123456789ab) validation · recipe quick train_size=500 · cpu",
        "",
        "cell                   baseline  saved       accuracy  Δ points  seeds  seconds  × previous",
        "---------------------  --------  ----------  --------  --------  -----  -------  ----------",
        "minilm × linear-probe  v3        no date       0.8500         –      1     8.00           –",
        "                       v1        2026-08-01    0.8000     −5.00      1     4.00        0.50",
        "                       v2        2026-08-02    0.9000    +10.00      1     4.00        1.00",
        "",
        "▄▁█  accuracy of minilm × linear-probe, 0.8000 (lowest) to 0.9000 (highest), from v3 to v2",
    ]


def test_a_single_baseline_has_no_line_of_bars() -> None:
    lines = history_lines(cell_histories([saved("v1", 1, measured(80, 3, 0.01))]))
    assert not [line for line in lines if "lowest" in line or "▄" in line]


def test_versions_are_shown_where_they_change() -> None:
    other = dataclasses.replace(ENVIRONMENT, packages={"torch": "2.14.0", "scikit-learn": "1.9.1"})
    runs = [
        saved("v1", 1, measured(80, 3, 0.01)),
        saved("v2", 2, measured(80, 3, 0.01)),
        saved("v3", 3, measured(80, 3, 0.01, environment=other)),
    ]
    lines = history_lines(cell_histories(runs))
    assert [line.rpartition("  ")[2] for line in lines[2:7]] == [
        "versions",
        "-" * 32,
        "torch 2.13.0",
        "–",
        "torch 2.14.0, scikit-learn 1.9.1",
    ]
    assert "versions" not in "".join(history_lines(cell_histories(runs[:2])))
    assert "versions" not in history_lines(cell_histories(runs), 70)[2]


def test_bars_reach_from_the_lowest_to_the_highest() -> None:
    assert bars([1, 2, 3]) == "▁▅█"
    assert bars([2, 2]) == "▄▄"


class TestCommand:
    @pytest.fixture(autouse=True)
    def _here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "100")

    def save(self, name: str, record: Record) -> None:
        save_baseline(Path(f".sst2/{name}.json").absolute(), Results([record]), overwrite=False)

    def test_all_baselines_are_shown_and_drawn(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.save("v1", measured(80, 3, 0.01))
        self.save("v2", measured(90, 3, 0.01))
        assert main(["history", "-o", "out"]) == 0
        output = capsys.readouterr().out
        assert "v1" in output
        assert f"as a page: {Path('out') / 'sst2-history.html'}" in output
        assert "<svg" in Path("out/sst2-history.html").read_text(encoding="utf-8")

    def test_some_baselines_may_be_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        for name in ("v1", "v2"):
            self.save(name, measured(80, 3, 0.01))
        assert main(["history", "v2"]) == 0
        output = capsys.readouterr().out
        assert ("v1" in output, "v2" in output) == (False, True)

    def test_without_a_baseline_it_says_how_to_save_one(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["history"]) == 2
        assert "Save one with --sst2-save NAME." in capsys.readouterr().err
