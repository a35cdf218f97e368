"""Stage `llm`: trains the language model and the adaptor on the cached examples."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import mixed_precision
from ..storage import Run
from .clips import WRITTEN_LEVELS
from .conversation import IGNORE, Example
from .dialogue import ABRIDGED_SHARE, Dialogues
from .guides import Guides
from .model import LanguageModel

FRAMES_PER_BATCH = 2000
POOL = 96  # examples that are sorted by length and divided into batches
PEAK_RATE = 1.5e-3
CONTINUED_ABRIDGED = 0.4  # of the scenes, at the start of a continued training
CONTINUED_RATE = 1e-3  # for weights that were trained before
GUIDANCE = 3.0  # as in the paper's sampling
REPORT_SECONDS = 60.0
TEXT_WEIGHT = 2.0  # of a text token, relative to a whole frame of sound
GUIDE_WEIGHT = (1.0, 0.1)  # of a frame's guides, at the start and at the end
STREAM_WEIGHTS = (0.26, 0.21, 0.17, 0.14, 0.11, 0.09, 0.01, 0.01)  # the last two always have code 0: one of them in each step suffices


@dataclass
class Batch:
    frames: Tensor  # [batch, n, streams]
    slots: Tensor  # [batch, n]
    features: Tensor  # [slots set, size]
    text_targets: Tensor  # [batch, n]: the token of stream 0 after each position, IGNORE elsewhere
    sound_targets: Tensor  # [batch, n, streams]: index into each stream's audio logits
    weights: Tensor  # [batch, n, streams]
    guides: Tensor  # [batch, n, 6]
    prompted: Tensor  # [batch]: for a row without its prompt the index of the row with it, for any other row its own


class LanguageModelTrainer(nn.Module):
    """The language model with the heads that only its training needs."""

    def __init__(self, model: LanguageModel):
        super().__init__()
        self.model = model
        self.guides = Guides(model.config.hidden_size)


def collate(examples: list[Example]) -> Batch:
    prompted = [*range(len(examples)), *(row for row, e in enumerate(examples) if e.prompt)]
    examples = examples + [e.without_prompt() for e in examples if e.prompt]
    count = len(examples)
    longest = max(len(e.frames) for e in examples)
    streams = examples[0].frames.shape[1]
    frames = np.zeros((count, longest, streams), np.int64)
    slots = np.zeros((count, longest), bool)
    text = np.full((count, longest), IGNORE, np.int64)
    sound = np.full((count, longest, streams), IGNORE, np.int64)
    weights = np.ones((count, longest, streams), np.float32)
    guided = np.full((count, longest, examples[0].guides.shape[1]), IGNORE, np.int64)
    for row, e in enumerate(examples):
        end = len(e.frames)
        frames[row, :end] = e.frames
        slots[row, :end] = e.slots
        text[row, :end] = e.text_targets
        sound[row, :end] = e.sound_targets
        weights[row, :end] = e.weights
        guided[row, :end] = e.guides
    features = np.concatenate([e.features for e in examples]).astype(np.float32)
    return Batch(*map(torch.from_numpy, (frames, slots, features, text, sound, weights, guided, np.array(prompted))))


def batches(dialogues: Dialogues) -> Iterator[Batch]:
    """Yields batches of examples of similar length, in random order, without end."""
    while True:
        pool = sorted((dialogues.draw() for _ in range(POOL)), key=lambda e: len(e.frames))
        groups = []
        group = []
        rows = 0
        for example in pool:
            rows += example.rows
            if group and rows * len(example.frames) > FRAMES_PER_BATCH:
                groups.append(group)
                group = []
                rows = example.rows
            group.append(example)
        groups.append(group)
        random.shuffle(groups)
        for group in groups:
            yield collate(group)


def losses(trainer: LanguageModelTrainer, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the weighted, summed cross-entropies of the text tokens and of the sound frames, and the mean loss of the guides.

    A row without its prompt exists for guidance alone. Its logits are therefore trained after guidance is applied to them and
    to the logits of the row with the prompt; the latter get no gradient from it.
    """
    model = trainer.model
    embeddings = model.embed(batch.frames, batch.features, batch.slots)
    says = batch.text_targets != IGNORE
    with mixed_precision.networks():
        hidden = model(embeddings).float()
        written = model.text_logits(hidden[says]).float()
    text = F.cross_entropy(written, batch.text_targets[says], reduction="none")
    text = (text * batch.weights[says][:, 0]).sum()
    sounds = batch.sound_targets[..., 0] != IGNORE
    reached = hidden[sounds]
    targets = batch.sound_targets[sounds]
    weights = batch.weights[sounds]
    guided = (batch.prompted != torch.arange(len(batch.prompted)))[:, None].expand_as(sounds)[sounds].nonzero()[:, 0]
    prompted = hidden.detach()[batch.prompted][sounds][guided]
    sound = torch.zeros(())
    if len(reached):
        heads = model.audio_heads()
        for stream in (*range(WRITTEN_LEVELS), random.randrange(WRITTEN_LEVELS, len(STREAM_WEIGHTS))):
            with mixed_precision.networks():
                logits = model.audio_logits(reached, stream, heads).float()
            if len(guided):
                with torch.no_grad(), mixed_precision.networks():
                    conditional = model.audio_logits(prompted, stream, heads).float()
                logits = logits.index_put((guided,), GUIDANCE * conditional + (1 - GUIDANCE) * logits[guided])
            loss = F.cross_entropy(logits, targets[:, stream], ignore_index=IGNORE, reduction="none")
            sound = sound + STREAM_WEIGHTS[stream] * (loss * weights[:, stream]).sum()
    asked = (batch.guides != IGNORE).any(-1)
    guide = trainer.guides.loss(hidden[asked], batch.guides[asked]) if asked.any() else torch.zeros(())
    return text, sound, guide


def parameter_groups(model: nn.Module) -> list[dict]:
    """Applies weight decay to matrices only, not to embeddings, norms and biases."""
    decayed = []
    plain = []
    for name, parameter in model.named_parameters():
        (decayed if parameter.ndim == 2 and "emb" not in name else plain).append(parameter)
    return [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]


def train(
    trainer: LanguageModelTrainer, dialogues: Dialogues, path: Path, minutes: float, start: Path | None = None, peak: float | None = None
) -> None:
    """Trains until the budget of minutes is used up, from the weights in `start` if that file exists, then at a lower rate."""
    begins = start is not None and start.exists()
    optimizer = torch.optim.AdamW(parameter_groups(trainer), betas=(0.9, 0.95))
    run = Run(path, minutes, trainer, optimizer, peak or (CONTINUED_RATE if begins else PEAK_RATE), start)
    stream = batches(dialogues)
    trainer.train()
    average = None
    reported = 0.0
    for step in run.steps(warm_up=150):
        dialogues.abridged_share = (CONTINUED_ABRIDGED if begins else ABRIDGED_SHARE) * (1 - run.progress)
        guide_weight = GUIDE_WEIGHT[0] + (GUIDE_WEIGHT[1] - GUIDE_WEIGHT[0]) * run.progress
        batch = next(stream)
        text, sound, guide = losses(trainer, batch)
        texts = int((batch.text_targets != IGNORE).sum())
        sounds = int((batch.sound_targets[..., 0] != IGNORE).sum())
        loss = (TEXT_WEIGHT * text + sound) / (TEXT_WEIGHT * texts + sounds) + guide_weight * guide
        optimizer.zero_grad()
        loss.backward()
        run.group.average_gradients(trainer)
        torch.nn.utils.clip_grad_norm_(trainer.parameters(), 1.0)
        optimizer.step()
        sums = np.array([text.item(), texts, sound.item(), sounds, guide.item(), batch.frames[..., 0].numel()])
        average = sums if average is None else 0.98 * average + 0.02 * sums
        if run.group.rank == 0 and run.elapsed - reported > REPORT_SECONDS:
            reported = run.elapsed
            print(
                f"llm {step + 1} {run.elapsed:.0f}s text {average[0] / average[1]:.3f} "
                f"sound {average[2] / max(average[3], 1e-6):.3f} guides {average[4]:.3f} frames a step {average[5]:.0f}",
                flush=True,
            )
