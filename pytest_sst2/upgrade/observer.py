"""Observers tell the searches whether an environment has the symptom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pytest_sst2.upgrade.ab_run import Notify, Sides
from pytest_sst2.upgrade.environments import BuiltEnvironment
from pytest_sst2.upgrade.minimize import Outcome


@dataclass(frozen=True)
class Observation:
    """What was observed in an environment.

    Attributes:
        why: The reason, if it needs to be said.
        symptom: The symptom as it shows in a bad environment; empty if it is the one that is looked for.
    """

    outcome: Outcome
    why: str = ""
    symptom: str = ""

    def __str__(self) -> str:
        return f"{self.outcome.value} ({self.why})" if self.why else self.outcome.value


class Observer(Protocol):
    """Tells whether an environment has a symptom."""

    @property
    def symptom(self) -> str:
        """The symptom in words, with the cell or command that has it."""

    @property
    def remedy(self) -> str:
        """What decides undecided environments; empty if nothing does."""

    def observe(self, environment: BuiltEnvironment, *, repeated: bool = False) -> Observation:
        """Observe an environment; ``repeated`` measures it once more instead of using an earlier result."""


def repeat_ends(observer: Observer, sides: Sides, notify: Notify) -> str:
    """Observe both ends of a search once more; return why there is nothing to search, empty if both repeat.

    The earlier end defines what is good, so it may be undecided when it is compared with itself.
    """
    for name, end, expected in (("later", sides.after, Outcome.BAD), ("earlier", sides.before, Outcome.GOOD)):
        seen = observer.observe(end, repeated=True)
        notify(f"repeated in the {name} environment: {seen}")
        if seen.outcome is not expected and not (name == "earlier" and seen.outcome is Outcome.UNDECIDED):
            was = f"not {expected.value} as before ({observer.symptom})"
            return f"no cause: measured again, the {name} environment is {seen}, {was}"
    return ""
