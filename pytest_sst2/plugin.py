"""pytest's entry point: hooks and fixtures.

Heavy imports are inside the hooks and fixtures that need them, so that the plugin costs nothing in other runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_sst2 import hookspec
from pytest_sst2.config import options
from pytest_sst2.config.misspelt import refuse_misspelt_flag
from pytest_sst2.session import results_plugin
from pytest_sst2.session.cell_items import cells_of, deselect, has_no_cell, runs_cells, uses_cell
from pytest_sst2.session.planned_cells import (
    PLAN,
    note_collected,
    note_other_shards,
    note_skipped_file,
    plan_of,
    plan_to_json,
)
from pytest_sst2.session.stash import (
    DIVISION,
    context_of,
    inputs_of,
    is_configured,
    matrix_of,
    model_of,
    schedule_of,
    settings_of,
)
from pytest_sst2.utils.clock import CLOCK  # noqa: F401 - imported before a test can freeze the clocks
from pytest_sst2.utils.errors import Sst2Error

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from pytest_sst2.config.settings import Settings
    from pytest_sst2.config.specs import Cell
    from pytest_sst2.data.splits import Splits
    from pytest_sst2.model_lock.check import LockCheck
    from pytest_sst2.session.cell_run import CellRun, Timer

MARKER = (
    "sst2(*methods, added=False): run the test once per selected cell of these methods; without arguments, of all "
    "methods; with added=True, of the methods that a conftest or plugin added."
)
_PLAN_SENT = pytest.StashKey[bool]()


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
    """Declare ``--models`` and ``--methods`` last, so that other plugins and conftests can take these names.

    Until then pytest takes their values for files to collect, and would look for conftests there. ``args`` is what
    pytest parses next.
    """
    options.join_minus_values(args)
    values = options.bare_values(args)
    known = early_config.known_args_namespace
    known.file_or_dir = [path for path in known.file_or_dir if path not in values]
    result = yield
    options.add_bare_options(parser)
    refuse_misspelt_flag(parser, args)
    return result


def pytest_configure(config: pytest.Config) -> None:
    """Read the options if any is set, and register the plugins of the run; a mistake exits with status 4."""
    from pytest_sst2.session.benchmark_timer import timer_plugin

    config.addinivalue_line("markers", MARKER)
    is_used = is_configured(config)
    if is_used:
        settings_of(config)
    if not hasattr(config, "workerinput"):
        results = results_plugin.ResultsPlugin(config)
        config.pluginmanager.register(results, results_plugin.NAME)
        if is_used:
            results.prepare()
        if config.pluginmanager.hasplugin("xdist") and config.getoption("dist", "no") != "no":
            from pytest_sst2.session.xdist import CellLookup, XdistPlugin

            def cell_lookup() -> CellLookup:
                auto = settings_of(config).auto_seeds
                schedule = schedule_of(config) if auto else None
                return CellLookup(matrix_of(config).cells, seeds_together=auto, schedule=schedule)

            xdist_plugin = XdistPlugin(results, cell_lookup)
            config.pluginmanager.register(xdist_plugin, "sst2-xdist")
    elif is_used:
        inputs_of(config)
    config.pluginmanager.register(timer_plugin(config), "sst2-timer")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize a test that uses ``sst2_cell`` or ``sst2_run`` with its cells."""
    if "sst2_cell" in metafunc.fixturenames:
        try:
            cells = matrix_of(metafunc.config).cells_for(metafunc.definition.get_closest_marker("sst2"))
        except Sst2Error as error:
            raise pytest.Collector.CollectError(f"@pytest.mark.sst2: {error}") from None
        note_collected(metafunc, cells)
        # An empty list would be handled as the ini option empty_parameter_set_mark says; a test of None is deselected.
        ids = [cell.id for cell in cells] or ["no-cell"]
        metafunc.parametrize("sst2_cell", cells or [None], ids=ids, scope="function")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Find the cells of a file that another plugin skipped as a whole, such as ``--lf``."""
    report: Any = yield
    if isinstance(collector, pytest.Module) and report.passed and not report.result:
        note_skipped_file(collector)
    return report  # type: ignore[no-any-return]


# Last, so that shards divide the tests that -k and -m selected.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests without a cell, and tests whose cell is measured in another shard."""
    deselect(config, items, list(filter(has_no_cell, items)))
    if not cells_of(items) or (shard := settings_of(config).shard) is None:
        return
    from pytest_sst2.session.shard import select_shard

    note_other_shards(config, items)
    select_shard(config, items, shard)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Check data, floors and device before the first cell; a mistake exits with status 4."""
    config, cells = session.config, cells_of(session.items)
    plan = config.stash[PLAN] = plan_of(config, session.items)
    results = config.pluginmanager.getplugin(results_plugin.NAME)
    if results is not None and (cells or plan.left_out or DIVISION in config.stash):
        results.set_plan(plan, config.stash.get(DIVISION, None))
    if hasattr(config, "workerinput") and cells:
        from pytest_sst2.utils.processes import take_share

        take_share(exclusive=settings_of(config).exclusive)
    if not runs_cells(config, session.items):
        return
    from pytest_sst2.session.progress_display import display_for

    try:
        context = context_of(config)
        context.progress.display = None if settings_of(config).prints_json else display_for(config)
        with context.progress.loading():
            context.check(cells)
            results.check_early(context.splits)
        if results.is_hopeless:
            return
        if settings_of(config).executor == "ray":
            from pytest_sst2.session.cluster import submit_cells

            submit_cells(config, cells, lambda: results.current_session().gathered.early_writer())
    except Sst2Error as error:
        raise pytest.UsageError(str(error)) from error
    context.progress.planned = [cell.method.name for cell in cells]


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """Print the shard, the data and the recipe, and warn if the baseline has other data or another recipe."""
    if not any(map(uses_cell, items)) and DIVISION not in config.stash:
        return []
    from pytest_sst2.session.collection_report import collection_lines

    return collection_lines(config, items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Attach the record to the report of a benchmark test, and sanitize the report."""
    report: Any = yield
    if any(name.startswith("sst2_") for name in getattr(item, "fixturenames", ())):
        from pytest_sst2.session.report_sanitizer import sanitize_report

        sanitize_report(report)
    stash = item.config.stash
    # The first report of a worker arrives before any cell is measured.
    if hasattr(item.config, "workerinput") and PLAN in stash and not stash.setdefault(_PLAN_SENT, False):
        stash[_PLAN_SENT] = True
        report.sst2_plan = plan_to_json(item.config)
    if uses_cell(item):
        from pytest_sst2.session.cell_run import attach_results

        attach_results(item, report, call)
    return report  # type: ignore[no-any-return]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the plan of the cells from a worker, which may have had no test and so no report."""
    if hasattr(session.config, "workeroutput") and PLAN in session.config.stash:
        session.config.workeroutput["sst2_plan"] = plan_to_json(session.config)


@pytest.fixture(scope="session")
def sst2_settings(pytestconfig: pytest.Config) -> Settings:
    """The options of the run, as ``Settings``."""
    return settings_of(pytestconfig)


@pytest.fixture
def sst2_cell(request: pytest.FixtureRequest) -> Cell:
    """One cell of the matrix. A test that uses it runs once per cell."""
    cell: Cell = request.param
    return cell


@pytest.fixture
def sst2_run(sst2_cell: Cell, sst2_timer: Timer, request: pytest.FixtureRequest) -> CellRun:
    """The run of one cell: ``record = sst2_run.measure()``, then ``sst2_run.assert_reaches_floor(record)``."""
    from pytest_sst2.session.cell_run import CellRun

    settings = settings_of(request.config)
    # On Ray, the nodes measure one cell at a time.
    exclusive = settings.exclusive and settings.executor == "local"
    return CellRun(sst2_cell, lambda: context_of(request.config), sst2_timer, request.node, exclusive=exclusive)


@pytest.fixture(scope="session")
def sst2_dataset(pytestconfig: pytest.Config) -> DatasetDict:
    """The data set of ``--sst2-data``: splits train and validation, columns sentence and label."""
    return _loaded(lambda: context_of(pytestconfig).source.dataset)


@pytest.fixture(scope="session")
def sst2_train(sst2_dataset: DatasetDict) -> Dataset:
    """All training rows, in file order."""
    return sst2_dataset["train"]


@pytest.fixture(scope="session")
def sst2_validation(sst2_dataset: DatasetDict) -> Dataset:
    """All validation rows, in file order."""
    return sst2_dataset["validation"]


@pytest.fixture(scope="session")
def sst2_splits(pytestconfig: pytest.Config) -> Callable[[int], Splits]:
    """A function from a seed to the training and evaluation rows that the run's recipe draws."""
    return lambda seed: _loaded(lambda: context_of(pytestconfig).splits(seed))


@pytest.fixture(scope="session")
def sst2_load_tokenizer(pytestconfig: pytest.Config) -> Callable[[str], Any]:
    """A function from a model's name to its tokenizer."""
    return lambda name: _loaded(lambda: context_of(pytestconfig).loader.tokenizer(model_of(pytestconfig, name)))


@pytest.fixture(scope="session")
def sst2_load_classifier(pytestconfig: pytest.Config) -> Callable[[str], Any]:
    """A function from a model's name to the model with a two-class head, in float32 on the run's device."""
    return lambda name: _loaded(
        lambda: context_of(pytestconfig).loader.sequence_classifier(model_of(pytestconfig, name))
    )


@pytest.fixture(scope="session")
def sst2_load_encoder(pytestconfig: pytest.Config) -> Callable[[str], Any]:
    """A function from a model's name to its ``SentenceTransformer``, in the recipe's dtype on the run's device."""
    dtype = settings_of(pytestconfig).recipe.dtype
    return lambda name: _loaded(
        lambda: context_of(pytestconfig).loader.sentence_encoder(model_of(pytestconfig, name), dtype=dtype)
    )


@pytest.fixture(scope="session")
def sst2_lock(pytestconfig: pytest.Config) -> Callable[..., LockCheck]:
    """A function that fails the test unless a model is what its lock says: ``sst2_lock("minilm.lock")``.

    The path starts at pytest's root folder. ``encoder=`` takes a ``SentenceTransformer`` as your code loads it.
    """

    def check(path: str, encoder: Any = None) -> LockCheck:
        from pytest_sst2.model_lock.check import check_file

        result: LockCheck = _loaded(lambda: check_file(pytestconfig.rootpath / path, encoder))
        if not result.is_same:
            pytest.fail("\n".join(result.lines()), pytrace=False)
        return result

    return check


def _loaded(load: Callable[[], Any]) -> Any:
    """Return ``load()``; an ``Sst2Error`` fails the test with its message and without a traceback."""
    try:
        return load()
    except Sst2Error as error:
        message = str(error)
    # Outside the handler, because pytest would print the chain of errors before the message.
    pytest.fail(message, pytrace=False)
