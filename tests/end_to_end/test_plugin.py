"""The plugin as its users meet it: pytest inside pytest, on tiny data and tiny models."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import results
from tests.support import ROOT


def write_floors(project: pytest.Pytester, accuracy: float, method: str = "majority") -> None:
    project.mkdir("benchmarks")
    (project.path / "benchmarks" / "floors.toml").write_text(
        f'[[floor]]\ndataset = "tiny-reviews"\nrecipe = "quick train_size=60 learning_rate=0.005"\n'
        f'method = "{method}"\naccuracy = {accuracy}\nprovenance = "made up for this test"\n',
        encoding="utf-8",
    )


class TestRunning:
    def test_every_method_of_a_model_is_measured_and_summarised(self, project: pytest.Pytester) -> None:
        result = project.runpytest("--sst2-json", "out/results.json")
        result.assert_outcomes(passed=4)
        result.stdout.fnmatch_lines(
            [
                "*= SST-2 benchmark =*",
                "tiny-reviews (sha256:*) validation n=40, trained on 60 · recipe quick train_size=60 learning_rate=*",
                "cell *seeds *accuracy *floor *seconds *peak MB *verdict",
                "tiny-encoder × fine-tune *42 *no floor",
                "tiny-encoder × linear-probe *42 *no floor",
                "tfidf *42 *no floor",
                "majority *42 *no floor",
                "4 records in *results.json",
            ]
        )
        data = results(project.path / "out" / "results.json")
        assert data["schema_version"] == 4
        assert data["failures"] == []
        by_method = {record["method"]: record for record in data["records"]}
        assert set(by_method) == {"linear-probe", "tfidf", "majority", "fine-tune"}
        probe = by_method["linear-probe"]
        assert probe["dataset"]["name"] == "tiny-reviews"
        assert probe["dataset"]["train_size"] == 60
        assert probe["correct"] / probe["total"] == probe["accuracy"]
        assert len(probe["predictions"]) == len(probe["probabilities"]) == 40
        assert probe["environment"]["packages"]["torch"]
        (cost,) = probe["rounds"]
        assert [phase["name"] for phase in cost["phases"]] == ["load", "store", "encode", "fit", "predict"]
        assert cost["machine_seconds"] > 0
        assert len(probe["labels"]) == probe["fingerprint"]["evaluation"]["count"] == 40
        assert probe["fingerprint"]["encoder"]["parts"].keys() == {"embeddings", "layer 0", "layer 1", "pooler"}
        assert probe["weights"]["source"] == "folder"
        assert len(probe["weights"]["sha256"]) == 64
        assert by_method["majority"]["model"] is None
        assert len(by_method["fine-tune"]["epochs"]) == 1

    def test_deselecting_and_stopping_at_the_first_failure(self, project: pytest.Pytester) -> None:
        chosen = project.runpytest("-k", "tfidf", "--sst2-json", "k.json")
        chosen.assert_outcomes(passed=1, deselected=3)
        assert [record["method"] for record in results(project.path / "k.json")["records"]] == ["tfidf"]
        stopped = project.runpytest(
            "-x", "--methods", "majority,tfidf", "--sst2-min-accuracy", "1", "--sst2-json", "x.json"
        )
        assert stopped.ret == 1
        assert [record["method"] for record in results(project.path / "x.json")["records"]] == ["majority"]

    def test_methods_that_were_not_asked_for_are_neither_run_nor_skipped(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            test_two="""
            import pytest

            @pytest.mark.sst2("torch-probe")
            def test_torch(sst2_run):
                sst2_run.measure()
            """
        )
        project.runpytest("--methods", "majority").assert_outcomes(passed=1, deselected=1)

    def test_no_data_is_read_when_nothing_is_run(self, project: pytest.Pytester, tiny_data: Path) -> None:
        broken = project.mkdir("broken")
        shutil.copy(tiny_data / "train.tsv", broken / "train.tsv")
        (broken / "dev.tsv").write_text("not a header\n", encoding="utf-8")
        assert project.runpytest("--collect-only", "-q", "--sst2-data", "broken").ret == 0
        result = project.runpytest("--methods", "majority", "--sst2-data", "broken")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: dev.tsv, line 1: there is no column 'sentence'*"])

    @pytest.mark.processes
    def test_broken_data_under_xdist_fails_each_cell_with_the_sentence(self, project: pytest.Pytester) -> None:
        broken = project.mkdir("broken")
        (broken / "train.tsv").write_text("sentence\tlabel\na film\t2\n", encoding="utf-8")
        (broken / "dev.tsv").write_text("sentence\tlabel\na film\t1\n", encoding="utf-8")
        result = project.runpytest_subprocess("-n", "1", "--methods", "majority,tfidf", "--sst2-data", "broken")
        assert result.ret == 1
        result.assert_outcomes(failed=2)
        result.stdout.fnmatch_lines(["majority seed 42: train.tsv, line 2: the label is '2'; only 0 *"])

    def test_rounds_repeat_a_cell_with_or_without_pytest_benchmark(self, project: pytest.Pytester) -> None:
        for arguments in (["--benchmark-disable"], ["-p", "no:benchmark"], []):
            result = project.runpytest(
                "--methods", "majority", "--sst2-rounds", "3", "--sst2-json", "r.json", *arguments
            )
            result.assert_outcomes(passed=1)
            (record,) = results(project.path / "r.json")["records"]
            assert len(record["rounds"]) == 3
            assert all(each["machine_seconds"] > 0 for each in record["rounds"])

    def test_variables_of_launchers_change_nothing(
        self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        variables = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "PYTEST_XDIST_WORKER_COUNT": "abc"}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        passed = project.runpytest("--methods", "majority", "--sst2-json", "r.json")
        passed.assert_outcomes(passed=1)
        passed.stdout.fnmatch_lines(["*= SST-2 benchmark =*"])
        (record,) = results(project.path / "r.json")["records"]
        assert (record["placement"]["executor"], record["placement"]["processes"]) == ("serial", 1)
        failed = project.runpytest("--methods", "majority", "--sst2-min-accuracy", "1")
        failed.assert_outcomes(failed=1)
        assert failed.ret == 1

    def test_further_metrics_stand_in_the_record(self, project: pytest.Pytester) -> None:
        project.runpytest("--methods", "tfidf", "--sst2-metrics", "f1,matthews_correlation", "--sst2-json", "r.json")
        (record,) = results(project.path / "r.json")["records"]
        assert set(record["metrics"]) == {"f1", "matthews_correlation"}
        refused = project.runpytest("--methods", "tfidf", "--sst2-metrics", "bleu")
        assert refused.ret == pytest.ExitCode.USAGE_ERROR
        refused.stderr.fnmatch_lines(["ERROR: metric 'bleu' is not built in*"])

    def test_a_cell_of_two_tests_stands_once_in_all_that_is_kept(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            test_bench="""
            def test_one(sst2_run):
                sst2_run.measure()

            def test_other(sst2_run):
                sst2_run.measure()
            """
        )
        result = project.runpytest("--methods", "majority,tfidf", "--sst2-json", "r.json", "--sst2-save", "main")
        result.assert_outcomes(passed=4)
        result.stdout.fnmatch_lines(
            [
                "2 records in *r.json",
                "2 cells measured more than once, by several tests or a rerun; "
                "the last record wins: majority-*, tfidf-*",
                "baseline 'main' with 2 records in *",
            ]
        )
        for path in ("r.json", ".sst2/main.json"):
            cells = [record["cell"] for record in results(project.path / path)["records"]]
            assert len(cells) == len(set(cells)) == 2
        again = project.runpytest("--methods", "majority,tfidf", "--sst2-compare", "main", "--sst2-resume", "r.json")
        again.stdout.fnmatch_lines(["2 of 2 cells taken from r.json"])
        assert "more than once" not in str(again.stdout)

    def test_a_results_file_that_cannot_be_written_at_the_end_fails_the_run(self, project: pytest.Pytester) -> None:
        project.makeconftest(
            """
            import os, pytest

            @pytest.hookimpl(trylast=True)
            def pytest_collection_finish(session):
                os.mkdir("results.json")
            """
        )
        result = project.runpytest("--methods", "majority", "--sst2-json", "results.json")
        assert result.ret == 1
        result.stdout.fnmatch_lines(["majority *", "ERROR: cannot write '*results.json'*"])

    def test_the_junit_file_has_the_accuracy_and_not_the_predictions(self, project: pytest.Pytester) -> None:
        project.runpytest("--methods", "majority", "--junitxml", "junit.xml")
        junit = (project.path / "junit.xml").read_text(encoding="utf-8")
        assert '<property name="sst2_accuracy" value="0.500000"' in junit
        assert "predictions" not in junit
        assert len(junit) < 2000


class TestFloors:
    def test_a_cell_below_its_floor_fails_with_one_line_that_says_where_the_floor_is_from(
        self, project: pytest.Pytester
    ) -> None:
        write_floors(project, 0.9)
        result = project.runpytest("--methods", "majority,tfidf", "--sst2-json", "r.json")
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines(
            [
                "majority seed 42: accuracy 0.5000 (95 % interval 0.352* to 0.648*, *) is below its floor 0.9000 "
                "(made up for this test)",
                "majority *BELOW FLOOR",
                "tfidf *no floor",
            ],
            consecutive=False,
        )
        assert "Traceback" not in str(result.stdout)
        assert "def test_cell" not in str(result.stdout)
        assert len(results(project.path / "r.json")["records"]) == 2

    def test_a_floor_of_another_recipe_is_never_applied(self, project: pytest.Pytester) -> None:
        write_floors(project, 0.9)
        result = project.runpytest("--methods", "majority", "--sst2-train-size", "50")
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["majority *no floor"])

    def test_one_minimum_for_all_overrides_the_file(self, project: pytest.Pytester) -> None:
        write_floors(project, 0.9)
        project.runpytest("--methods", "majority", "--sst2-min-accuracy", "0.4").assert_outcomes(passed=1)
        result = project.runpytest("--methods", "tfidf,majority", "--sst2-min-accuracy", "1")
        result.stdout.fnmatch_lines(["majority seed 42: *below its floor 1.0000 (given by --sst2-min-accuracy)"])

    def test_calibrating_writes_floors_that_the_next_run_asserts(self, project: pytest.Pytester) -> None:
        seeds = ["--sst2-seeds", "1,2,3,4,5", "--methods", "majority"]
        calibrated = project.runpytest("--sst2-calibrate-floors", *seeds)
        calibrated.assert_outcomes(passed=5)
        calibrated.stdout.fnmatch_lines(["1 floor in *floors.toml"])
        text = (project.path / "benchmarks" / "floors.toml").read_text(encoding="utf-8")
        # Majority is 0.5 for every seed: sd 0, so the least margin of 1.5 points decides.
        assert "accuracy = 0.485" in text
        assert re.search(
            r'"measured 2\d{3}-\d\d-\d\d: mean 0\.5000, sd 0\.0000 over seeds 1,2,3,4,5 \(every seed gives the same',
            text,
        )
        gated = project.runpytest(*seeds)
        gated.assert_outcomes(passed=5)
        gated.stdout.fnmatch_lines(["majority * 0.4850 * pass"])

    def test_a_broken_floors_file_of_the_project_stops_the_run(self, project: pytest.Pytester) -> None:
        write_floors(project, 1.5)
        result = project.runpytest("--methods", "majority")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: *floors.toml*number 1: accuracy must be a number from 0 to 1, not 1.5."])


class TestModels:
    def test_a_model_that_cannot_be_had_fails_its_cells_and_the_others_run(
        self, project: pytest.Pytester, tiny_encoder: Path
    ) -> None:
        result = project.runpytest(
            "--models", f"nobody/nothing,{tiny_encoder}", "--methods", "linear-probe,majority", "--sst2-json", "r.json"
        )
        result.assert_outcomes(passed=2, failed=1)
        result.stdout.fnmatch_lines(
            [
                "nobody/nothing × linear-probe seed 42: model 'nobody/nothing' * is not available: *",
                "nobody/nothing × linear-probe *FAILED",
            ],
            consecutive=False,
        )
        assert "Traceback" not in str(result.stdout)
        assert "not used at all" not in str(result.stdout)  # pytest-benchmark's warning
        data = results(project.path / "r.json")
        assert [failure["model"] for failure in data["failures"]] == ["nobody/nothing"]
        assert len(data["records"]) == 2

    def test_a_model_without_a_tokenizer_fails_with_a_sentence(
        self, project: pytest.Pytester, tiny_encoder: Path
    ) -> None:
        bare = project.path / "bare"
        shutil.copytree(tiny_encoder, bare)
        for name in ("vocab.txt", "tokenizer.json"):
            (bare / name).unlink(missing_ok=True)
        result = project.runpytest("--models", "./bare", "--methods", "fine-tune")
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["bare × fine-tune seed 42: model 'bare': * has no tokenizer *save_pretrained*"])
        assert "warning" not in str(result.stdout)


class TestHooks:
    def test_a_conftest_gets_floors_timing_and_a_row_in_under_fifteen_lines(self, project: pytest.Pytester) -> None:
        readme, extend = (
            re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
            for page in ("README.md", "docs/extend.md")
        )
        (conftest,) = [block for block in extend if 'MethodSpec("length"' in block]
        (benchmark,) = [block for block in readme if "sst2_run" in block]
        assert len([line for line in conftest.splitlines() if line.strip()]) < 15
        project.makeconftest(conftest)
        project.makepyfile(test_bench=benchmark)
        write_floors(project, 0.99, method="length")
        result = project.runpytest("--methods", "length,majority")
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines(["length seed 42: accuracy * is below its floor 0.9900*", "length *BELOW FLOOR"])

    def test_a_model_from_a_conftest_is_known_by_its_name(self, project: pytest.Pytester, tiny_encoder: Path) -> None:
        project.makeconftest(
            f"""
            from pathlib import Path
            from pytest_sst2 import ModelSpec

            def pytest_sst2_models():
                return [ModelSpec("mine", folder=Path({str(tiny_encoder)!r}))]
            """
        )
        result = project.runpytest("--models", "mine", "--methods", "linear-probe")
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["mine × linear-probe *"])

    def test_a_replaced_method_runs_once_with_the_benchmark_that_names_it(self, project: pytest.Pytester) -> None:
        project.makeconftest(
            """
            import numpy as np
            from pytest_sst2 import MethodSpec

            def pytest_sst2_methods():
                coin = lambda job: lambda sentences: np.full(len(sentences), 0.7)
                return [MethodSpec("majority", coin, needs_model=False)]
            """
        )
        project.makepyfile(test_added="import pytest\n@pytest.mark.sst2(added=True)\ndef test_added(sst2_run): ...\n")
        project.runpytest("--methods", "majority").assert_outcomes(passed=1, deselected=1)

    def test_an_error_in_an_added_method_is_shown_with_its_traceback(self, project: pytest.Pytester) -> None:
        project.makeconftest(
            """
            from pytest_sst2 import MethodSpec

            def broken(job):
                raise ZeroDivisionError("in the user's own code")

            def pytest_sst2_methods():
                return [MethodSpec("broken", broken, needs_model=False)]
            """
        )
        project.makepyfile(test_bench="def test_cell(sst2_run):\n    sst2_run.measure()\n")
        result = project.runpytest("--methods", "broken,majority", "--sst2-json", "r.json")
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines(['*raise ZeroDivisionError("in the user\'s own code")*', "broken * FAILED"])
        (failure,) = results(project.path / "r.json")["failures"]
        assert failure["error"] == "ZeroDivisionError: in the user's own code"


class TestFixtures:
    def test_splits_and_loaders_can_be_used_without_a_cell(self, project: pytest.Pytester, tiny_encoder: Path) -> None:
        project.makepyfile(
            test_bench=f"""
            MODEL = {str(tiny_encoder)!r}

            def test_splits(sst2_dataset, sst2_train, sst2_validation, sst2_splits):
                assert sst2_train.column_names == ["sentence", "label"]
                assert (len(sst2_train), len(sst2_validation)) == (120, 40)
                assert sst2_dataset["train"][0] == sst2_train[0]
                splits = sst2_splits(7)
                assert list(splits.train.sentences) == list(sst2_train.shuffle(seed=7)["sentence"][:60])

            def test_loaders(sst2_load_tokenizer, sst2_load_classifier, sst2_load_encoder):
                import torch
                inputs = sst2_load_tokenizer(MODEL)(["a good film"], return_tensors="pt")
                model = sst2_load_classifier(MODEL)
                assert model(**inputs).logits.shape == (1, 2)
                assert model.dtype == torch.float32
                assert sst2_load_encoder(MODEL).encode(["a good film"]).shape == (1, 32)

            def test_a_mistake_is_a_sentence(sst2_load_tokenizer):
                sst2_load_tokenizer("tinbert")
            """
        )
        result = project.runpytest()
        result.assert_outcomes(passed=2, failed=1)
        result.stdout.fnmatch_lines(["unknown model 'tinbert'. Did you mean 'tinybert'?*"])
        said = result.stdout.str().partition("short test summary")[0]
        assert (said.count("unknown model"), "During handling" in said, "Traceback" in said) == (1, False, False)

    def test_a_marker_with_an_unknown_method_is_a_usage_error(self, project: pytest.Pytester) -> None:
        project.makepyfile(test_bench="import pytest\n@pytest.mark.sst2('linear-prob')\ndef test_cell(sst2_run): ...\n")
        result = project.runpytest()
        assert result.ret != 0
        result.stdout.fnmatch_lines(["*unknown method 'linear-prob'. Did you mean 'linear-probe'?*"])


class TestPytestBenchmark:
    def test_a_cell_is_measured_once_however_often_its_test_asks(self, project: pytest.Pytester) -> None:
        project.makepyfile(test_bench="def test_cell(sst2_run):\n    assert sst2_run.measure() is sst2_run.measure()\n")
        for arguments in ([], ["-p", "no:benchmark"]):
            result = project.runpytest("--methods=majority", "--sst2-json=r.json", *arguments)
            result.assert_outcomes(passed=1)
            (record,) = results(project.path / "r.json")["records"]
            assert len(record["rounds"]) == 1

    def test_a_test_that_measures_nothing_or_something_of_its_own_draws_no_warning(
        self, project: pytest.Pytester
    ) -> None:
        project.makepyfile(
            test_bench="""
            def test_nothing(sst2_run):
                assert sst2_run.cell.method.name == "majority"

            def test_own(sst2_run, benchmark):
                benchmark(sum, [1, 2])
            """
        )
        result = project.runpytest("--methods=majority", "--benchmark-json=b.json", "-W", "error")
        result.assert_outcomes(passed=2, warnings=0)
        assert [each["name"] for each in results(project.path / "b.json")["benchmarks"]] == [
            "test_own[majority-seed42]"
        ]

    @pytest.mark.processes
    def test_next_to_workers_it_says_that_it_times_nothing_only_of_benchmarks_that_are_not_ours(
        self, project: pytest.Pytester
    ) -> None:
        asked = ("-n", "2", "--methods", "majority,tfidf")
        ours = project.runpytest_subprocess(*asked)
        ours.assert_outcomes(passed=2)
        assert "automatically disabled" not in ours.stdout.str() + ours.stderr.str()
        project.makepyfile(test_other="def test_other(benchmark):\n    benchmark(lambda: 1)\n")
        theirs = project.runpytest_subprocess(*asked)
        theirs.assert_outcomes(passed=3)
        assert "automatically disabled" in theirs.stdout.str() + theirs.stderr.str()

    def test_its_json_has_the_accuracy_and_its_table_gives_way_to_ours(self, project: pytest.Pytester) -> None:
        result = project.runpytest("--methods", "majority", "--benchmark-json", "b.json")
        assert "Name (time in" not in str(result.stdout)
        (benchmark,) = results(project.path / "b.json")["benchmarks"]
        assert benchmark["extra_info"]["accuracy"] == 0.5
        assert benchmark["extra_info"]["phase_seconds"].keys() == {"fit", "predict"}
        assert benchmark["group"] == "majority"
        assert benchmark["stats"]["rounds"] == 1

    def test_its_table_stays_for_its_own_benchmarks_and_for_comparisons(self, project: pytest.Pytester) -> None:
        saved = project.runpytest("--methods", "majority", "--benchmark-save", "before")
        assert saved.ret == 0
        compared = project.runpytest("--methods", "majority", "--benchmark-compare")
        compared.stdout.fnmatch_lines(["*Name (time in*", "*SST-2 benchmark*"])
        project.makepyfile(test_other="def test_other(benchmark):\n    benchmark(lambda: 1)\n")
        both = project.runpytest("--methods", "majority")
        both.stdout.fnmatch_lines(["*Name (time in*", "*SST-2 benchmark*"])

    def test_its_selection_options_know_our_cells(self, project: pytest.Pytester) -> None:
        project.makepyfile(test_plain="def test_plain(): ...\n")
        project.runpytest("--methods", "majority", "--benchmark-skip").assert_outcomes(passed=1, skipped=1)
        project.runpytest("--methods", "majority", "--benchmark-only").assert_outcomes(passed=1, skipped=1)
