"""Draws training examples: conversations of every task."""

from __future__ import annotations

import random

from ..sounds.voices import DIGITS, PHRASES
from ..world import scenes
from ..world import small_world as world
from ..world.scenes import Scene, Span
from .clips import Clip
from .conversation import Conversation, Example, Part, PromptBuilder
from .pen import Pen, Written
from .vocabulary import AUDIO, SPEECH, TEXT

GUIDED_SHARE = 0.20  # of the examples that end with sound: trained under guidance too
FLAWED_SHARE = 0.65  # of the drafts of self-reflection
# Each unit decides once what follows, and most frames of a scene teach nothing about it. Scenes of several units are therefore
# often abridged, less so as training proceeds. Where a unit breaks off, nothing is learned.
ABRIDGED_SHARE = 0.8  # at the start
PLANNED_ALONE = 0.2  # probability of a plan for a drawn scene of a single sound
PLAIN_SHARE = 0.65  # of the single sounds requested without a plan: the number or duration is left open
CHECKED_ABRIDGED = 0.5  # minimum share of abridged drafts in the task `check`
CHECKED_FLAWED = 0.5
# Probability of each task. Speech is short: a fifth of the examples is 8 % of the frames. A reflection is long: a seventh is a third.
TASKS = {
    "generate": 0.32, "speak": 0.20, "name": 0.06, "question": 0.10, "transcribe": 0.08, "enrich": 0.05, "converse": 0.01,
    "reflect": 0.12, "check": 0.035, "hear": 0.02, "talk": 0.005,
}  # fmt: skip
LISTENING = ("name", "question", "transcribe", "hear")  # tasks
RECORDED_SHARE = 0.5  # of the single sounds that are heard: recordings are more varied than made sounds
MOST_QUESTIONS = 8  # about one clip
LONGEST_STRING = 3  # digits that it is asked to say


class Dialogues:
    """Draws examples of every task."""

    def __init__(self, builder: PromptBuilder, written: list[Clip], heard: list[Clip], tasks: dict[str, float] = TASKS):
        self.builder = builder
        self.pen = Pen(written, builder.vocabulary)
        self.abridged_share = ABRIDGED_SHARE
        self.recorded = _by_label(c for c in heard if c.scene and not c.counted)
        self.staged = [c for c in heard if c.scene and c.counted]
        self.staged_foregrounds = [c for c in self.staged if not c.scene.background]
        self.overheard = [c for c in heard if c.words]
        self.tasks = {name: share for name, share in tasks.items() if heard or name not in LISTENING}

    def draw(self) -> Example:
        task = random.choices(list(self.tasks), list(self.tasks.values()))[0]
        return getattr(self, f"_{task}")()

    def _ask(self, text: str) -> Conversation:
        return self.builder.conversation(Part(TEXT, text=text))

    def _scene(self, planned: bool = False) -> tuple[Scene, Written]:
        """Draws a scene to write; with `planned`, mostly one of several sounds."""
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
        if len(scene.sounds) == 1 and not scene.background and random.random() < PLAIN_SHARE:
            label = scene.sounds[0].label
            return self._made(self._ask(world.request(scenes.plain_request(label))), self.pen.plain(label))
        asked = world.request(scenes.request(scene))
        return self._made(self._ask(asked), written)

    def _speak(self) -> Example:
        if random.random() < 0.2:
            words = [random.choice(PHRASES)]
        else:
            words = random.choices(DIGITS, k=random.randint(1, LONGEST_STRING))
        while not (voices := self.pen.voices_of(words)):
            words = words[:-1]  # some voice says a single word
        voice = random.choice(voices)
        conversation = self._ask(world.say(words)).sound(SPEECH, *self.pen.speech(words, voice))
        return conversation.example(random.random() < GUIDED_SHARE)

    def _name(self) -> Example:
        """Asks for the name of a single sound."""
        if random.random() < 0.08:
            clip = random.choice(self.overheard)
            name = world.SPEECH_NAME
        else:
            labels = world.RECORDED if random.random() < RECORDED_SHARE else self.recorded
            label = random.choice(list(labels))
            clip = random.choice(self.recorded[label])
            name = world.CONCEPTS[label].name
        if random.random() < 0.6:
            asked, answer = random.choice(world.QUESTIONS)
            answer = answer.format(name)
        elif random.random() < 0.5:
            asked = random.choice(world.DESCRIBE)
            answer = f"I hear {name}."
        else:
            asked, answer = scenes.presence(clip.scene.labels if clip.scene else [], name)
        return self._heard(clip, asked, answer).example()

    def _question(self) -> Example:
        """Asks a few questions, one after the other, about a scene of several sounds."""
        clip = random.choice(self.staged)
        conversation = self._heard(clip, *scenes.question(clip.scene))
        for _ in range(random.randrange(MOST_QUESTIONS)):
            asked, answer = scenes.further_question(clip.scene)
            conversation.user(Part(TEXT, text=world.worded(asked))).text(answer)
        return conversation.example()

    def _heard(self, clip: Clip, asked: str, answer: str) -> Conversation:
        parts = [Part(AUDIO, features=clip.data, guides=clip.guides()), Part(TEXT, text=world.worded(asked))]
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
        """Asks back, gets an answer, then plans and makes the sound."""
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
        conversation.text(scenes.plan(scene, written.spans), last=False)
        return conversation.sound(AUDIO, written.frames, written.weights, written.guides).example()

    def _reflect(self) -> Example:
        """Plans, makes a draft that is often flawed, criticizes it, and makes the planned sound.

        A flawed draft is input but not a target: the model must recognise its faults, not make them. The correct parts of the
        draft stay the same in the final sound.
        """
        wanted, made = self._wanted_and_made(FLAWED_SHARE)
        conversation, final = self._criticized(wanted, made, self._abridges(wanted))
        return self._made(conversation, final)

    def _check(self) -> Example:
        """Does the same without the final sound: verdicts need many examples, and this halves the frames."""
        wanted, made = self._wanted_and_made(CHECKED_FLAWED)
        abridge = self._abridges(wanted) or random.random() < CHECKED_ABRIDGED
        return self._criticized(wanted, made, abridge)[0].example()

    def _hear(self) -> Example:
        """Reflects on a draft that it hears, in a turn of its own (`ualm reason --listen`)."""
        clip = random.choice(self.staged_foregrounds)
        made = clip.scene
        wanted = scenes.flawed(made) if random.random() < FLAWED_SHARE else made
        if scenes.is_held_out(wanted):
            wanted = made
        conversation, final = self._criticized(wanted, made, self._abridges(wanted), heard=clip)
        return self._made(conversation, final)

    def _wanted_and_made(self, flawed_share: float) -> tuple[Scene, Scene]:
        wanted = self._foreground()
        return wanted, scenes.flawed(wanted) if random.random() < flawed_share else wanted

    def _criticized(self, wanted: Scene, made: Scene, abridge: bool, heard: Clip | None = None) -> tuple[Conversation, Written]:
        """Returns a conversation with plan, draft and critique, and the final sound; the next turn has the draft as `heard`, if given."""
        units = self.pen.choose(*wanted.labels, *made.labels)
        final = self.pen.scene(wanted, units, abridge)
        draft = self.pen.scene(made, units, abridge)
        asked = world.worded(world.REFLECT.format(scenes.request(wanted)))
        conversation = self._ask(asked).text(scenes.plan(wanted, final.spans), last=False)
        conversation.sound(AUDIO, draft.frames, draft.weights, draft.guides, last=heard is not None, learned=made == wanted)
        if heard:
            conversation.user(Part(AUDIO, features=heard.data, guides=heard.guides()))
        return conversation.text(scenes.critique(wanted, made), last=False), final

    @staticmethod
    def _made(conversation: Conversation, written: Written) -> Example:
        """Ends the conversation with the sound, sometimes under guidance too."""
        return conversation.sound(AUDIO, written.frames, written.weights, written.guides).example(random.random() < GUIDED_SHARE)

    def _talk(self) -> Example:
        asked, answer = world.talk()
        return self._ask(asked).text(answer).example()


def corpus(count: int = 4000) -> list[str]:
    """Draws texts for training the tokenizer."""
    texts = []
    for _ in range(count):
        scene = scenes.draw()
        spans = [Span(s, random.random() * 3, random.random() * 6) for s in scene.sounds]
        words = random.choices(DIGITS, k=random.randint(1, 4))
        texts += [world.request(scenes.request(scene)), *scenes.question(scene), scenes.plan(scene, spans)]
        texts += [scenes.critique(scene, scenes.flawed(scene)), world.request(scenes.plain_request(scene.labels[0])), world.say(words), " ".join(words), world.transcribe(), *world.talk()]
        texts += [world.ENRICH, world.REFLECT, world.DIALOGUE, world.COUNTED, world.CONTINUED, world.say([random.choice(world.PHRASES)])]
    return texts


def _by_label(clips) -> dict[str, list[Clip]]:
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.scene.labels[0], []).append(clip)
    return groups
