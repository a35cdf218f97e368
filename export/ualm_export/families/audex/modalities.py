"""The layout of the modalities and their heads."""

from dataclasses import dataclass

from ...errors import ExportError
from ...language_model import Head, Interval, only
from ...parts import Modality
from .tokens import AUDIO_SYMBOL, SPEECH_SYMBOL, Tokens

AUDIO_LEVELS = 8
GENERATED_LEVELS = 4
"""Levels of X-codec that have symbols, and those that the model generates. No file contains the second number."""
_AUDIO_CAP = 4000
_TEXT = {"temperature": 1.0, "top_k": 0, "top_p": 0.95, "guidance": 1.0, "max_steps": 4096}
_AUDIO = {"temperature": 1.0, "top_k": 80, "top_p": 1.0, "guidance": 3.0, "max_steps": 2001}
_SPEECH = {"temperature": 0.1, "top_k": 80, "top_p": 1.0, "guidance": 1.0, "max_steps": 2048}


@dataclass(frozen=True)
class Layout:
    """The intervals of the ids, and the ids of each head."""

    tokens: Tokens
    ends: list[int]
    """Ids that end a text, the end of the assistant's turn first."""
    eos: list[int]
    """The ids of the generation config, which end any modality."""
    end_of_thinking: int
    speech_end: int
    audio_end: int | None
    """None without an audio codec."""
    codes: int | None
    """Codes of a level of the audio codec; None: the package has no audio codec."""
    sliced: bool
    """True: text and speech have heads of their own ids. False: one head has all ids."""

    def heads(self, matrix: str, size: int, hidden_size: int, scale: float) -> dict[str, Head]:
        """Returns the heads over rows of `matrix` [size, hidden size]."""
        if self.sliced:
            ends = [only(token) for token in dict.fromkeys([self.speech_end, *self.eos])]
            columns = {"text_head": ((0, self.tokens.size),), "speech_head": (self.tokens.speech, *ends)}
        else:
            columns = {"head": ((0, size),)}
        if self.codes:
            columns["audio_head"] = ((self._levels()[0][0], self._levels()[-1][1]), only(self.audio_end))
        return {name: Head(matrix, size, hidden_size, ids, scale=scale) for name, ids in columns.items()}

    def modalities(self) -> dict[str, Modality]:
        text_head, speech_head = ("text_head", "speech_head") if self.sliced else ("head", "head")
        text = ((0, self.tokens.size),)
        segment = [self.end_of_thinking]
        speech_ends = {"turn": list(dict.fromkeys([self.speech_end, *self.eos]))}
        modalities = {
            "thinking": Modality(
                "interleaved", text, text_head, {"turn": self.ends, "segment": segment}, None, strict=self.sliced
            ),
            "text": Modality("interleaved", text, text_head, {"turn": self.ends}, _TEXT, strict=self.sliced),
        }
        if self.codes:
            modalities["audio"] = Modality(
                "interleaved", self._levels(), "audio_head", {"turn": [self.audio_end]}, _AUDIO, "xcodec", cap=_AUDIO_CAP
            )
        modalities["speech"] = Modality(
            "interleaved", (self.tokens.speech,), speech_head, speech_ends, _SPEECH, "speech", strict=self.sliced
        )
        return modalities

    def _levels(self) -> tuple[Interval, ...]:
        """Returns the contiguous ids of the levels that are generated."""
        start = self.tokens.audio[0]
        return tuple((start + i * self.codes, start + (i + 1) * self.codes) for i in range(GENERATED_LEVELS))


def check_symbols(tokens: Tokens, speech_codes: int, audio_codes: int | None, size: int) -> None:
    """Refuses symbols whose number differs from the codecs' codes, and ids outside the model.

    `speech_codes` and `audio_codes` are the numbers of codes of the speech codec and of one level of the audio codec.
    """
    expected = {SPEECH_SYMBOL: (tokens.speech, speech_codes)}
    if audio_codes is not None:
        expected[AUDIO_SYMBOL] = (tokens.audio or (0, 0), AUDIO_LEVELS * audio_codes)
    for kind, ((start, end), count) in expected.items():
        if end - start < count:
            raise ExportError(f"{tokens.source}: <{kind}_{end - start}> is missing; the codec has {count} codes")
        if end - start > count:
            raise ExportError(f"{tokens.source}: <{kind}_{count}> is present; the codec has {count} codes")
    largest = max(tokens.size, *(block[1] for block in (tokens.speech, tokens.audio) if block))
    if largest > size:
        raise ExportError(f"{tokens.source} has the id {largest - 1}; the model's vocab_size is {size}")
