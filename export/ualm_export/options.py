"""The choices of the person who exports."""

from dataclasses import dataclass
from pathlib import Path

from .precision import BLOCK_SIZE, default_targets

MAX_POSITIONS = 32768
SPEECH_HEADS = ("full", "sliced")


@dataclass(frozen=True)
class Options:
    """The options of an export. `None` leaves a choice to the family, or to the precision."""

    precision: str = "fp32"
    targets: tuple[str, ...] | None = None
    heads_precision: str | None = None
    codec_encoder_precision: str | None = None
    audio_encoder_precision: str | None = None
    speech_decoder_precision: str | None = None
    speech_head: str | None = None
    """One of `SPEECH_HEADS`: speech and text are sampled from all ids, as in training, or from their own."""
    block_size: int = BLOCK_SIZE
    """Features that share a scale in 4-bit weights."""
    calibration: bool = True
    """True: 4-bit weights, and the forms for VNNI, are fitted to the layers' inputs."""
    xcodec: Path | None = None
    """Folder of X-codec, if the checkpoint does not contain its codec."""
    max_positions: int = MAX_POSITIONS
    name: str | None = None
    license: str | None = None
    origin: str | None = None
    force: bool = False

    @property
    def has_sliced_heads(self) -> bool:
        """True if heads are sliced, as they are by default in int8 and int4."""
        return (self.speech_head or ("sliced" if self.precision in ("int8", "int4") else "full")) == "sliced"

    @property
    def all_targets(self) -> tuple[str, ...]:
        return default_targets(self.precision) if self.targets is None else self.targets
