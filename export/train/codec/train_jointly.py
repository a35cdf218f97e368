"""Stage `joint`: trains the codec's encoder, codebooks and decoder together, against discriminators.

The stage starts with the fitted projection, the codebooks and the decoder; the network that corrects the latents initially
outputs zero. The codes change, so everything made from codes must be made again. Meant for a GPU, where networks compute in
bfloat16; on a CPU the same code runs in float32, for tests.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .. import mixed_precision
from ..audio import SAMPLING_RATE
from ..data.recordings import Recording
from ..files import write_atomically
from ..storage import Run, begin_with
from ..world.small_world import CONCEPTS
from .adversary import Adversary
from .crops import Crops
from .spectral_codec import SpectralCodec, SpectralCodecConfig
from .spectral_distance import SpectralDistance
from .train_decoder import LEVELS, SHARES

ENCODER_LAYERS = 4
BATCH = 96
PEAK_RATE = 4e-4
BETAS = (0.8, 0.98)
ALONE = 0.05  # share of the budget before the discriminators join
DISTANCE_WEIGHT = 15.0
SCORE_WEIGHT = 2.0
FEATURE_WEIGHT = 4.0
# The next two weights are relative to the spread of the latents.
CODEBOOK_WEIGHT = 1.0
COMMITMENT_WEIGHT = 0.25
REVIVE_EVERY = 200  # steps after which unused entries are replaced
REPORT_SECONDS = 60.0
CODEC_FILE = "joint-codec.pt"
CONFIG = replace(SpectralCodecConfig(), encoder_layers=ENCODER_LAYERS)


class JointTrainer(nn.Module):
    """The codec, its discriminators, and the usage counts of its codes."""

    def __init__(self, config: SpectralCodecConfig = CONFIG, channels: int = 32):
        super().__init__()
        self.codec = SpectralCodec(config)
        self.codec.quantizer.codebooks = nn.Parameter(self.codec.quantizer.codebooks)
        self.adversary = Adversary(channels)
        self.register_buffer("chosen", torch.zeros(config.num_codebooks, config.codebook_size))

    def quantize(self, latents: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the quantized latents [batch, frames, dim], with a straight-through gradient, and the codebook and commitment loss.

        `levels` [batch]: the number of levels that each clip keeps.
        """
        residual = latents
        coded = torch.zeros_like(latents)
        loss = torch.zeros((), device=latents.device)
        spread = latents.detach().var((0, 1)).sum() + 1e-6
        for level, book in enumerate(self.codec.quantizer.codebooks):
            kept = (levels > level)[:, None, None]
            with torch.no_grad():
                codes = self.codec.quantizer.nearest(residual, book)
                self.chosen[level] += torch.bincount(codes.flatten(), minlength=len(book))
            entry = book[codes]
            book_error = (entry - residual.detach()).square().sum(-1, keepdim=True)
            own_error = (entry.detach() - residual).square().sum(-1, keepdim=True)
            loss = loss + ((CODEBOOK_WEIGHT * book_error + COMMITMENT_WEIGHT * own_error) * kept).mean() / spread
            coded = coded + entry.detach() * kept
            residual = residual - entry.detach()
        return latents + (coded - latents).detach(), loss

    @torch.no_grad()
    def keep_zero_entries(self) -> None:
        """Resets entry 0 of every level but the first to zero, so that an omitted level adds nothing."""
        self.codec.quantizer.codebooks[1:, 0] = 0.0

    @torch.no_grad()
    def revive(self, latents: Tensor) -> int:
        """Replaces entries that were never chosen by residuals of their level; returns the number of replaced entries."""
        residual = latents.flatten(0, 1)
        revived = 0
        for level, book in enumerate(self.codec.quantizer.codebooks):
            unused = (self.chosen[level] == 0).nonzero()[:, 0]
            unused = unused[unused > 0] if level else unused
            book[unused] = residual[torch.randint(len(residual), (len(unused),), device=residual.device)]
            revived += len(unused)
            residual = residual - book[self.codec.quantizer.nearest(residual, book)]
        self.chosen.zero_()
        return revived

    def perplexity(self) -> float:
        """Computes the perplexity of the first level: its effective number of codes."""
        share = self.chosen[0] / self.chosen[0].sum().clamp(min=1)
        return float(torch.exp(-(share * torch.log(share + 1e-9)).sum()))


@dataclass
class Losses:
    """The losses of one step."""

    distance: Tensor
    books: Tensor
    score: Tensor
    features: Tensor
    adversary: Tensor

    @property
    def of_codec(self) -> Tensor:
        return DISTANCE_WEIGHT * self.distance + self.books + SCORE_WEIGHT * self.score + FEATURE_WEIGHT * self.features


def losses(trainer: JointTrainer, target: Tensor, distance: SpectralDistance, adversarial: bool) -> tuple[Losses, Tensor]:
    """Computes the losses, and the latents of the batch."""
    codec = trainer.codec
    decoder = trainer.codec.decoder
    batch = len(target)
    device = target.device
    with torch.no_grad():
        energies = codec.encoder.energies(target)
    with mixed_precision.networks(device):
        correction = codec.encoder.correction(energies)
    latents = codec.encoder.projection(energies) + correction.float()
    levels = torch.tensor(LEVELS, device=device).repeat(-(-batch // len(LEVELS)))[:batch]
    coded, books = trainer.quantize(latents, levels)
    with mixed_precision.networks(device):
        spectrum = decoder.spectrum(coded)
    spectrum = spectrum.float()
    tones = decoder.tones(spectrum, first_frame=int(np.random.randint(codec.config.noise_period)))
    first, second = (tones + decoder.shaped(spectrum, decoder.fresh_noise(spectrum.shape[1], batch)) for _ in range(2))
    score = features = judged = torch.zeros((), device=device)
    if adversarial:
        judged = trainer.adversary.loss(target, first)
        trainer.adversary.requires_grad_(False)
        score, features = trainer.adversary.against(target, first)
        trainer.adversary.requires_grad_(True)
    return Losses(distance.energy(target, first, second), books, score, features, judged), latents.detach()


def step(trainer: JointTrainer, optimizer: torch.optim.Optimizer, target: Tensor, distance: SpectralDistance, adversarial: bool) -> tuple[Losses, Tensor]:
    """Updates the codec and the discriminators once."""
    result, latents = losses(trainer, target, distance, adversarial)
    optimizer.zero_grad()
    result.of_codec.backward()
    if adversarial:
        result.adversary.backward()
    torch.nn.utils.clip_grad_norm_(trainer.codec.parameters(), 1.0)
    torch.nn.utils.clip_grad_norm_(trainer.adversary.parameters(), 1.0)
    optimizer.step()
    trainer.keep_zero_entries()
    return result, latents


def train(
    training: list[Recording], start: Path, path: Path, minutes: float, device: torch.device, batch: int = BATCH, trainer: JointTrainer | None = None
) -> None:
    """Trains from the codec in `start`. The state goes to `path`, the codec alone to a file beside it, every minute."""
    trainer = trainer or JointTrainer()
    if not path.exists():
        begin_with(start, trainer.codec)
    trainer.to(device).train()
    groups = [{"params": list(part.parameters()), "weight_decay": 1e-3} for part in (trainer.codec, trainer.adversary)]
    run = Run(path, minutes, trainer, torch.optim.AdamW(groups, betas=BETAS), PEAK_RATE)
    kept = [r for r in training if r.kind != "made" or r.label in CONCEPTS]
    crops = Crops(kept, SHARES, SAMPLING_RATE, device)
    distance = SpectralDistance(trainer.codec.config.sampling_rate).to(device)
    sums = torch.zeros(len(fields(Losses)), device=device)
    count = 0
    reported = 0.0
    revived = 0
    for number in run.steps():
        result, latents = step(trainer, run.optimizer, crops.draw(batch), distance, run.progress > ALONE)
        sums += torch.stack([getattr(result, field.name) for field in fields(Losses)]).detach()
        count += 1
        if run.elapsed - reported > REPORT_SECONDS or run.progress >= 1.0:
            means = zip((field.name for field in fields(Losses)), (sums / count).tolist())
            shown = " ".join(f"{name} {value:.4f}" for name, value in means)
            print(f"joint {number + 1} {run.elapsed:.0f}s {shown} first level uses {trainer.perplexity():.0f} codes, {revived} revived", flush=True)
            sums = torch.zeros_like(sums)
            count = 0
            reported = run.elapsed
            revived = 0
            save_codec(trainer, path.with_name(CODEC_FILE))
        if (number + 1) % REVIVE_EVERY == 0 and run.progress < 0.8:
            revived += trainer.revive(latents)
    save_codec(trainer, path.with_name(CODEC_FILE))


def save_codec(trainer: JointTrainer, path: Path) -> None:
    """Writes the codec without the parts that only its training needs."""
    state = {"model": {name: value.detach().cpu() for name, value in trainer.codec.state_dict().items()}}
    write_atomically(path, lambda file: torch.save(state, file))
