"""Runs of a package's graphs on fixed inputs, by their roles in the manifest."""

from collections.abc import Callable, Mapping

import numpy as np

from ..errors import ExportError
from .measure import Run

Running = Callable[[Mapping[str, np.ndarray]], Run]
"""Runs a graph once."""
Probe = Callable[[Running], None]
"""Runs a graph, once or more."""

_POSITIONS = (24, 1, 7)
"""Positions, or frames, of consecutive runs on one cache."""
_FRAMES = 24
_CANDIDATES = 4096


class Probes:
    """The probes of a package whose graph `embed` is run by `embed`. The heads read the language model's outputs."""

    def __init__(self, manifest: Mapping, embed: Running):
        self._manifest = manifest
        self._embed = embed
        self._hidden: np.ndarray | None = None

    def by_graph(self) -> dict[str, Probe]:
        """Returns the probe of every graph but `embed`; the probe of `llm` comes first."""
        manifest = self._manifest
        found: dict[str, Probe] = {"llm": self._language_model}
        found |= {head: lambda run: run({"hidden_states": self._hidden}) for head in manifest["heads"]}
        if "audio_encoder" in manifest:
            found["audio_encoder"] = self._audio_encoder
        for codec in manifest.get("codecs", {}).values():
            if "encoder" in codec:
                found[codec["encoder"]] = lambda run, codec=codec: _encode(run, codec)
            decode = _decode_causally if codec["decoding"]["kind"] == "causal" else _decode
            found[codec["decoder"]] = lambda run, codec=codec, decode=decode: decode(run, codec)
        for enhancer in manifest.get("enhancers", {}).values():
            found[enhancer["graph"]] = lambda run: run({"audio_values": _sound(16000, 9600)})
        return found

    def _language_model(self, run: Running) -> None:
        tokens = self._manifest["tokens"]
        model = self._manifest["language_model"]
        ids = _integers(0, tokens["size"], (1, _CANDIDATES, tokens["width"]))
        embeds = self._embed({"input_ids": ids})["inputs_embeds"]
        embeds = embeds[:, embeds[0].any(-1)][:, : sum(_POSITIONS)]  # ids without training embed to zero
        if embeds.shape[1] < sum(_POSITIONS):
            raise ExportError(f"nearly all of {_CANDIDATES} ids embed to zero")
        outputs = _on_cache(run, model["state"][0], lambda start, end: {"inputs_embeds": embeds[:, start:end]})
        self._hidden = np.concatenate([output["hidden_states"][0] for output in outputs])

    def _audio_encoder(self, run: Running) -> None:
        encoder = self._manifest["audio_encoder"]
        frames = encoder["chunk_frames"]
        mel = np.random.default_rng(3).uniform(-1, 1.5, (1, encoder["num_mel_bins"], frames)).astype(np.float32)
        for length in (frames, frames // 2 + 1):
            run({"input_features": mel, "feature_lengths": np.array([length], np.int64)})


def _encode(run: Running, codec: Mapping) -> None:
    run({"input_values": _sound(codec["sampling_rate"], 2 * _FRAMES * codec["hop_length"])})


def _decode(run: Running, codec: Mapping) -> None:
    codes = _integers(0, codec["codebook_size"], (1, codec["books"], _FRAMES))
    run({"audio_codes": codes} | ({"first_frame": np.array([7], np.int64)} if codec["decoding"]["indexed"] else {}))


def _decode_causally(run: Running, codec: Mapping) -> None:
    lookahead = codec["decoding"]["lookahead"]
    state = codec["decoding"]["state"]
    codes = np.full((1, 1, sum(_POSITIONS) + lookahead), -1, np.int64)
    codes[..., : sum(_POSITIONS)] = _integers(0, codec["codebook_size"], (1, 1, sum(_POSITIONS)))
    _on_cache(run, state, lambda start, end: {"audio_codes": codes[..., start : end + lookahead]})


def _on_cache(run: Running, state: Mapping, inputs: Callable[[int, int], dict]) -> list[Run]:
    """Runs a graph with a cache; `inputs` returns its other inputs for a range of positions."""
    shape = (1, state["heads"], sum(_POSITIONS) + 3, state["head_size"])
    names = [f"{layer}.{part}" for layer in range(state["layers"]) for part in ("key", "value")]
    cache = {f"past_key_values.{name}": np.zeros(shape, np.float32) for name in names}
    outputs = []
    start = 0
    for positions in _POSITIONS:
        end = start + positions
        lengths = {"seqlens_k": np.array([end - 1], np.int32), "total_sequence_length": np.array(end, np.int32)}
        outputs.append(run(inputs(start, end) | lengths | cache))
        cache = {f"past_key_values.{name}": outputs[-1][f"present.{name}"] for name in names}
        start = end
    return outputs


def _integers(low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).integers(low, high, shape, np.int64)


def _sound(rate: int, samples: int) -> np.ndarray:
    """Returns a tone of increasing loudness over a little noise, [1, 1, samples]."""
    time = np.arange(samples) / rate
    noise = np.random.default_rng(2).normal(0, 0.02, samples)
    return (0.6 * np.sin(2 * np.pi * 330 * time) * np.linspace(0, 1, samples) + noise).astype(np.float32)[None, None]
