"""Floors: the arithmetic of measured floors, and reading and writing their file."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_sst2.results.floors import Floor, FloorKey, Floors, Lowered, calibrated_floor, load_floors, write_floors
from pytest_sst2.utils.errors import Sst2Error

PROBE = FloorKey("pocket", "quick", "minilm", "linear-probe")
TFIDF = FloorKey("pocket", "quick", "", "tfidf")

TWO_FLOORS = """\
# Floors of the project.

[[floor]]
# Slow on the old runner.
dataset = "pocket"
recipe = "quick"
model = "minilm"  # the bundled one
method = "linear-probe"
accuracy = 0.79  # raised in March
provenance = "measured: mean 0.8225, sd 0.0041 over 5 seeds"

[[floor]]
dataset = "sst2"
recipe = "homework9"
method = "tfidf"
accuracy = 0.77
provenance = "by hand"
# The end.
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "floors.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(Sst2Error) as caught:
        load_floors(path)
    return str(caught.value)


def entry(**changes: str) -> str:
    values = {"dataset": '"sst2"', "recipe": '"quick"', "method": '"tfidf"', "accuracy": "0.7", "provenance": '"mine"'}
    lines = [f"{name} = {value}" for name, value in {**values, **changes}.items() if value]
    return "\n".join(["[[floor]]", *lines, ""])


def calibrated(*accuracies: float) -> Floor:
    """Return the floor of seeds 0, 1, 2 and so on."""
    return calibrated_floor(dict(enumerate(accuracies)), "", "2026-08-01")


def test_a_small_spread_leaves_a_margin_of_a_point_and_a_half() -> None:
    # mean 0.80; deviations -.002, -.001, 0, .001, .002: sd = sqrt((4 + 1 + 0 + 1 + 4)e-6 / 4) = 0.001581.
    # 2 sd = 0.0032 < 0.015, so 0.80 - 0.015 = 0.785.
    floor = calibrated_floor({5: 0.798, 1: 0.799, 2: 0.800, 30: 0.801, 4: 0.802}, "torch 2.13.0", "2026-08-01")
    provenance = "measured 2026-08-01: mean 0.8000, sd 0.0016 over seeds 1,2,4,5,30; torch 2.13.0"
    assert floor == Floor(0.785, provenance, sd=0.001581, seeds=5)


def test_a_large_spread_leaves_two_sample_standard_deviations_rounded_down() -> None:
    # mean 0.82; deviations -.02, -.01, 0, .01, .02: sd = sqrt(10e-4 / 4) = 0.0158114 (with n - 1 = 4, not n = 5).
    # 0.82 - 0.0316228 = 0.7883772, down to 0.7883.
    floor = calibrated(0.80, 0.81, 0.82, 0.83, 0.84)
    assert floor.accuracy == 0.7883
    assert "mean 0.8200, sd 0.0158 over seeds 0,1,2,3,4;" in floor.provenance


def test_the_order_of_the_seeds_does_not_matter() -> None:
    accuracies = dict(enumerate([0.80, 0.81, 0.82, 0.83, 0.84, 0.85]))
    backwards = dict(reversed(accuracies.items()))
    assert calibrated_floor(accuracies, "", "today") == calibrated_floor(backwards, "", "today")
    assert "seeds 0,1,2,3,4,5;" in calibrated_floor(accuracies, "", "today").provenance


def test_equal_accuracies_of_all_seeds_are_noted() -> None:
    remark = "(every seed gives the same accuracy)"
    assert remark in calibrated(0.8, 0.8, 0.8, 0.8, 0.8).provenance
    assert remark not in calibrated(0.8, 0.8, 0.8, 0.8, 0.81).provenance


def test_a_floor_is_never_below_zero() -> None:
    # mean 0.4; deviations +-.4, +-.4, 0: sd = sqrt(.64 / 4) = 0.4; 0.4 - 0.8 < 0.
    assert calibrated(0.0, 0.0, 0.4, 0.8, 0.8).accuracy == 0.0


@settings(deadline=None, database=None)
@given(st.lists(st.floats(0, 1), min_size=5, max_size=9))
def test_a_measured_floor_is_its_margin_below_the_mean(accuracies: list[float]) -> None:
    floor = calibrated(*accuracies).accuracy
    mean = math.fsum(accuracies) / len(accuracies)
    assert 0 <= floor <= max(0, mean - 0.015) + 1e-9
    assert floor == round(floor, 4)


def test_a_file_is_read_with_and_without_a_model(tmp_path: Path) -> None:
    path = write(tmp_path, TWO_FLOORS)
    floors = load_floors(path)
    assert floors.find(PROBE) == Floor(0.79, "measured: mean 0.8225, sd 0.0041 over 5 seeds")
    assert floors.find(FloorKey("sst2", "homework9", "", "tfidf")) == Floor(0.77, "by hand")
    assert floors.datasets == {"pocket", "sst2"}
    assert len(floors) == 2
    assert floors.origin == str(path)


@pytest.mark.parametrize(
    "key",
    [
        PROBE._replace(dataset="sst2"),
        PROBE._replace(recipe="quick train_size=500"),
        PROBE._replace(model="albert"),
        PROBE._replace(model=""),
        PROBE._replace(method="torch-probe"),
    ],
)
def test_a_floor_applies_to_its_own_cell_only(key: FloorKey) -> None:
    floors = Floors({PROBE: Floor(0.79, "mine")})
    assert floors.find(PROBE) is not None
    assert floors.find(key) is None


def test_a_key_is_printed_as_one_line() -> None:
    assert str(PROBE) == "pocket × quick × minilm × linear-probe"
    assert str(TFIDF) == "pocket × quick × tfidf"


@pytest.mark.parametrize("text", ["", "# nothing yet\n"])
def test_a_file_without_floors_is_empty(tmp_path: Path, text: str) -> None:
    assert len(load_floors(write(tmp_path, text))) == 0


@pytest.mark.parametrize("accuracy", ["0", "1", "0.0", "1.0", "0.5"])
def test_an_accuracy_can_be_any_number_from_0_to_1(tmp_path: Path, accuracy: str) -> None:
    floor = load_floors(write(tmp_path, entry(accuracy=accuracy))).find(FloorKey("sst2", "quick", "", "tfidf"))
    assert floor == Floor(float(accuracy), "mine")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[[floor]\n", ["not valid TOML", "line 1"]),
        ('[floor]\ndataset = "sst2"\n', ["[[floor]] tables only"]),
        ('title = "ours"\n' + entry(), ["[[floor]] tables only", "title"]),
        ("floor = [1, 2]\n", ["[[floor]] number 1", "expected a table, not int"]),
        (entry() + entry(recipe=""), ["[[floor]] number 2", "'recipe' is missing", "provenance"]),
        (entry(dataset=""), ["[[floor]] number 1", "'dataset' is missing"]),
        (entry(method=""), ["'method' is missing"]),
        (entry(accuracy=""), ["'accuracy' is missing"]),
        (entry(provenance=""), ["'provenance' is missing"]),
        (entry(modell='"minilm"'), ["[[floor]] number 1", "unknown key 'modell'", "model"]),
        (entry(model="7"), ["[[floor]] number 1", "'model' must be text, not 7"]),
        (entry(accuracy="79"), ["[[floor]] number 1", "number from 0 to 1, not 79"]),
        (entry(accuracy="-0.1"), ["from 0 to 1, not -0.1"]),
        (entry(accuracy="nan"), ["from 0 to 1, not nan"]),
        (entry(accuracy="inf"), ["from 0 to 1, not inf"]),
        (entry(accuracy="true"), ["from 0 to 1, not True"]),
        (entry(accuracy='"0.79"'), ["from 0 to 1, not '0.79'"]),
        (entry() + entry(accuracy="0.9"), ["[[floor]] number 2", "second floor for sst2 × quick × tfidf", "Keep one"]),
        (entry() + entry(model='""'), ["[[floor]] number 2", "second floor"]),
    ],
)
def test_a_broken_file_is_refused_with_its_name_and_the_entry(tmp_path: Path, text: str, parts: list[str]) -> None:
    path = write(tmp_path, text)
    message = refusal(path)
    assert [part for part in [str(path), *parts] if part not in message] == []


def test_a_missing_file_is_refused_with_a_way_to_create_it(tmp_path: Path) -> None:
    message = refusal(tmp_path / "floors.toml")
    parts = [str(tmp_path / "floors.toml"), "does not exist", "--sst2-floors", "--sst2-calibrate-floors --sst2-seeds"]
    assert [part for part in parts if part not in message] == []


def test_a_folder_instead_of_a_file_is_refused(tmp_path: Path) -> None:
    assert f"{tmp_path} cannot be read: it is a folder" in refusal(tmp_path)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "floors.toml").write_bytes(b"# caf\xe9\n")
    assert "floors.toml" in refusal(tmp_path / "floors.toml")


def test_writing_floors_creates_the_file(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks" / "floors.toml"
    write_floors(path, [(TFIDF, Floor(0.6, "one")), (PROBE, Floor(0.79, "two"))])
    floors = load_floors(path)
    assert (len(floors), floors.find(TFIDF), floors.find(PROBE)) == (2, Floor(0.6, "one"), Floor(0.79, "two"))
    assert "model" not in path.read_text(encoding="utf-8").partition("tfidf")[0]


def test_the_order_of_new_floors_does_not_change_the_file(tmp_path: Path) -> None:
    both = [(TFIDF, Floor(0.6, "one")), (PROBE, Floor(0.79, "two"))]
    write_floors(tmp_path / "one.toml", both)
    write_floors(tmp_path / "two.toml", reversed(both))
    assert (tmp_path / "one.toml").read_bytes() == (tmp_path / "two.toml").read_bytes()


def test_a_floor_is_raised_but_a_lower_one_is_returned(tmp_path: Path) -> None:
    path = write(tmp_path, TWO_FLOORS)
    sst2 = FloorKey("sst2", "homework9", "", "tfidf")
    new = [(PROBE, Floor(0.7, "lower")), (sst2, Floor(0.8, "higher")), (TFIDF, Floor(0.1, "new"))]
    assert write_floors(path, new) == [Lowered(PROBE, 0.79, 0.7)]
    floors = load_floors(path)
    assert floors.find(PROBE) == Floor(0.79, "measured: mean 0.8225, sd 0.0041 over 5 seeds")
    assert (floors.find(sst2), floors.find(TFIDF)) == (Floor(0.8, "higher"), Floor(0.1, "new"))


def test_overwrite_lowers_a_floor(tmp_path: Path) -> None:
    path = write(tmp_path, TWO_FLOORS)
    assert write_floors(path, [(PROBE, Floor(0.7, "lower"))], overwrite=True) == []
    assert load_floors(path).find(PROBE) == Floor(0.7, "lower")


def test_an_equal_floor_gets_the_new_provenance(tmp_path: Path) -> None:
    path = write(tmp_path, TWO_FLOORS)
    assert write_floors(path, [(PROBE, Floor(0.79, "again"))]) == []
    assert load_floors(path).find(PROBE) == Floor(0.79, "again")


def test_only_the_replaced_floor_changes_in_the_text(tmp_path: Path) -> None:
    path = write(tmp_path, TWO_FLOORS)
    write_floors(path, [(PROBE, Floor(0.8123, "measured again"))])
    expected = TWO_FLOORS.replace("0.79", "0.8123").replace(
        "measured: mean 0.8225, sd 0.0041 over 5 seeds", "measured again"
    )
    assert path.read_text(encoding="utf-8") == expected


def test_a_new_floor_is_appended(tmp_path: Path) -> None:
    path = write(tmp_path, TWO_FLOORS)
    write_floors(path, [(TFIDF, Floor(0.6, "new"))])
    assert path.read_text(encoding="utf-8").startswith(TWO_FLOORS)
    floors = load_floors(path)
    assert (len(floors), floors.find(TFIDF), floors.find(PROBE).accuracy) == (3, Floor(0.6, "new"), 0.79)  # type: ignore[union-attr]


def test_a_floor_is_added_to_a_file_with_comments_only(tmp_path: Path) -> None:
    path = write(tmp_path, "# ours\n")
    write_floors(path, [(TFIDF, Floor(0.6, "new"))])
    assert path.read_text(encoding="utf-8").startswith("# ours\n")
    assert load_floors(path).find(TFIDF) == Floor(0.6, "new")


def test_an_empty_model_is_the_same_as_no_model(tmp_path: Path) -> None:
    path = write(tmp_path, entry(model='""'))
    write_floors(path, [(FloorKey("sst2", "quick", "", "tfidf"), Floor(0.8, "again"))])
    floors = load_floors(path)
    assert (len(floors), floors.find(FloorKey("sst2", "quick", "", "tfidf"))) == (1, Floor(0.8, "again"))


@pytest.mark.parametrize(
    "text",
    [
        "floor = []\n",
        'floor = [{dataset = "sst2", recipe = "quick", method = "tfidf", accuracy = 0.7, provenance = "mine"}]\n',
    ],
)
def test_a_floor_is_added_to_every_valid_file(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    before = len(load_floors(path))
    write_floors(path, [(PROBE, Floor(0.79, "new"))])
    assert len(load_floors(path)) == before + 1


@settings(deadline=None, database=None, max_examples=40)  # a slow disk is no failure
@given(st.lists(st.text(min_size=1), min_size=3, max_size=3), st.text(), st.text(), st.floats(0, 1))
def test_floors_with_any_names_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], model: str, provenance: str, accuracy: float
) -> None:
    key = FloorKey(names[0], names[1], model, names[2])
    path = tmp_path_factory.mktemp("floors") / "floors.toml"
    write_floors(path, [(key, Floor(accuracy, provenance))])
    write_floors(path, [(PROBE, Floor(0.79, "another"))])
    assert load_floors(path).find(key) == Floor(accuracy, provenance)


def test_a_floor_has_its_own_tolerance_in_points_and_the_spread_it_was_calibrated_with(tmp_path: Path) -> None:
    path = tmp_path / "floors.toml"
    entry = (
        '[[floor]]\ndataset = "pocket"\nrecipe = "quick"\nmethod = "tfidf"\naccuracy = 0.7\nprovenance = "by hand"\n'
    )
    path.write_text(f"{entry}tolerance = 2\nsd = 0.004\nseeds = 5\n")
    (floor,) = load_floors(path).by_key.values()
    assert (floor.tolerance, floor.sd, floor.seeds) == (0.02, 0.004, 5)
    for line, message in (
        ("tolerance = 101", "tolerance must be a number from 0 to 100, not 101"),
        ("tolerance = true", "tolerance must be a number from 0 to 100, not True"),
        ("sd = -1", "sd must be a number from 0 to 1, not -1"),
        ("seeds = 0", "seeds must be a whole number of at least 1, not 0"),
    ):
        path.write_text(f"{entry}{line}\n")
        with pytest.raises(Sst2Error, match=message):
            load_floors(path)
