"""Compares a package of a model of one stream with the reference's answers (expected.json and arrays)."""

import json
from pathlib import Path

import numpy as np

from flat_reply import FlatPackage, Message, Prompt
from reference import relative_error
from reply import read_wav

CHUNKS = (1, 3, 5, 7)
_MODALITIES = {"tts": "speech", "tta": "audio"}


def drawable(
    logits: np.ndarray, temperature: float, top_k: int | None = None, top_p: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns ids and probabilities of the candidates, the likeliest first."""
    ids = np.argsort(-logits, kind="stable")[: top_k or len(logits)]
    scaled = logits[ids].astype(np.float64) / temperature
    probabilities = np.exp(scaled - scaled[0])
    probabilities /= probabilities.sum()
    if top_p is not None:
        count = 1 + int(np.sum(np.cumsum(probabilities) < top_p))
        ids = ids[:count]
        probabilities = probabilities[:count] / probabilities[:count].sum()
    return ids, probabilities


class FlatReference:
    """The answers of the reference implementation for one checkpoint, and the distance of a package from them."""

    def __init__(self, folder: Path, package: FlatPackage):
        self.folder = folder
        self.package = package
        self.expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
        columns = folder / "logit_ids.npy"
        self.columns = np.load(columns) if columns.is_file() else np.arange(package.size)
        """Ids of the columns of arrays of logits."""
        self.row_step = self.expected.get("kept", {}).get("row_step", 1)
        self.errors: dict[str, float] = {}
        """Relative error by the name of the array."""
        self.mismatches: list[str] = []
        """Names of unequal results that should be equal."""

    def check(self) -> "FlatReference":
        for case in self.expected["cases"]:
            if case["task"] in _MODALITIES:
                self._check_sound(case, _MODALITIES[case["task"]])
            else:
                self._check_text(case)
        self._check_parts()
        return self

    def array(self, name: str) -> np.ndarray | None:
        path = self.folder / f"{name}.npy"
        return np.load(path) if path.is_file() else None

    # --- cases ---

    def _check_sound(self, case: dict, modality: str) -> None:
        package = self.package
        name = case["name"]
        messages = [("user", [case["text"]])]
        prompt = package.prompt(modality, modality, messages)
        null = package.null_prompt(modality, messages, len(prompt.ids))
        self._equal(f"{name}.null_ids", null.ids)
        self._check_first_logits(name, prompt, null)
        made = package.generate(modality, prompt, null, case["max_tokens"], case["guidance"], case.get("cap"))
        self._check_tokens(case, made.tokens, made.ended)
        self._check_draw(case, made.masked)
        self._close(f"{name}.first_guided_logits", made.guided[self.columns])
        self._close(f"{name}.first_masked_logits", made.masked[self.columns])
        codes = package.codes(modality, made.tokens)
        self._equal(f"{name}.codes", (codes[0] if modality == "speech" else codes).tolist())
        if modality == "audio":
            self._close(f"{name}.audio", package.decode_audio(codes))
            return
        skipped = [token for token in made.tokens if not self._is_speech(token)]
        self._same(f"{name}: skipped", skipped, case["skipped"])
        self._check_speech(name, codes[0])

    def _check_text(self, case: dict) -> None:
        package = self.package
        name = case["name"]
        thinking = bool(case.get("enable_thinking"))
        segment = "thinking" if thinking else "text"
        task = segment
        messages = self._messages(case)
        if case["task"] == "qa":
            task = "listening"
        elif case["add_special_tokens"]:
            task = "cascade"
        prompt = package.prompt(task, segment, messages)
        self._check_first_logits(name, prompt, None)
        if prompt.rows is not None:
            self._close(f"{name}.rows", prompt.rows[:: self.row_step])
            self._check_features(f"{name}.features", package.mel(self._sound(case["sound"])))
        made = package.generate(segment, prompt, None, case["max_tokens"])
        self._check_tokens(case, made.tokens, made.ended)
        self._check_draw(case, made.masked)

    def _messages(self, case: dict) -> list[Message]:
        if case["task"] == "qa":
            return [("user", [self._sound(case["sound"]), case["question"]])]
        messages = case.get("messages") or [{"role": "user", "content": case["user"]}]
        return [(message["role"], [message["content"]]) for message in messages]

    def _check_first_logits(self, name: str, prompt: Prompt, null: Prompt | None) -> None:
        package = self.package
        self._equal(f"{name}.prompt_ids", prompt.ids)
        hidden = package.extend(package.branch(len(prompt.ids)), package.embed(prompt))
        self._close(f"{name}.hidden_final", hidden)
        self._close(f"{name}.first_logits", package.logits("head", hidden[-1])[self.columns])
        if null and self.array(f"{name}.first_null_logits") is not None:
            hidden = package.extend(package.branch(len(null.ids)), package.embed(null))
            self._close(f"{name}.first_null_logits", package.logits("head", hidden[-1])[self.columns])

    def _check_tokens(self, case: dict, tokens: list[int], ended: int | None) -> None:
        self._equal(f"{case['name']}.tokens", tokens)
        self._same(f"{case['name']}: ended", ended, case["ended"])

    def _check_draw(self, case: dict, logits: np.ndarray) -> None:
        """Compares the candidates of the first step and their probabilities."""
        if "draw" in case:
            ids, probabilities = drawable(logits, **case["draw"])
            self._equal(f"{case['name']}.draw_ids", ids.tolist())
            self._close(f"{case['name']}.draw_probabilities", probabilities)

    def _is_speech(self, token: int) -> bool:
        ((start, end),) = self.package.modalities["speech"]["books"]
        return start <= token < end

    # --- parts ---

    def _check_parts(self) -> None:
        self._check_speech("speech_decoder", self.array("speech_decoder.codes"))
        codes = self.array("xcodec.codes").astype(np.int64)
        self._close("xcodec.audio_of_the_first_40_frames", self.package.decode_audio(codes[:, :40]))
        audio = self.package.decode_audio(codes)
        self._same("xcodec: samples", len(audio), self.expected["xcodec"]["samples"])
        self._close("xcodec.audio_of_all_head", audio[:1280])
        self._close("xcodec.audio_of_all_tail", audio[-1280:])
        self._check_features("sound_parts.loud_features", self.package.mel(self._sound("loud.wav")))

    def _check_speech(self, name: str, codes: np.ndarray) -> None:
        whole = self.package.decode_speech(codes)
        self._close(f"{name}.audio", whole)
        for chunk in CHUNKS:
            self.errors[f"{name}.audio in chunks of {chunk}"] = relative_error(
                self.package.decode_speech(codes, chunk), self.array(f"{name}.audio")
            )

    def _check_features(self, name: str, mel: np.ndarray) -> None:
        """Compares all frames, or the first of each window if the answers are cut."""
        expected = self.array(name)
        if expected is not None:
            self._close(name, mel[..., : expected.shape[-1]])

    def _sound(self, name: str) -> np.ndarray:
        return read_wav(self.folder / name, mixes=True)

    # --- comparisons ---

    def _equal(self, name: str, found: list) -> None:
        expected = self.array(name)
        self._same(name, found, None if expected is None else expected.tolist())

    def _same(self, what: str, found, expected) -> None:
        if found != expected:
            self.mismatches.append(what)

    def _close(self, name: str, found: np.ndarray) -> None:
        """Compares an array with the answer of that name, if there is one; −∞ must be in the same positions."""
        expected = self.array(name)
        if expected is None:
            return
        if expected.shape == found.shape and (np.isneginf(found) != np.isneginf(expected)).any():
            self.mismatches.append(f"{name}: places of −∞")
            return
        finite = ~np.isneginf(expected)
        same = expected.shape == found.shape
        self.errors[name] = relative_error(found[finite], expected[finite]) if same else float("inf")
