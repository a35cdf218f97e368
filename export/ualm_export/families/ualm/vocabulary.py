"""The layout of the vocabulary that all streams share."""

from dataclasses import dataclass

from ...errors import ExportError
from ...language_model import Interval

SPECIAL_SLOTS = 256
SPECIAL_NAMES = (
    "pad", "bos", "eos", "eot", "system", "user", "assistant",
    "text", "audio", "speech", "image", "video", "toolcall",
)  # fmt: skip
SPECIAL = {name: token for token, name in enumerate(SPECIAL_NAMES)}


@dataclass(frozen=True)
class Vocabulary:
    size: int
    text: Interval
    audio: tuple[Interval, ...]
    """One block a stream; its first id is that stream's own pad, its codes follow."""

    @property
    def streams(self) -> int:
        return len(self.audio)

    @classmethod
    def layout(cls, io_names: list[str], text_size: int, streams: int, codebook_size: int) -> "Vocabulary":
        """Lays the discrete inputs and outputs out after the special slots, in the order of `io_names`."""
        start = SPECIAL_SLOTS
        text = None
        audio = []
        for name in io_names:
            if name == "text":
                text = (start, start + text_size)
                start += text_size
            elif name == "discrete_audio":
                for _ in range(streams):
                    audio.append((start, start + 1 + codebook_size))
                    start += 1 + codebook_size
        if text is None or not audio:
            raise ExportError(
                f"train.yaml: multimodal_io names {', '.join(io_names)}; both text and discrete_audio are needed"
            )
        return cls(start, text, tuple(audio))
