"""A plain implementation of the package contract for models of one stream, whose prompts determine the output's modality.

Slow and simple on purpose: greedy, one request at a time, with a separate sequence for the unconditional branch of guidance.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from log_mel import log_mel
from reply import Branch, load_sessions

Message = tuple[str, list]
"""A role and its contents: texts, and samples [N] of sound."""


@dataclass
class Prompt:
    ids: list[int] = field(default_factory=list)
    rows: np.ndarray | None = None
    """Features of the sound, which take the place of the positions `feature`."""


@dataclass
class Made:
    """A generated sequence, with the logits of its first token."""

    tokens: list[int]
    ended: int | None
    guided: np.ndarray
    """After guidance."""
    masked: np.ndarray
    """After guidance and mask."""


class FlatPackage:
    def __init__(self, folder: Path):
        self.manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.sessions = load_sessions(folder, self.manifest)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.template = self.manifest["template"]
        self.modalities = self.manifest["modalities"]
        self.size = self.manifest["tokens"]["size"]

    def run(self, graph: str, **feeds) -> list[np.ndarray]:
        return self.sessions[graph].run(None, feeds)

    # --- prompts ---

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def prompt(self, task: str, segment: str, messages: list[Message], fill: int | None = None) -> Prompt:
        """Lays messages out by the template's task, with the opener of a segment; `fill` replaces each id of the last text."""
        layout = self.template["tasks"][task]
        if "system" in layout and messages[0][0] != "system":
            messages = [("system", [layout["system"]]), *messages]
        pieces = list(layout["begin"])
        rows = []
        for number, (role, contents) in enumerate(messages):
            turn = layout["turns"][role]
            last = number == len(messages) - 1
            pieces += turn["open"]
            for index, content in enumerate(contents):
                pieces += turn["join"] if index else []
                if isinstance(content, np.ndarray):
                    wrap = self.template["content"]["audio"]
                    rows.append(self.features(content))
                    pieces += [*wrap["open"], *[wrap["feature"]] * len(rows[-1]), *wrap["close"]]
                    continue
                if fill is not None and last:
                    while pieces and isinstance(pieces[-1], str):
                        pieces[-1] = pieces[-1].rstrip()
                        if pieces[-1]:
                            break
                        pieces.pop()
                    pieces += [self.template["unconditional"]["fill"]] * fill
                else:
                    pieces.append(self._text(content, layout, turn))
            pieces += turn["close"]
        pieces += layout["reply"] + self.template["segments"][segment]["open"]
        return Prompt(self._ids(pieces), np.concatenate(rows) if rows else None)

    def null_prompt(self, task: str, messages: list[Message], length: int) -> Prompt:
        bare = self.prompt(task, task, messages, fill=0)
        return self.prompt(task, task, messages, fill=length - len(bare.ids))

    def _text(self, text: str, layout: dict, turn: dict) -> str:
        if "after" in turn:
            text = text.rpartition(turn["after"])[2]
        return text.strip() if layout["trim"] or turn.get("strip") else text

    def _ids(self, pieces: list) -> list[int]:
        """Tokenizes pieces; consecutive strings are joined first."""
        ids = []
        pending = ""
        for piece in [*pieces, None]:
            if isinstance(piece, str):
                pending += piece
                continue
            ids += self.encode(pending) if pending else []
            pending = ""
            ids += [] if piece is None else [piece]
        return ids

    # --- sound in ---

    def mel(self, samples: np.ndarray) -> np.ndarray:
        """samples [N] → [windows, mel bins, frames]."""
        encoder = self.manifest["audio_encoder"]
        window = encoder["window_seconds"] * encoder["sampling_rate"]
        peak = np.abs(samples).max(initial=0.0)
        if encoder.get("limit_peak") and peak > 1:
            samples = samples / peak
        windows = max(1, -(-len(samples) // window))
        padded = np.pad(samples, (0, windows * window - len(samples))).reshape(windows, window)
        return np.stack([log_mel(samples, encoder["num_mel_bins"]) for samples in padded])

    def features(self, samples: np.ndarray) -> np.ndarray:
        """samples [N] → [rows, H]: all rows of every window."""
        mel = self.mel(samples)
        lengths = np.full(len(mel), mel.shape[2], np.int64)
        rows, _ = self.run("audio_encoder", input_features=mel, feature_lengths=lengths)
        return rows.reshape(-1, rows.shape[-1])

    # --- language model ---

    def embed(self, prompt: Prompt) -> np.ndarray:
        ids = np.array(prompt.ids, np.int64)
        (rows,) = self.run("embed", input_ids=ids[None, :, None])
        if prompt.rows is not None:
            rows[0, ids == self.template["content"]["audio"]["feature"]] = prompt.rows
        return rows[0]

    def branch(self, capacity: int) -> Branch:
        (state,) = self.manifest["language_model"]["state"]
        return Branch(_empty_cache(state, capacity))

    def extend(self, branch: Branch, rows: np.ndarray) -> np.ndarray:
        """Runs rows [n, H] after the branch's positions; returns the hidden states [n, H]."""
        (hidden,) = _run_cached(self.sessions["llm"], branch, len(rows), {"inputs_embeds": rows[None]}, ["hidden_states"])
        return hidden[0]

    def logits(self, head: str, hidden: np.ndarray) -> np.ndarray:
        """Returns logits [ids], −∞ for ids without a column."""
        by_id = np.full(self.size, -np.inf, np.float32)
        ids = np.concatenate([np.arange(*interval) for interval in self.manifest["heads"][head]])
        by_id[ids] = self.run(head, hidden_states=hidden[None])[0][0]
        return by_id

    def generate(
        self, modality: str, prompt: Prompt, null: Prompt | None, steps: int, guidance: float = 1.0, cap: int | None = None
    ) -> Made:
        """Generates greedy tokens, the end included."""
        layout = self.modalities[modality]
        branches = [(self.branch(len(p.ids) + steps), p) for p in ((prompt, null) if guidance != 1 else (prompt,))]
        hidden = [self.extend(branch, self.embed(p))[-1] for branch, p in branches]
        ends = [token for ids in layout["ends"].values() for token in ids]
        made = None
        while True:
            logits = [self.logits(layout["head"], state) for state in hidden]
            guided = logits[0]
            if len(logits) == 2:
                with np.errstate(invalid="ignore"):
                    guided = np.float32(guidance) * logits[0] + np.float32(1 - guidance) * logits[1]
                guided[np.isneginf(logits[0])] = -np.inf
            masked = guided + self._mask(layout, ends, len(made.tokens) if made else 0, cap)
            made = made or Made([], None, guided, masked)
            token = int(np.argmax(masked))
            made.tokens.append(token)
            if token in ends:
                made.ended = token
            if made.ended is not None or len(made.tokens) == steps:
                return made
            row = self.embed(Prompt([token]))
            hidden = [self.extend(branch, row)[-1] for branch, _ in branches]

    def _mask(self, layout: dict, ends: list[int], position: int, cap: int | None) -> np.ndarray:
        """Returns 0 for the ids that may come at a position of the segment, −∞ for the others."""
        if not layout.get("strict", True):
            return np.zeros(self.size, np.float32)
        mask = np.full(self.size, -np.inf, np.float32)
        cap = cap or layout.get("cap")
        phase = position % len(layout["books"])
        if cap is None or position < cap:
            mask[slice(*layout["books"][phase])] = 0
        if (cap is not None and position >= cap) or (phase == 0 and position > 0) or len(layout["books"]) == 1:
            mask[ends] = 0
        return mask

    # --- sound out ---

    def codes(self, modality: str, tokens: list[int]) -> np.ndarray:
        """Returns codes [books, frames]; ids outside the books, and an incomplete frame at the end, are dropped."""
        books = self.modalities[modality]["books"]
        inside = [token for token in tokens if any(start <= token < end for start, end in books)]
        inside = inside[: len(inside) - len(inside) % len(books)]
        frames = np.array(inside, np.int64).reshape(-1, len(books))
        return (frames - np.array([start for start, _ in books])).T

    def decode_audio(self, codes: np.ndarray) -> np.ndarray:
        """codes [books, frames] → samples."""
        codec = self.manifest["codecs"]["xcodec"]
        return self.run(codec["decoder"], audio_codes=codes[None, :, : codec["most_frames"]])[0][0, 0]

    def decode_speech(self, codes: np.ndarray, chunk: int | None = None) -> np.ndarray:
        """codes [frames] → samples, in chunks of frames or all at once."""
        codec = self.manifest["codecs"]["speech"]
        decoding = codec["decoding"]
        chunk = chunk or len(codes)
        branch = Branch(_empty_cache(decoding["state"], len(codes)))
        padded = np.pad(codes, (0, decoding["lookahead"]), constant_values=-1).astype(np.int64)
        sound = []
        for start in range(0, len(codes), chunk):
            frames = min(chunk, len(codes) - start)
            given = padded[None, None, start : start + frames + decoding["lookahead"]]
            (samples,) = _run_cached(
                self.sessions[codec["decoder"]], branch, frames, {"audio_codes": given}, ["audio_values"]
            )
            sound.append(samples[0, 0])
        return np.concatenate(sound)


def _empty_cache(state: dict, capacity: int) -> dict[str, np.ndarray]:
    shape = (1, state["heads"], capacity, state["head_size"])
    names = [f"{i}.{kind}" for i in range(state["layers"]) for kind in ("key", "value")]
    return {name: np.zeros(shape, np.float32) for name in names}


def _run_cached(session, branch: Branch, positions: int, feeds: dict, outputs: list[str]) -> list[np.ndarray]:
    """Runs a graph with a cache for `positions` more positions, and keeps the returned cache."""
    total = branch.length + positions
    feeds = feeds | {f"past_key_values.{name}": value for name, value in branch.cache.items()}
    feeds |= {"seqlens_k": np.array([total - 1], np.int32), "total_sequence_length": np.array(total, np.int32)}
    names = list(branch.cache)
    results = session.run(outputs + [f"present.{name}" for name in names], feeds)
    branch.cache = dict(zip(names, results[len(outputs) :]))
    branch.length = total
    return results[: len(outputs)]
