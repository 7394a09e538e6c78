"""pytest hooks and fixtures, nothing else. Heavy imports happen inside fixture bodies.

A run without an SST-2 benchmark must not notice that this plugin is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from pytest_sst2 import hookspec
from pytest_sst2.config import options
from pytest_sst2.session.cell_items import cell_of, cells_of, parameters
from pytest_sst2.session.stash import (
    inputs_of,
    is_anything_set,
    matrix_of,
    model_of,
    settings_of,
    workbench_of,
)
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.sanitize import one_line

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from pytest_sst2.config.settings import Settings
    from pytest_sst2.config.specs import Cell
    from pytest_sst2.data.sources import Source
    from pytest_sst2.data.splits import Splits
    from pytest_sst2.results.record import Record
    from pytest_sst2.runner.sharding import Division
    from pytest_sst2.session.cell_run import CellRun, Timer
    from pytest_sst2.session.results_plugin import ResultsPlugin

DIVISION = pytest.StashKey["Division"]()
_DIVISION_TOLD = pytest.StashKey[bool]()

_GATHERER = "sst2-gatherer"

MARKER = (
    "sst2(*methods, added=False): run the test once for every selected cell of these methods; without any, of all "
    "methods; with added=True, of those a conftest or plugin added."
)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare ``pytest_sst2_models`` and ``pytest_sst2_methods``."""
    pluginmanager.add_hookspecs(hookspec)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the prefixed options."""
    options.add_options(parser)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Iterator[None]:
    """Declare ``--models`` and ``--methods`` last, so that whoever else wants them has them.

    Until then pytest takes their values for files to collect, and would look for conftests there.
    """
    values = options.bare_values(args)
    known = early_config.known_args_namespace
    known.file_or_dir = [path for path in known.file_or_dir if path not in values]
    result = yield
    options.add_bare_options(parser)
    return result


def pytest_configure(config: pytest.Config) -> None:
    """Read the settings, where anything was set; a mistake in them ends the run here with exit status 4."""
    from pytest_sst2.session.benchmark_timer import WithoutPytestBenchmark, WithPytestBenchmark
    from pytest_sst2.session.results_plugin import ResultsPlugin

    config.addinivalue_line("markers", MARKER)
    is_used = is_anything_set(config)
    if is_used:
        settings_of(config)
    is_controller = not hasattr(config, "workerinput")
    if is_controller:
        gatherer = ResultsPlugin(config)
        config.pluginmanager.register(gatherer, _GATHERER)
        if is_used and not config.option.collectonly:
            _lock_results(config, gatherer)
    if is_used:
        inputs_of(config)  # after the lock: another run may have added its last cells to the file just before
    if is_controller:
        if config.option.sst2_compare or config.option.sst2_save:
            gatherer.gathering()  # tells whoever typed these when there was nothing to compare or to save
        if _is_distributed(config):
            from pytest_sst2.session.xdist import CellOfTest, Distribution

            distribution = Distribution(gatherer, lambda: CellOfTest(matrix_of(config).cells))
            config.pluginmanager.register(distribution, "sst2-distribution")
    # The name is another where it is loaded by -p pytest_benchmark.plugin.
    has_benchmark = any(map(config.pluginmanager.hasplugin, ("benchmark", "pytest_benchmark.plugin")))
    timer = WithPytestBenchmark if has_benchmark else WithoutPytestBenchmark
    config.pluginmanager.register(timer(), "sst2-timer")


def _lock_results(config: pytest.Config, gatherer: ResultsPlugin) -> None:
    """Keep other runs from writing the results file of this run.

    Raises:
        pytest.UsageError: Another run is writing it.
    """
    settings = settings_of(config)
    if settings.results_path is None:
        return
    try:
        gatherer.hold(settings.results_path, settings.results_option)
    except Sst2Error as error:
        raise pytest.UsageError(str(error)) from error


def _is_distributed(config: pytest.Config) -> bool:
    """Tell whether pytest-xdist hands the tests out."""
    return config.pluginmanager.hasplugin("xdist") and config.getoption("dist", "no") != "no"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for ``sst2_cell`` (or ``sst2_run``) one run a cell."""
    if "sst2_cell" in metafunc.fixturenames:
        try:
            cells = matrix_of(metafunc.config).cells_for(metafunc.definition.get_closest_marker("sst2"))
        except Sst2Error as error:
            raise pytest.Collector.CollectError(f"@pytest.mark.sst2: {error}") from None
        # What pytest does with an empty list depends on the project's settings; None is ours to drop.
        ids = [cell.id for cell in cells] or ["no-cell"]
        metafunc.parametrize("sst2_cell", cells or [None], ids=ids, scope="function")


# Last, so that shards divide what -k and -m have left.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests of which no cell was asked for, and those whose cell is measured in another shard."""
    no_cell = [item for item in items if parameters(item).get("sst2_cell", item) is None]
    _deselect(config, items, no_cell)
    cells = cells_of(items)
    if not cells or (shard := settings_of(config).shard) is None:
        return
    from pytest_sst2.runner.sharding import divide

    division: Division = divide(cells, shard, inputs_of(config).known_costs)
    config.stash[DIVISION] = division
    _deselect(config, items, [item for item in items if (cell := cell_of(item)) and cell.id in division.others])
    if (gatherer := config.pluginmanager.getplugin(_GATHERER)) is not None:
        gatherer.divided(division)


def _deselect(config: pytest.Config, items: list[pytest.Item], unwanted: Sequence[pytest.Item]) -> None:
    if unwanted:
        config.hook.pytest_deselected(items=unwanted)
        ids = set(map(id, unwanted))
        items[:] = [item for item in items if id(item) not in ids]


def _runs_cells(config: pytest.Config, items: list[pytest.Item]) -> bool:
    """Tell whether this process is about to run cells, and may stop the run if something is wrong with them.

    Under xdist the workers collect, and a worker that stops looks like a crash: there each cell fails by itself.
    """
    if config.option.collectonly or hasattr(config, "workerinput"):
        return False
    return any("sst2_cell" in getattr(item, "fixturenames", ()) for item in items)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Check data, floors and device before the first cell; a mistake ends the run with exit status 4."""
    config = session.config
    if hasattr(config, "workerinput") and cells_of(session.items):
        from pytest_sst2.utils.processes import take_share

        take_share(exclusive=settings_of(config).exclusive)
    if not _runs_cells(config, session.items):
        return
    cells = cells_of(session.items)
    try:
        workbench_of(config).check()
    except Sst2Error as error:
        raise pytest.UsageError(str(error)) from error
    from pytest_sst2.instruments.progress import display_for

    if DIVISION not in config.stash:
        config.pluginmanager.getplugin(_GATHERER).planned = list(dict.fromkeys(cell.id for cell in cells))
    if settings_of(config).executor == "ray":
        _send_out(config, cells)
    progress = workbench_of(config).progress
    progress.planned = [cell.method.name for cell in cells]
    progress.display = display_for(config)


def _send_out(config: pytest.Config, cells: Iterable[Cell]) -> None:
    """Have the cells measured by a cluster, all but those that are taken from an earlier run.

    Raises:
        pytest.UsageError: There is no such cluster, or no room in it.
    """
    from pytest_sst2.runner.ray.driver import Ending, RayCluster

    workbench = workbench_of(config)
    gatherer = config.pluginmanager.getplugin(_GATHERER)
    try:
        cluster = RayCluster(workbench, inputs_of(config).known_costs)
        workbench.executor = cluster
        config.pluginmanager.register(Ending(cluster), "sst2-cluster")
        cluster.submit(cells, lambda: gatherer.gathering().early_writer())
    except Sst2Error as error:
        raise pytest.UsageError(str(error)) from error
    workbench.progress.elsewhere = cluster.progress


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """Say which cells these are, what they will be trained and measured on, and if that is not what was asked for."""
    division = config.stash.get(DIVISION, None)
    lines = [division.line] if division else []
    if _runs_cells(config, items):
        settings = settings_of(config)
        source = workbench_of(config).source
        origin = source.note or f"{source.name} from {source.place or source.source}"
        lines.append(f"{origin}; recipe {settings.recipe.label}")
        baseline = inputs_of(config).baseline
        if baseline is not None and (other := _other_than(baseline.records, source, settings)):
            lines.append(f"WARNING: baseline {baseline.origin!r} is of {other}: no cell can be compared with it")
    return [one_line(f"sst2: {line}") for line in lines]


def _other_than(records: Sequence[Record], source: Source, settings: Settings) -> str:
    """Return of which other data or recipe all records of a baseline are; empty where some are of this run's."""
    theirs = {(record.dataset.name, record.recipe_label) for record in records}
    if (source.name, settings.recipe.label) in theirs:
        return ""
    return "; ".join(f"{name}, recipe {label}" for name, label in sorted(theirs))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Let what is known travel on the report: it crosses from an xdist worker and survives a failing assert.

    What pytest will tell of a test of ours has no secret in it, and nothing that a terminal would obey.
    """
    report: Any = yield
    if any(name.startswith("sst2_") for name in getattr(item, "fixturenames", ())):
        from pytest_sst2.session.report_sanitizer import clean

        clean(report)
    stash = item.config.stash
    # The first report of a worker comes before any cell is measured.
    if hasattr(item.config, "workerinput") and DIVISION in stash and not stash.setdefault(_DIVISION_TOLD, False):
        stash[_DIVISION_TOLD] = True
        report.sst2_division = asdict(stash[DIVISION])
    if call.when == "call" and "sst2_cell" in getattr(item, "fixturenames", ()):
        from pytest_sst2.session.cell_run import FAILURE, RECORD, RESUMED

        if (resumed := item.stash.get(RESUMED, None)) is not None:
            report.sst2_resumed = resumed
        if (record := item.stash.get(RECORD, None)) is not None:
            report.sst2_record = record.to_json()
        if (failure := item.stash.get(FAILURE, None)) is not None:
            report.sst2_failure = asdict(failure)
    return report  # type: ignore[no-any-return]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let an xdist worker without a test tell its controller how the cells were divided."""
    if hasattr(session.config, "workeroutput") and DIVISION in session.config.stash:
        session.config.workeroutput["sst2_division"] = asdict(session.config.stash[DIVISION])


@pytest.fixture(scope="session")
def sst2_settings(pytestconfig: pytest.Config) -> Settings:
    """What was asked for on the command line and in the ini file."""
    return settings_of(pytestconfig)


@pytest.fixture
def sst2_cell(request: pytest.FixtureRequest) -> Cell:
    """One cell of the matrix; a test that asks for it is run once for each."""
    cell: Cell = request.param
    return cell


@pytest.fixture
def sst2_run(sst2_cell: Cell, sst2_timer: Timer, request: pytest.FixtureRequest) -> CellRun:
    """The cell's run: ``record = sst2_run.measure()``, then ``sst2_run.assert_reaches_floor(record)``."""
    from pytest_sst2.session.cell_run import CellRun

    settings = settings_of(request.config)
    # On a cluster it is the node that measures one cell at a time.
    exclusive = settings.exclusive and settings.executor == "local"
    return CellRun(sst2_cell, lambda: workbench_of(request.config), sst2_timer, request.node, exclusive=exclusive)


@pytest.fixture(scope="session")
def sst2_dataset(pytestconfig: pytest.Config) -> DatasetDict:
    """The data set that ``--sst2-data`` names: splits train and validation, columns sentence and label."""
    return _told(lambda: workbench_of(pytestconfig).source.dataset)


@pytest.fixture(scope="session")
def sst2_train(sst2_dataset: DatasetDict) -> Dataset:
    """All training rows in file order."""
    return sst2_dataset["train"]


@pytest.fixture(scope="session")
def sst2_validation(sst2_dataset: DatasetDict) -> Dataset:
    """All validation rows in file order."""
    return sst2_dataset["validation"]


@pytest.fixture(scope="session")
def sst2_splits(pytestconfig: pytest.Config) -> Callable[[int], Splits]:
    """From a seed to the rows the run's recipe trains and evaluates on."""
    return lambda seed: _told(lambda: workbench_of(pytestconfig).splits(seed))


@pytest.fixture(scope="session")
def sst2_load_tokenizer(pytestconfig: pytest.Config) -> Callable[[str], Any]:
    """From a model's name to its tokenizer."""
    return lambda name: _told(lambda: workbench_of(pytestconfig).loader.tokenizer(model_of(pytestconfig, name)))


@pytest.fixture(scope="session")
def sst2_load_classifier(pytestconfig: pytest.Config) -> Callable[[str], Any]:
    """From a model's name to the encoder with a two-class head, in float32 on the run's device."""
    return lambda name: _told(
        lambda: workbench_of(pytestconfig).loader.sequence_classifier(model_of(pytestconfig, name))
    )


@pytest.fixture(scope="session")
def sst2_load_encoder(pytestconfig: pytest.Config) -> Callable[[str], Any]:
    """From a model's name to its ``SentenceTransformer``, in the recipe's type on the run's device."""
    dtype = settings_of(pytestconfig).recipe.dtype
    return lambda name: _told(
        lambda: workbench_of(pytestconfig).loader.sentence_encoder(model_of(pytestconfig, name), dtype=dtype)
    )


def _told(make: Callable[[], Any]) -> Any:
    """Return what ``make`` returns; a user's mistake fails the test with its sentence and no traceback."""
    try:
        return make()
    except Sst2Error as error:
        said = str(error)
    # Not in the handler: pytest would print the error, and each that it came from, before the sentence.
    pytest.fail(said, pytrace=False)
