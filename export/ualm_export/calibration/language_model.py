"""Runs the float language model: draws continuations of prompts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from ..language_model import columns
from ..parts import Modality, Parts
from .observed import LinearInputs, ObservedGraph
from .prompts import Prompt

_CANDIDATES = 64
"""Candidates: the most likely ids, sampled at temperature 1."""
_SEED = 17


class DrawingModel:
    """Embedding, body and heads, with graphs in `folder`; inputs of the graphs named in `kept` are stored in `keep`."""

    def __init__(self, parts: Parts, folder: Path, keep: Path, kept: frozenset[str]):
        def graph(name: str) -> ObservedGraph:
            return ObservedGraph(folder / f"{name}.onnx", keep if name in kept else None)

        self._parts = parts
        self._embed = graph("embed")
        self._body = graph("llm")
        self._heads = {name: graph(name) for name in parts.heads}
        self._generator = np.random.default_rng(_SEED)

    def draw(self, prompts: list[Prompt], steps: int, progress: Callable[[], None]) -> list[np.ndarray]:
        """Continues all prompts at once for `steps` frames; returns the frames [steps, width] of each.

        An end is never drawn, so all sequences have the same length.
        """
        lengths = np.array([len(prompt.frames) for prompt in prompts], np.int32)
        cache = self._prefilled(prompts, int(lengths.max()) + steps)
        hidden = np.concatenate([hidden for hidden, _ in cache])
        binding = self._body.session.io_binding()
        binding.bind_output("hidden_states")
        for name in list(cache[0][1]):
            joined = np.concatenate([past.pop(name) for _, past in cache])  # each part is freed as soon as it is copied
            value = onnxruntime.OrtValue.ortvalue_from_numpy(joined)
            binding.bind_ortvalue_input(f"past_key_values.{name}", value)
            binding.bind_ortvalue_output(f"present.{name}", value)
        del cache
        drawn = [[] for _ in prompts]
        modalities = [self._parts.modalities[prompt.modality] for prompt in prompts]
        for step in range(steps):
            for frames, modality, logits in zip(drawn, modalities, self._logits(modalities, hidden)):
                frames.append(self._frame(modality, logits, step))
            embeds = self._embed.run({"input_ids": np.stack([frames[-1] for frames in drawn])[:, None]})["inputs_embeds"]
            binding.bind_cpu_input("inputs_embeds", embeds)
            binding.bind_cpu_input("seqlens_k", lengths + np.int32(step))
            binding.bind_cpu_input("total_sequence_length", np.array(lengths.max() + step + 1, np.int32))
            binding.bind_output("hidden_states")
            self._body.session.run_with_iobinding(binding)
            hidden = binding.get_outputs()[0].numpy()[:, -1]
            progress()
        return [np.stack(frames) for frames in drawn]

    def observe(self, prompt: Prompt, drawn: np.ndarray) -> None:
        """Runs a whole sequence, and records the inputs of the linear layers of body and heads."""
        embeds = np.concatenate([self._embedded(prompt), self._embed.run({"input_ids": drawn[None]})["inputs_embeds"][0]])
        hidden = self._body.observe(self._feeds(embeds, len(embeds)))["hidden_states"][0]
        for head in self._heads.values():
            head.observe({"hidden_states": hidden})

    def close(self) -> dict[str, dict[str, LinearInputs]]:
        """Frees the memory; returns the statistics by graph."""
        return {"llm": self._body.close()} | {name: head.close() for name, head in self._heads.items()}

    def _embedded(self, prompt: Prompt) -> np.ndarray:
        embeds = self._embed.run({"input_ids": prompt.frames[None]})["inputs_embeds"][0]
        if prompt.features is not None:
            embeds[prompt.features_at : prompt.features_at + len(prompt.features)] = prompt.features
        return embeds

    def _prefilled(self, prompts: list[Prompt], capacity: int) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Returns the last hidden state [1, H] of each prompt, and its cache."""
        found = []
        for prompt in prompts:
            outputs = self._body.run(self._feeds(self._embedded(prompt), capacity))
            past = {name.removeprefix("present."): value for name, value in outputs.items() if name.startswith("present.")}
            found.append((outputs["hidden_states"][:, -1], past))
        return found

    def _feeds(self, embeds: np.ndarray, capacity: int) -> dict[str, np.ndarray]:
        """Returns the inputs of a run over a sequence from its start, with room for `capacity` positions."""
        decoder = self._parts.decoder
        shape = (1, decoder.attention.key_value_heads, capacity, decoder.attention.cached_head_size)
        names = [f"{layer}.{part}" for layer in range(decoder.layers) for part in ("key", "value")]
        return {f"past_key_values.{name}": np.zeros(shape, np.float32) for name in names} | {
            "inputs_embeds": embeds[None],
            "seqlens_k": np.array([len(embeds) - 1], np.int32),
            "total_sequence_length": np.array(len(embeds), np.int32),
        }

    def _logits(self, modalities: list[Modality], hidden: np.ndarray) -> list[np.ndarray]:
        """Returns the logits of each row of `hidden` by the head of its modality; each head runs once."""
        found: dict[int, np.ndarray] = {}
        for name, head in self._heads.items():
            rows = [row for row, modality in enumerate(modalities) if modality.head == name]
            if rows:
                found |= zip(rows, head.run({"hidden_states": hidden[rows]})["logits"])
        return [found[row] for row in range(len(modalities))]

    def _frame(self, modality: Modality, logits: np.ndarray, step: int) -> np.ndarray:
        """Draws a frame [width]: an id of each book, or of the book whose turn it is."""
        books = modality.books if modality.pattern == "delayed" else (modality.books[step % len(modality.books)],)
        embedding = self._parts.embedding
        frame = np.full(embedding.width, embedding.pad or 0, np.int64)
        ends = [token for tokens in modality.ends.values() for token in tokens]
        for column, book in enumerate(books):
            scores = logits[columns(self._parts.heads[modality.head].ids, book)].astype(np.float64)
            scores[[token - book[0] for token in ends if book[0] <= token < book[1]]] = -np.inf
            frame[column] = book[0] + self._choice(scores)
        return frame

    def _choice(self, scores: np.ndarray) -> int:
        best = np.argsort(-scores, kind="stable")[:_CANDIDATES]
        weights = np.exp(scores[best] - scores[best[0]])
        return int(best[min(np.searchsorted(np.cumsum(weights), self._generator.random() * weights.sum()), len(best) - 1)])
