"""The stages of a training run, in order. A stage that stores a single result is skipped if the result exists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from . import checkpoint, parallel, recover
from .codec import fit, train_decoder, train_jointly
from .data import prepare
from .encoder import leave_one_out, train_encoder
from .encoder.train_encoder import Course
from .language_model import clips, heard, train_llm, written
from .language_model.train_llm import LanguageModelTrainer
from .recipe import Recipe
from .storage import finished


class Stage(NamedTuple):
    """One stage of a run."""

    run: Callable[[Recipe, float | None], None]  # with its budget in minutes
    minutes: float | None = None  # the default budget, for a stage that trains
    needs_gpu: bool = False  # on a CPU it runs only if asked for by name


def _data(recipe: Recipe, _: float | None) -> None:
    archive = recipe.work / "recordings.npz"
    if not archive.exists():
        prepare.prepare(recipe.recordings_folder(), archive)


def _codec(recipe: Recipe, _: float | None) -> None:
    path = recipe.work / "codec.pt"
    if not path.exists() and not (recipe.work / train_jointly.CODEC_FILE).exists():
        fit.fit(recipe.divided[0], path)


def _decoder(recipe: Recipe, minutes: float) -> None:
    if (recipe.work / train_jointly.CODEC_FILE).exists():
        print(f"{train_jointly.CODEC_FILE} holds a decoder of its own: nothing to do")
    else:
        train_decoder.train(recipe.divided[0], recipe.work / "codec.pt", recipe.work / "decoder.pt", minutes)


def _joint(recipe: Recipe, minutes: float) -> None:
    decoder = recipe.work / "decoder.pt"
    start = decoder if decoder.exists() else recipe.work / "codec.pt"
    batch = recipe.batch or train_jointly.BATCH
    train_jointly.train(recipe.divided[0], start, recipe.work / "joint.pt", minutes, recipe.device, batch=batch)


def _hearing(recipe: Recipe, minutes: float) -> None:
    parallel.run(recipe.processes, _train_on_voices, recipe, minutes, "hearing", train_encoder.HEARING, None)


def _speech(recipe: Recipe, minutes: float) -> None:
    start = finished(recipe.work / "hearing.pt")
    parallel.run(recipe.processes, _train_on_voices, recipe, minutes, "speech", train_encoder.SPEECH, start)


def _train_on_voices(recipe: Recipe, minutes: float, stage: str, course: Course, start: Path | None) -> None:
    """Trains the audio tower without the recorded speakers."""
    training, validation = recipe.divided
    voices = leave_one_out.without_speakers(training)
    train_encoder.train(voices, validation, recipe.work / f"{stage}.pt", minutes, course, start)


def _speakers(recipe: Recipe, minutes: float) -> None:
    spoken = [r for r in recipe.recordings if r.kind == "digit"]
    others = leave_one_out.without_speakers(recipe.divided[0])
    leave_one_out.measure(others + spoken, recipe.work / "speech.pt", recipe.work / "speakers", minutes)


def _encoder(recipe: Recipe, minutes: float) -> None:
    parallel.run(recipe.processes, _train_encoder, recipe, minutes)
    print(f"encoder, on all held-out recordings: {train_encoder.validate(recipe.encoder(), recipe.divided[1])}", flush=True)


def _train_encoder(recipe: Recipe, minutes: float) -> None:
    candidates = (recipe.work / "speech.pt", recipe.work / "hearing.pt", recipe.work / recover.START / "encoder.pt")
    start = next((path for path in candidates if path.exists()), None)
    train_encoder.train(*recipe.divided, recipe.work / "encoder.pt", minutes, train_encoder.ENCODER, start)


def _written(recipe: Recipe, _: float | None) -> None:
    path = recipe.work / "written.npz"
    if not path.exists():
        written.select(recipe.divided[0], recipe.codec(), path)


def _heard(recipe: Recipe, _: float | None) -> None:
    path = recipe.work / "heard.npz"
    if not path.exists():
        written_clips = clips.load(recipe.work / "written.npz")
        heard.build(recipe.divided[0], written_clips, recipe.codec(), recipe.tower(), path)


def _llm(recipe: Recipe, minutes: float) -> None:
    recipe.tokenizer()  # made here, not by each process
    parallel.run(recipe.processes, _train_llm, recipe, minutes, recipe.start_of_llm())


def _train_llm(recipe: Recipe, minutes: float, start: Path | None) -> None:
    model = recipe.language_model()
    train_llm.train(LanguageModelTrainer(model), recipe.dialogues(model), recipe.work / "llm.pt", minutes, start)


def _checkpoint(recipe: Recipe, _: float | None) -> None:
    checkpoint.write(
        recipe.work / "checkpoint",
        recipe.trained_language_model(),
        recipe.tower(),
        recipe.codec(),
        recipe.tokenizer(),
        checkpoint.attribution(recipe.recordings_folder()),
        recipe.half_trained,
    )


STAGES = {
    "data": Stage(_data),
    "codec": Stage(_codec),
    "decoder": Stage(_decoder, 60.0),
    "joint": Stage(_joint, 9.0, needs_gpu=True),
    "hearing": Stage(_hearing, 120.0),
    "speech": Stage(_speech, 60.0),
    "speakers": Stage(_speakers, 8.0),  # for each speaker
    "encoder": Stage(_encoder, 60.0),
    "written": Stage(_written),
    "heard": Stage(_heard),
    "llm": Stage(_llm, 360.0),
    "checkpoint": Stage(_checkpoint),
}
