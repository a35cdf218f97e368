"""The settings of a training run, and access to the parts that its stages stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from . import recover
from .codec import train_jointly
from .codec.spectral_codec import SpectralCodec, SpectralCodecConfig
from .data import recordings
from .data.recordings import HoldOut, Recording
from .encoder import align_adaptor
from .encoder.audio_tower import AudioTower, AudioTowerConfig
from .encoder.train_encoder import EncoderTrainer
from .errors import TrainingError
from .language_model import clips, dialogue, tokenizer
from .language_model.conversation import PromptBuilder
from .language_model.dialogue import Dialogues
from .language_model.model import LanguageModel, LanguageModelConfig
from .language_model.train_llm import LanguageModelTrainer
from .language_model.vocabulary import Vocabulary
from .storage import load_weights
from .world import small_world


@dataclass
class Recipe:
    """The folders and options of a run. Each property and method loads a part from the work folder."""

    data: Path | None
    work: Path
    hold_out: HoldOut | None
    half_trained: bool
    device: torch.device
    batch: int | None = None
    processes: int = 1  # of the stages `hearing`, `speech`, `encoder` and `llm`

    def recordings_folder(self) -> Path:
        if self.data is None:
            raise TrainingError("--data is missing: the folder that holds esc10/ and spoken-digits/")
        return self.data

    @property
    def recordings(self) -> list[Recording]:
        return recordings.load(self.work / "recordings.npz")

    @property
    def divided(self) -> tuple[list[Recording], list[Recording]]:
        """The training and the validation recordings."""
        return recordings.split(self.recordings, self.hold_out)

    def codec(self) -> SpectralCodec:
        joint = self.work / train_jointly.CODEC_FILE
        if joint.exists():
            return load_weights(joint, SpectralCodec(train_jointly.CONFIG))
        trained = self.work / "decoder.pt"
        return load_weights(trained if trained.exists() else self.work / "codec.pt", SpectralCodec(SpectralCodecConfig()))

    def encoder(self) -> EncoderTrainer:
        return load_weights(self.work / "encoder.pt", EncoderTrainer(list(small_world.CONCEPTS)))

    def tower(self) -> AudioTower:
        return self.encoder().tower

    def tokenizer(self) -> Tokenizer:
        path = self.work / "tokenizer.json"
        if not path.exists():
            tokenizer.train(dialogue.corpus(), LanguageModelConfig().vocab_size).save(str(path))
        return Tokenizer.from_file(str(path))

    def language_model(self) -> LanguageModel:
        """Builds a language model with fresh weights."""
        config = LanguageModelConfig()
        codec = SpectralCodecConfig()
        vocabulary = Vocabulary(config.vocab_size, codec.num_codebooks, codec.codebook_size)
        return LanguageModel(config, vocabulary, AudioTowerConfig().output_dim)

    def start_of_llm(self) -> Path | None:
        """Returns the file of the language model's initial weights: those of the package; `None` without a package.

        If the tower was trained since, the adaptor is fitted to it.
        """
        folder = self.work / recover.START
        start = folder / "llm.pt"
        if not start.exists():
            return None
        if not (self.work / "encoder.pt").exists():
            return start
        aligned = folder / "llm-aligned.pt"
        if not aligned.exists():
            old = load_weights(folder / "encoder.pt", EncoderTrainer(list(small_world.CONCEPTS)), strict=False).tower
            align_adaptor.write_aligned(start, old, self.tower(), self.divided[0], aligned)
        return aligned

    def prompts(self, model: LanguageModel) -> PromptBuilder:
        return PromptBuilder(model.vocabulary, self.tokenizer(), model.adaptor["continuous_audio"].in_features)

    def trained_language_model(self) -> LanguageModel:
        return load_weights(self.work / "llm.pt", LanguageModelTrainer(self.language_model())).model

    def dialogues(self, model: LanguageModel) -> Dialogues:
        heard = self.work / "heard.npz"
        if not heard.exists():
            print("heard.npz is missing: only tasks without listening are trained")
        heard_clips = clips.load(heard) if heard.exists() else []
        return Dialogues(self.prompts(model), clips.load(self.work / "written.npz"), heard_clips)
