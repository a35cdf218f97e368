"""Training examples as sequences of frames: what the user says, and the segments of the assistant's replies."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

import scenes
import small_world as world
from example_cache import Clip
from recordings import DIGITS
from rendering import TRAIL, WRITTEN, layout
from scenes import Scene, Sound, Span
from units import HOP
from vocabulary import ASSISTANT, AUDIO, BOS, EOS, EOT, SPEECH, TEXT, USER, Vocabulary

GUIDANCE_DROPOUT = 0.05
FLAWED_SHARE = 0.65  # of the drafts of self-reflection
# What follows what is decided once a unit, and most frames of a scene teach nothing of it: scenes of several units are often
# abridged, the less the longer the training. Where a unit breaks off, nothing is learned.
ABRIDGED_SHARE = 0.8  # at the start
ABRIDGED = 8  # frames of every unit that are left
PLANNED_ALONE = 0.2  # of the scenes of a single sound that are drawn: how often one is planned
# How often each task is drawn.
TASKS = {
    "generate": 0.14, "speak": 0.08, "name": 0.08, "question": 0.33, "transcribe": 0.06, "enrich": 0.12, "converse": 0.02,
    "reflect": 0.16, "talk": 0.01,
}  # fmt: skip
RECORDED_SHARE = 0.5  # of the single sounds that are heard: they are more varied than the made ones
MOST_QUESTIONS = 5  # about one clip
IGNORE = -100
ONSET = 2  # first frames of a unit: which one it is, is decided there
DECISION_WEIGHT = 20.0  # of those, and of the frame after a unit that ends the sound or does not
WORD_GAP = 7  # frames between spoken words
EDGE_FRAMES = 3


@dataclass
class Part:
    """One user message."""

    modality: int
    text: str | None = None
    features: np.ndarray | None = None


@dataclass
class Example:
    frames: np.ndarray  # [n, streams]
    slots: np.ndarray  # [n] bool: embeddings that features replace
    features: np.ndarray  # [slots set, feature size]
    text_targets: np.ndarray  # [n]: what stream 0 must say after each frame, IGNORE elsewhere
    sound_targets: np.ndarray  # [n, streams]: index into each stream's audio logits, IGNORE elsewhere
    weights: np.ndarray  # [n, streams] of the targets after each frame


class Conversation:
    """A conversation that grows message by message, with what the assistant must learn to say."""

    def __init__(self, builder: PromptBuilder):
        self.builder, self.vocabulary = builder, builder.vocabulary
        self._frames, self._slots, self._features = [self.vocabulary.single([BOS])], [np.zeros(1, bool)], []
        self._text, self._sound, self._weights = [self._nothing(1)], [self._silence(1)], [self._even(1)]

    def user(self, *parts: Part) -> Conversation:
        v = self.vocabulary
        for i, part in enumerate(parts):
            if part.features is None:
                content = self.builder.text(part.text)
            else:
                content = v.single([0] * len(part.features))
                self._features.append(part.features)
            frames = np.concatenate([v.single([USER, part.modality]), content, v.single([EOT if i + 1 < len(parts) else EOS])])
            slots = np.zeros(len(frames), bool)
            slots[2:-1] = part.features is not None
            self._append(frames, slots)
        return self

    def text(self, text: str, last: bool = True) -> Conversation:
        """A text segment of the assistant; another segment follows unless it is the `last` one."""
        content, closing = self.builder.text(text), EOS if last else EOT
        frames = np.concatenate([self.vocabulary.single([ASSISTANT, TEXT]), content, self.vocabulary.single([closing])])
        targets = np.full(len(frames), IGNORE)
        targets[:-1] = frames[1:, 0]
        self._append(frames, text=targets)
        return self

    def sound(self, modality: int, content: np.ndarray, weights: np.ndarray, last: bool = True, learned: bool = True) -> Conversation:
        """A sound segment: frames [n, streams] in the delay pattern, and how much each token of them counts.

        Of one that is not `learned` only the end is: whether another segment follows.
        """
        v, closing = self.vocabulary, EOS if last else EOT
        frames = np.concatenate([v.single([ASSISTANT, modality]), content, v.single([closing])])
        text, sound, all_weights = self._nothing(len(frames)), self._silence(len(frames)), self._even(len(frames))
        text[0] = modality
        if learned:
            sound[1:-2] = content - np.array([v.block(i) for i in range(v.streams)])
            all_weights[1 : 1 + len(weights)] = weights
        sound[-2, 0] = v.block_size + (closing == EOT)  # eos and eot follow stream 0's block
        all_weights[-2] = DECISION_WEIGHT
        self._append(frames, text=text, sound=sound, weights=all_weights)
        return self

    def example(self, unconditional: bool = False) -> Example:
        """`unconditional`: all that precedes the last segment, its [assistant] included, is pad, as guidance needs it."""
        start = sum(map(len, self._frames[:-1])) + 1
        features = np.concatenate(self._features) if self._features else np.zeros((0, self.builder.feature_size), np.float16)
        example = Example(
            np.concatenate(self._frames), np.concatenate(self._slots), features,
            np.concatenate(self._text), np.concatenate(self._sound), np.concatenate(self._weights),
        )  # fmt: skip
        if unconditional:
            example.frames[:start], example.slots[:], example.features = 0, False, features[:0]
            example.text_targets[:start], example.sound_targets[:start] = IGNORE, IGNORE
        return example

    def _append(self, frames: np.ndarray, slots=None, text=None, sound=None, weights=None) -> None:
        n = len(frames)
        self._frames.append(frames)
        self._slots.append(np.zeros(n, bool) if slots is None else slots)
        self._text.append(self._nothing(n) if text is None else text)
        self._sound.append(self._silence(n) if sound is None else sound)
        self._weights.append(self._even(n) if weights is None else weights)

    @staticmethod
    def _nothing(n: int) -> np.ndarray:
        return np.full(n, IGNORE, np.int64)

    def _silence(self, n: int) -> np.ndarray:
        return np.full((n, self.vocabulary.streams), IGNORE, np.int64)

    def _even(self, n: int) -> np.ndarray:
        return np.ones((n, self.vocabulary.streams), np.float32)


class PromptBuilder:
    def __init__(self, vocabulary: Vocabulary, tokenizer: Tokenizer, feature_size: int):
        self.vocabulary, self.tokenizer, self.feature_size = vocabulary, tokenizer, feature_size

    def text(self, text: str) -> np.ndarray:
        return self.vocabulary.text(self.tokenizer.encode(text).ids)

    def conversation(self, *parts: Part) -> Conversation:
        return Conversation(self).user(*parts)


@dataclass(frozen=True)
class WrittenUnit:
    """Stands in for `units.Unit` where a scene is laid out in codes."""

    label: str
    codes: np.ndarray
    broken_off: bool = False

    @property
    def frames(self) -> int:
        return self.codes.shape[1]

    def abridged(self) -> WrittenUnit:
        return WrittenUnit(self.label, self.codes[:, :ABRIDGED], True) if self.frames > ABRIDGED else self


def abridged(placed: list[tuple[WrittenUnit, int]]) -> tuple[list[tuple[WrittenUnit, int]], int]:
    """Only the beginning of every unit, with the same gaps; and the number of frames."""
    result, cut = [], 0
    for unit, at in placed:
        result.append((unit.abridged(), at - cut))
        cut += unit.frames - result[-1][0].frames
    return result, result[-1][1] + result[-1][0].frames + TRAIL


class Written(NamedTuple):
    """A scene as the model writes it."""

    frames: np.ndarray  # [n, streams], in the delay pattern
    weights: np.ndarray  # [n, streams]
    spans: list[Span]


class Pen:
    """Puts scenes and spoken words together from written units."""

    def __init__(self, clips: list[Clip], vocabulary: Vocabulary):
        self.vocabulary = vocabulary
        self.units: dict[str, list[WrittenUnit]] = {}
        self.over: list[Clip] = []
        self.words: dict[str, dict[str, list[np.ndarray]]] = {}  # voice → word → takes
        for clip in clips:
            if clip.words:
                self.words.setdefault(clip.voice, {}).setdefault(clip.words, []).append(clip.data)
            elif clip.scene is None:
                self.silence = clip.data[:, clip.data.shape[1] // 2].astype(np.int64)
            elif clip.scene.background:
                self.over.append(clip)
            else:
                label = clip.scene.labels[0]
                self.units.setdefault(label, []).append(WrittenUnit(label, clip.data))

    def choose(self, *labels: str) -> dict[str, list[WrittenUnit]]:
        """One unit of every label, for scenes that must sound alike."""
        return {label: [random.choice(self.units[label])] for label in labels}

    def scene(self, scene: Scene, units: dict[str, list[WrittenUnit]] | None = None, abridge: bool = False) -> Written:
        """A scene in codes; of some `units` only."""
        placed, spans, count = layout(scene, units or self.units, WRITTEN)
        if abridge:
            placed, count = abridged(placed)
        codes, starts, ends, cuts = self._silent(count), [], [], []
        for unit, at in placed:
            codes[:, at : at + unit.frames] = unit.codes
            starts.append(at)
            ends.append(at + unit.frames + TRAIL)
            if unit.broken_off:
                cuts.append(at + unit.frames)
        return Written(*self.frames(codes, starts, ends, cuts), spans)

    def clip(self, clip: Clip) -> Written:
        """A scene over a background, which was rendered as a whole."""
        spans = [Span(s, 0.0, clip.data.shape[1] * HOP / 16_000) for s in clip.scene.sounds]
        return Written(*self.frames(clip.data.astype(np.int64), [0], [clip.data.shape[1]]), spans)

    def speech(self, words: list[str], voice: str) -> tuple[np.ndarray, np.ndarray]:
        pieces, starts, ends, at = [self._silent(EDGE_FRAMES)], [], [], EDGE_FRAMES
        for i, word in enumerate(words):
            if i:
                pieces.append(self._silent(WORD_GAP))
                at += pieces[-1].shape[1]
            starts.append(at)
            pieces.append(random.choice(self.words[voice][word]).astype(np.int64))
            at += pieces[-1].shape[1]
            ends.append(at + EDGE_FRAMES)
        return self.frames(np.concatenate([*pieces, self._silent(EDGE_FRAMES)], axis=1), starts, ends)

    def frames(self, codes: np.ndarray, starts: list[int], ends: list[int], cuts: list[int] = ()) -> tuple[np.ndarray, np.ndarray]:
        """In the delay pattern, and how much each token counts.

        Units begin at `starts`, could be the last at `ends`, and break off before `cuts`.
        """
        frames = self.vocabulary.delayed(codes)
        weights = np.ones(frames.shape, np.float32)
        for start in starts:
            weights[start : start + ONSET] = DECISION_WEIGHT
        weights[ends] = DECISION_WEIGHT
        streams = np.arange(frames.shape[1])
        for cut in cuts:
            weights[cut + streams, streams] = 0.0
        return frames, weights

    def _silent(self, count: int) -> np.ndarray:
        return np.repeat(self.silence[:, None], count, axis=1)


class Dialogues:
    """Draws examples of every task."""

    def __init__(self, builder: PromptBuilder, written: list[Clip], heard: list[Clip], tasks: dict[str, float] = TASKS):
        self.builder, self.pen = builder, Pen(written, builder.vocabulary)
        self.abridged_share = ABRIDGED_SHARE
        self.recorded = _by_label(c for c in heard if c.scene and not c.counted)
        self.staged = [c for c in heard if c.scene and c.counted]
        self.overheard = [c for c in heard if c.words]
        self.tasks = {name: share for name, share in tasks.items() if heard or name not in ("name", "question", "transcribe")}

    def draw(self) -> Example:
        task = random.choices(list(self.tasks), list(self.tasks.values()))[0]
        return getattr(self, f"_{task}")()

    def _ask(self, text: str) -> Conversation:
        return self.builder.conversation(Part(TEXT, text=text))

    def _scene(self, planned: bool = False) -> tuple[Scene, Written]:
        """A scene to write, of those that are worth a plan mostly such of several sounds."""
        if random.random() < 0.08 and self.pen.over:
            clip = random.choice(self.pen.over)
            return clip.scene, self.pen.clip(clip)
        scene = self._foreground(planned)
        return scene, self.pen.scene(scene, abridge=self._abridges(scene))

    def _abridges(self, scene: Scene) -> bool:
        return sum(sound.count for sound in scene.sounds) > 1 and random.random() < self.abridged_share

    @staticmethod
    def _foreground(planned: bool = True) -> Scene:
        scene = scenes.draw()
        while scene.background or (planned and len(scene.sounds) == 1 and random.random() > PLANNED_ALONE):
            scene = scenes.draw()
        return scene

    def _generate(self) -> Example:
        scene, written = self._scene()
        asked = world.request(scenes.request(scene))
        return self._made(self._ask(asked), written)

    def _speak(self) -> Example:
        voice = random.choice(list(self.pen.words))
        if random.random() < 0.2:
            words = [random.choice([w for w in self.pen.words[voice] if w not in DIGITS])]
        else:
            words = random.choices(DIGITS, k=random.choice((1, 1, 1, 1, 2, 2, 3)))
        conversation = self._ask(world.say(words)).sound(SPEECH, *self.pen.speech(words, voice))
        return conversation.example(random.random() < GUIDANCE_DROPOUT)

    def _name(self) -> Example:
        """A recording of one sound."""
        if random.random() < 0.08:
            clip, name = random.choice(self.overheard), world.SPEECH_NAME
        else:
            labels = world.RECORDED if random.random() < RECORDED_SHARE else self.recorded
            label = random.choice(list(labels))
            clip, name = random.choice(self.recorded[label]), world.CONCEPTS[label].name
        if random.random() < 0.6:
            asked, answer = random.choice(world.QUESTIONS)
            answer = answer.format(name)
        elif random.random() < 0.5:
            asked, answer = random.choice(world.DESCRIBE), f"I hear {name}."
        else:
            asked, answer = scenes.presence(clip.scene.labels if clip.scene else [], name)
        return self._heard(clip, asked, answer).example()

    def _question(self) -> Example:
        """A scene of several sounds, and a few questions about it, one after the other."""
        clip = random.choice(self.staged)
        conversation = self._heard(clip, *scenes.question(clip.scene))
        for _ in range(random.randrange(MOST_QUESTIONS)):
            asked, answer = scenes.question(clip.scene)
            conversation.user(Part(TEXT, text=world.worded(asked))).text(answer)
        return conversation.example()

    def _heard(self, clip: Clip, asked: str, answer: str) -> Conversation:
        parts = [Part(AUDIO, features=clip.data), Part(TEXT, text=world.worded(asked))]
        if random.random() < 0.5:
            parts.reverse()
        return self.builder.conversation(*parts).text(answer)

    def _transcribe(self) -> Example:
        clip = random.choice(self.overheard)
        modality = SPEECH if random.random() < 0.85 else AUDIO
        parts = [Part(TEXT, text=world.transcribe()), Part(modality, features=clip.data)]
        if random.random() < 0.2:
            parts.reverse()
        return self.builder.conversation(*parts).text(clip.words).example()

    def _enrich(self) -> Example:
        scene, written = self._scene(planned=True)
        asked = world.worded(world.ENRICH.format(scenes.request(scene)))
        return self._made(self._ask(asked).text(scenes.plan(scene, written.spans), last=False), written)

    def _converse(self) -> Example:
        """A question back, the answer, then plan and sound."""
        sound = scenes.draw_sound()
        concept = world.CONCEPTS[sound.label]
        asked = world.worded(world.DIALOGUE.format(random.choice([concept.name, *concept.requests])))
        conversation = self._ask(asked)
        if concept.event:
            conversation.text(world.COUNTED).user(Part(TEXT, text=random.choice(world.CHOSEN[sound.count])))
            scene = Scene((sound,))
        elif random.random() < 0.4:
            conversation.text(world.CONTINUED).user(Part(TEXT, text=random.choice(world.NOTHING_FOLLOWS)))
            scene = Scene((sound,))
        else:
            other = scenes.draw_sound(random.choice([c for c in world.CONCEPTS if c != sound.label]))
            scene = Scene((sound, other))
            answer = random.choice(world.FOLLOWS).format(scenes.request(Scene((other,))))
            conversation.text(world.CONTINUED).user(Part(TEXT, text=answer))
        written = self.pen.scene(scene)
        return conversation.text(scenes.plan(scene, written.spans), last=False).sound(AUDIO, written.frames, written.weights).example()

    def _reflect(self) -> Example:
        """Plan, a draft that is often flawed, what is wrong with it, and the sound as planned.

        A flawed draft is heard but not learned: the model must see its faults, not make them. What was right in the draft
        stays in the final sound as it is.
        """
        scene = self._foreground()
        made = scenes.flawed(scene) if random.random() < FLAWED_SHARE else scene
        units, abridge = self.pen.choose(*scene.labels, *made.labels), self._abridges(scene)
        final, draft = self.pen.scene(scene, units, abridge), self.pen.scene(made, units, abridge)
        asked = world.worded(world.REFLECT.format(scenes.request(scene)))
        conversation = self._ask(asked).text(scenes.plan(scene, final.spans), last=False)
        conversation.sound(AUDIO, draft.frames, draft.weights, last=False, learned=made == scene)
        return self._made(conversation.text(scenes.critique(scene, made), last=False), final)

    @staticmethod
    def _made(conversation: Conversation, written: Written) -> Example:
        """The conversation ends with that sound; now and then as guidance sees it without its prompt."""
        return conversation.sound(AUDIO, written.frames, written.weights).example(random.random() < GUIDANCE_DROPOUT)

    def _talk(self) -> Example:
        asked, answer = world.talk()
        return self._ask(asked).text(answer).example()


def corpus(count: int = 4000) -> list[str]:
    """Texts for the tokenizer."""
    texts = []
    for _ in range(count):
        scene = scenes.draw()
        spans = [Span(s, random.random() * 3, random.random() * 6) for s in scene.sounds]
        words = random.choices(DIGITS, k=random.randint(1, 4))
        texts += [world.request(scenes.request(scene)), *scenes.question(scene), scenes.plan(scene, spans)]
        texts += [scenes.critique(scene, scenes.flawed(scene)), world.say(words), " ".join(words), world.transcribe(), *world.talk()]
        texts += [world.ENRICH, world.REFLECT, world.DIALOGUE, world.COUNTED, world.CONTINUED, world.say([random.choice(world.PHRASES)])]
    return texts


def _by_label(clips) -> dict[str, list[Clip]]:
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.scene.labels[0], []).append(clip)
    return groups
