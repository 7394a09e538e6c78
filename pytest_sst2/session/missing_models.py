"""Before the first cell: which cells cannot run, because their model can be neither found nor downloaded?"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pytest_sst2.config.specs import Cell, ModelSpec
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural, shorten


def missing_models_lines(cells: Iterable[Cell], *, trust_remote_code: bool) -> list[str]:
    """Return a warning for each reason of the Hub, with the models that it refuses; none if all may be available.

    The run goes on: their cells fail one by one, and the others are measured. A model that cannot be looked up is not
    among them, because its cell reports it.
    """
    planned = [*{cell.id: cell for cell in cells}.values()]
    specs = dict.fromkeys(cell.model.plain for cell in planned if cell.model)
    if not specs:
        return []
    from pytest_sst2.models.locate import unavailable

    try:
        reasons = unavailable(specs, trust_remote_code=trust_remote_code)
    except (Sst2Error, OSError):
        return []
    return [
        _line(reason, [spec for spec in reasons if reasons[spec] == reason], planned)
        for reason in dict.fromkeys(reasons.values())
    ]


def _line(reason: str, models: Collection[ModelSpec], planned: Collection[Cell]) -> str:
    lost, total = sum(cell.model is not None and cell.model.plain in models for cell in planned), len(planned)
    names = f"{shorten([spec.name for spec in models])} {'is' if len(models) == 1 else 'are'}"
    return (
        f"WARNING: {lost:,} of {plural(total, 'cell')} cannot run: {names} not on this machine, and {reason}. "
        "`pytest-sst2 doctor` lists the models that run here."
    )
