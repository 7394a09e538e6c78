"""What changed on purpose between two results, as declared with ``--sst2-changed``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pytest_sst2.config.option_parsers import BadValue
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted, shorten
from pytest_sst2.utils.suggest import closest, did_you_mean

CHANGED_OPTION = "--sst2-changed"
_WORDS = ("model", "recipe")


@dataclass(frozen=True)
class Declared:
    """What changed on purpose.

    Attributes:
        model: Whether a cell of another model is compared if it is the only one of its method.
        recipe: Whether cells of another recipe are compared.
        pairs: ``OLD=NEW``, names of models or methods. A name may contain ``=``, so results decide where to split.
    """

    model: bool = False
    recipe: bool = False
    pairs: tuple[str, ...] = ()

    @classmethod
    def of(cls, words: Iterable[str]) -> Declared:
        """Return the changes that the words of the option declare."""
        words = tuple(words)
        return cls("model" in words, "recipe" in words, tuple(word for word in words if "=" in word))

    def check_earlier(self, names: Iterable[str | None]) -> None:
        """Raise an Sst2Error if no part of a pair before a ``=`` is among the ``names`` of the earlier results."""
        known = sorted({name for name in names if name})
        for pair in self.pairs:
            ends = (index for index, character in enumerate(pair) if character == "=")
            if not any(pair[:end].strip() in known for end in ends):
                raise Sst2Error(
                    f"{CHANGED_OPTION} {pair}: the earlier results have no model or method "
                    f"{quoted(pair.partition('=')[0])}. They have {shorten(known) or 'none'}."
                )

    def __str__(self) -> str:
        words = [word for word, given in zip(_WORDS, (self.model, self.recipe), strict=True) if given]
        return ",".join([*words, *self.pairs])

    def __or__(self, other: Declared) -> Declared:
        pairs = tuple(dict.fromkeys((*self.pairs, *other.pairs)))
        return Declared(self.model or other.model, self.recipe or other.recipe, pairs)


NOTHING_DECLARED = Declared()


def changes(text: str) -> tuple[str, ...]:
    """Parse ``model,recipe,old=new`` into its distinct words in order."""
    words = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for word in words:
        old, equals, new = word.partition("=")
        if word not in _WORDS and not (equals and old.strip() and new.strip()):
            guess = did_you_mean(closest(word.lower(), _WORDS))
            raise BadValue(f"{quoted(word)} is neither model, recipe nor a pair OLD=NEW of model names.{guess}")
    if not words:
        raise BadValue(f"{quoted(text)} declares nothing; write model, recipe, or pairs OLD=NEW of model names")
    return words
