"""Settings: the options of one run, as plain values.

``Settings`` can be pickled for a worker. ``read_settings`` parses them, ``session.inputs`` loads the files that they
name, and ``config.matrix`` looks up the models and methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_sst2.config.declared import Declared
from pytest_sst2.config.recipes import ComputationPath, Recipe
from pytest_sst2.utils.paths import real_path


@dataclass(frozen=True)
class Shard:
    """One part of a run, ``3/8``: ``number`` counts from 1 to ``of``."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True)
class Settings:
    """The values of all options, checked as far as possible without loading a file.

    The attributes are described by the help of their options (``pytest --help``). These differ from their option:

    Attributes:
        models_base: Folder that relative model paths start from.
        methods: Methods as typed, in order; empty for all.
        data: ``auto``, ``hub``, ``pocket`` or the absolute path of a folder.
        recipe: The preset with its overrides. With ``auto_seeds``, it has all seeds that may run.
        cache_bytes: Size limit of the embedding cache; None switches the cache off.
        rootdir: Folder of the project; ``.sst2/`` is in it.
        prints_json: Whether the results file is printed to stdout (``--sst2-json -``).
        drop_cells: Names and patterns of cells; empty for none.
        floors_given: Whether the user named the floors file, which must exist then.
        compare_base: Folder that a relative ``compare`` starts from.
        changed: What changed on purpose since the results of ``compare``.
        against: Which cells of the run are compared with which, ``NAME`` or ``A=B``; empty for none.
        against_gates: Whether such a comparison can fail the run: ``--sst2-fail-on`` was typed, and there is no
            baseline that it could be about.
        tolerance: Accuracy that may be lost, as a share.
        talkative: Whether libraries may print to the terminal (``-v``).
        ci: Whether this is a CI run, where data is never substituted.
        auto_seeds: Whether the later seeds of a cell are skipped as soon as its verdict is decided.
    """

    models: tuple[str, ...]
    models_base: Path
    methods: tuple[str, ...]
    data: str
    recipe: Recipe
    device: str
    rounds: int
    cache_bytes: int | None
    metrics: tuple[str, ...]
    rootdir: Path
    floors_path: Path
    floors_given: bool
    min_accuracy: float | None
    calibrate_floors: bool
    save: str | None
    compare: str | None
    compare_base: Path
    changed: Declared
    fail_on: tuple[str, ...]
    anyway: bool
    tolerance: float
    alpha: float
    drop_cells: tuple[str, ...]
    overwrite: bool
    trust_remote_code: bool
    json_path: Path | None
    prints_json: bool
    report_path: Path | None
    resume_path: Path | None
    executor: str
    ray_address: str | None
    ray_cpus: int
    exclusive: bool
    shard: Shard | None
    talkative: bool
    ci: bool
    auto_seeds: bool = False
    columns: tuple[str, str] | None = None
    labels: tuple[str, str] | None = None
    against: tuple[str, ...] = ()
    against_gates: bool = False
    path: ComputationPath = "fast"

    @property
    def results_path(self) -> Path | None:
        """File that records are written to as they finish: ``--sst2-json``, else ``--sst2-resume``."""
        return self.json_path or self.resume_path

    @property
    def results_option(self) -> str:
        """The option that named ``results_path``."""
        return "--sst2-json" if self.json_path else "--sst2-resume"

    @property
    def resumes_in_place(self) -> bool:
        """Whether the resumed file is also the file that records are written to."""
        if self.resume_path is None:
            return False
        return self.json_path is None or real_path(self.json_path) == real_path(self.resume_path)
