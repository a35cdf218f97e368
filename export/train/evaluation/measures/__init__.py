"""The measures of the default package, by name."""

from __future__ import annotations

from collections.abc import Callable

from ..subject import Subject
from ..table import Row
from .cost import cost
from .hearing import hearing, spoken_digits_heard
from .questions import questions
from .reasoning import critiques, reflection, takes
from .sounds import codec, generation, guidance
from .speech import speech
from .variety import variety

MEASURES: dict[str, Callable[[Subject], list[Row]]] = {
    "hearing": hearing,
    "digits-heard": spoken_digits_heard,
    "codec": codec,
    "generation": generation,
    "variety": variety,
    "guidance": guidance,
    "questions": questions,
    "speech": speech,
    "reflection": reflection,
    "critiques": critiques,
    "takes": takes,
    "cost": cost,
}
