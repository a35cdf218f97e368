"""Sound: samples with their rate, in files and in memory."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from . import _abi, _arrays, _handle, _library

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ._record import Record

WavFormat = Literal["pcm16", "float32"]


@dataclass(frozen=True, eq=False)
class Audio:
    """Sound.

    Any array of floats is accepted; one that is not float32, or not contiguous, is copied. The model accepts any rate and any number
    of channels, which it mixes to their mean.
    """

    #: float32, shape [frames] or [frames, channels]; full scale is -1 to 1.
    samples: npt.NDArray[np.float32]
    #: Samples a second in each channel.
    rate: int
    #: Record of the generation, if a model made the sound: `write` stores it in the file.
    record: Record | None = field(default=None, repr=False)
    #: Faults of the file that it was read from, if it is damaged but readable.
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "samples", _arrays.sound(self.samples))
        object.__setattr__(self, "rate", _library.integer(self.rate, 32, "rate"))
        if self.rate == 0:
            raise ValueError("rate is 0; expected samples a second, such as 16000")

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return len(self.samples) / self.rate

    @classmethod
    def read(cls, source: str | os.PathLike[str] | bytes | bytearray | memoryview, max_seconds: float = 0.0) -> Audio:
        """Reads a sound file, or one in memory (bytes), mixed to one channel, at its own rate.

        WAV, FLAC, MP3, AAC, Ogg, MP4, MOV, WebM, MKV, AIFF, CAF and others (docs/audio.md). Raises `LimitError` for sound that is longer
        than `max_seconds` (0 is no limit), `AudioError` for a file that is no readable sound, `FileError` for a file that cannot be read.
        """
        if isinstance(source, (bytes, bytearray, memoryview)):
            content = bytes(source)
            handle = _handle.make("audio", "audio_read_memory", content, len(content), max_seconds)
        else:
            handle = _handle.make("audio", "audio_read", _library.path(source), max_seconds)
        return of_handle(handle)

    def write(self, file: str | os.PathLike[str], format: WavFormat = "pcm16") -> None:
        """Writes a WAV file, with the record of how the sound was made, if there is one.

        `format` is "pcm16" (16-bit integers, clipped at full scale) or "float32". The write is atomic: the file is either the
        old one or the complete new one.
        """
        name = _library.path(file, "file")
        number = _library.number_of(format, _abi.WAV_FORMATS, "format")
        if self.record is None:
            _library.call("wav_write", name, borrow(self), number)
        else:
            self.record.write_wav(file, self, format)


def expect(audio: object, name: str = "audio") -> Audio:
    """Returns `audio`, after a check that it is one."""
    if not isinstance(audio, Audio):
        raise TypeError(f"{name} is a {type(audio).__name__}; expected ualm.Audio(samples, rate), or ualm.Audio.read(file)")
    return audio


def borrow(audio: Audio, name: str = "audio") -> _abi.Samples:
    """Returns the samples of `audio` for a call, which may use them as long as the array lives."""
    return _arrays.borrow(expect(audio, name).samples, audio.rate)


def copy(samples: Any, record: Record | None = None) -> Audio | None:
    """Copies sound that belongs to the library; None for a null pointer."""
    if not samples:
        return None
    found = samples.contents
    return Audio(_arrays.copy_samples(found), found.sample_rate, record)


def of_handle(handle: _handle.Handle) -> Audio:
    """Copies the sound of a handle, with its warnings, and frees it."""
    with handle as pointer:
        samples = _library.call("audio_samples", pointer).contents
        warnings: list[str] = []
        while warning := _library.call("audio_warning", pointer, len(warnings)):
            warnings.append(ctypes.string_at(warning).decode(errors="replace"))
        audio = Audio(_arrays.copy_samples(samples), samples.sample_rate, warnings=tuple(warnings))
    handle.close()
    return audio
