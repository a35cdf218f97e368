"""A plain implementation of the package contract: one package in ONNX Runtime, replies frame by frame.

Slow and simple on purpose: greedy, one request at a time, with a separate sequence for the unconditional branch of
guidance. The tests compare it with the trainer's numbers, and the runtime with both.
"""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime

from log_mel import HOP, log_mel, normalized


def read_wav(path: Path, mixes: bool = False) -> np.ndarray:
    """Reads a WAV file of 16-bit integers or 32-bit floats: float32 [N]; `mixes` takes the mean of the channels."""
    content = path.read_bytes()
    chunks = {}
    at = 12
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        chunks[name] = content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    encoding, channels, _rate, _bytes, _block, bits = struct.unpack_from("<HHIIHH", chunks[b"fmt "])
    if channels != 1 and not mixes:
        raise ValueError(f"{path} has {channels} channels, expected 1")
    if (encoding, bits) == (1, 16):
        samples = (np.frombuffer(chunks[b"data"], "<i2") / 32768.0).astype(np.float32)
    elif (encoding, bits) == (3, 32):
        samples = np.frombuffer(chunks[b"data"], "<f4")
    else:
        raise ValueError(f"{path}: encoding {encoding} of {bits} bits is not supported")
    return samples.reshape(-1, channels).mean(1) if channels > 1 else samples


@dataclass
class Branch:
    """One sequence in the language model: its cache and the number of filled positions."""

    cache: dict[str, np.ndarray]
    length: int = 0


@dataclass
class Segment:
    ends: list[int]
    frames: list[list[int]] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return bool(self.frames) and self.frames[-1][0] in self.ends


def load_sessions(folder: Path, manifest: dict) -> dict[str, onnxruntime.InferenceSession]:
    """Loads every graph of a package on the CPU, by the name of the graph."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return {
        name: onnxruntime.InferenceSession(folder / file, options, providers=["CPUExecutionProvider"])
        for name, file in manifest["graphs"].items()
    }


class Package:
    def __init__(self, folder: Path):
        self.manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.sessions = load_sessions(folder, self.manifest)
        self.tokens = self.manifest["tokens"]
        self.width = self.tokens["width"]
        self.pad = self.tokens["pad"]
        self.modalities = self.manifest["modalities"]
        self.template = self.manifest["template"]
        (self.reply,) = self.template["tasks"]["text"]["reply"]
        self.audio = self.modalities["audio"]["books"]
        self.codec = self.manifest["codecs"][self.modalities["audio"]["codec"]]

    def run(self, graph: str, **feeds) -> list[np.ndarray]:
        return self.sessions[graph].run(None, feeds)

    # --- audio in ---

    def features(self, samples: np.ndarray) -> np.ndarray:
        """samples [N] at 16 kHz → [frames, H], for clips of one window."""
        encoder = self.manifest["audio_encoder"]
        chunk = encoder["chunk_frames"]
        count = len(samples) // HOP
        if encoder["normalize"]:
            samples = normalized(samples)
        if encoder["pad_to_window"]:
            samples = np.pad(samples, (0, encoder["window_seconds"] * encoder["sampling_rate"] - len(samples)))
        mel = log_mel(samples, encoder["num_mel_bins"])
        starts = range(0, mel.shape[1], chunk)
        chunks = np.zeros((len(starts), len(mel), chunk), np.float32)
        lengths = np.zeros(len(starts), np.int64)
        for i, start in enumerate(starts):
            piece = mel[:, start : start + chunk]
            chunks[i, :, : piece.shape[1]] = piece
            lengths[i] = min(count - start, chunk)
        rows, keep = self.run("audio_encoder", input_features=chunks, feature_lengths=lengths)
        return np.concatenate([row[:n] for row, n in zip(rows, keep)])

    def embed(self, frames: list[list[int]], features: np.ndarray | None = None, at: int = 0) -> np.ndarray:
        """Embeds frames of ids: [frames, H]; `features` replace the rows from `at` on."""
        (rows,) = self.run("embed", input_ids=np.array([frames], np.int64))
        if features is not None:
            rows[0, at : at + len(features)] = features
        return rows[0]

    # --- language model ---

    def branch(self, capacity: int = 1024) -> Branch:
        (state,) = self.manifest["language_model"]["state"]
        shape = (1, state["heads"], capacity, state["head_size"])
        names = [f"{i}.{kind}" for i in range(state["layers"]) for kind in ("key", "value")]
        return Branch({name: np.zeros(shape, np.float32) for name in names})

    def extend(self, branch: Branch, rows: np.ndarray) -> np.ndarray:
        """Runs rows [n, H] after the branch's positions; returns the last hidden state [H]."""
        total = branch.length + len(rows)
        feeds = {f"past_key_values.{name}": value for name, value in branch.cache.items()}
        feeds |= {"inputs_embeds": rows[None], "seqlens_k": np.array([total - 1], np.int32)}
        feeds["total_sequence_length"] = np.array(total, np.int32)
        session = self.sessions["llm"]
        outputs = dict(zip([value.name for value in session.get_outputs()], session.run(None, feeds)))
        branch.cache = {name: outputs[f"present.{name}"] for name in branch.cache}
        branch.length = total
        return outputs["hidden_states"][0, -1]

    def logits(self, modality: str, hidden: np.ndarray) -> np.ndarray:
        """Returns the columns of the modality's head."""
        return self.run(self.modalities[modality]["head"], hidden_states=hidden[None])[0][0]

    def head_ids(self, modality: str) -> np.ndarray:
        """Returns the ids of the columns of the modality's head."""
        intervals = self.manifest["heads"][self.modalities[modality]["head"]]
        return np.concatenate([np.arange(*interval) for interval in intervals])

    def ends(self, modality: str) -> list[int]:
        ends = self.modalities[modality]["ends"]
        return ends["turn"] + ends["segment"]

    def special_frame(self, token: int) -> list[int]:
        return [token] + [self.pad] * (self.width - 1)

    # --- replies ---

    def open_segment(self, branch: Branch, prompt: np.ndarray) -> np.ndarray:
        """Feeds prompt rows and `[assistant]`; returns the hidden state that chooses the modality."""
        return self.extend(branch, np.concatenate([prompt, self.embed([self.special_frame(self.reply)])]))

    def segment(self, branch: Branch, modality: str, max_steps: int, guidance: float) -> Segment:
        """Generates greedy frames of one segment, and puts its closing token into the cache.

        The conditional branch is already open; the unconditional branch, of equal length, holds pad frames.
        """
        branches = [branch]
        if modality != "text" and guidance != 1.0:
            unconditional = self.branch()
            self.extend(
                unconditional, np.zeros((branch.length, self.manifest["language_model"]["hidden_size"]), np.float32)
            )
            branches.append(unconditional)
        segment = Segment(self.ends(modality))
        (opener,) = self.template["segments"][modality]["open"]
        frame = self.special_frame(opener)
        while len(segment.frames) < max_steps and not segment.ended:
            rows = self.embed([frame])
            logits = [self.logits(modality, self.extend(b, rows)) for b in branches]
            if len(logits) == 2:
                logits = [np.float32(guidance) * logits[0] + np.float32(1 - guidance) * logits[1]]
            frame = self._greedy(modality, logits[0])
            segment.frames.append(frame)
        self.extend(branch, self.embed([self.special_frame(frame[0])]))
        return segment

    def _greedy(self, modality: str, logits: np.ndarray) -> list[int]:
        """Returns the largest logit of each book; column 0 may end the segment instead."""
        by_id = np.full(self.tokens["size"], -np.inf, np.float32)
        by_id[self.head_ids(modality)] = logits
        books = self.modalities[modality]["books"]
        frame = [start + int(np.argmax(by_id[start:end])) for start, end in books]
        frame += [self.pad] * (self.width - len(books))
        ends = self.ends(modality)
        best = ends[int(np.argmax(by_id[ends]))]
        if by_id[best] >= by_id[frame[0]]:
            frame[0] = best
        return frame

    # --- codec ---

    def codes(self, frames: list[list[int]]) -> np.ndarray:
        """Converts delayed frames of global ids, without the closing one, to codes [S, F]."""
        ids = np.array(frames, np.int64).reshape(-1, self.width)
        count = max(len(ids) - len(self.audio) + 1, 0)
        starts = [start for start, _ in self.audio]
        rows = [ids[i : i + count, i] - start - 1 for i, start in enumerate(starts)]
        return np.maximum(np.stack(rows), 0)

    def delayed(self, codes: np.ndarray) -> np.ndarray:
        """Delays codes [S, F] to frames [F + S − 1, S] of ids that count from the start of the audio blocks."""
        starts = [start - self.audio[0][0] for start, _ in self.audio]
        frames = np.tile(np.array(starts, np.int64), (codes.shape[1] + len(starts) - 1, 1))
        for i, start in enumerate(starts):
            frames[i : i + codes.shape[1], i] = codes[i] + start + 1
        return frames

    def encode(self, samples: np.ndarray) -> np.ndarray:
        """Encodes samples [N] to codes [S, F]; the remainder of a frame is dropped."""
        whole = len(samples) - len(samples) % self.codec["hop_length"]
        return self.run(self.codec["encoder"], input_values=samples[None, None, :whole])[0][0]

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Decodes codes [S, F] to samples."""
        return self.run(self.codec["decoder"], audio_codes=codes[None])[0][0, 0]
