"""The parts of a UALM model, from its configs."""

from collections.abc import Mapping
from dataclasses import dataclass

from ...codecs import codec_from_config
from ...config import Config
from ...enhancer import Enhancer
from ...parts import CodecGraphs, Parts, Text
from ...random_weights import RandomTensors
from .audio_encoder import UNUSED_TENSORS as UNUSED_BY_ENCODER
from .audio_encoder import audio_encoder
from .language_model import EMBEDDING, STREAMS, decoder, embedding, heads
from .language_model import UNUSED_TENSORS as UNUSED_BY_LANGUAGE_MODEL
from .template import FAMILY, modalities, template
from .vocabulary import SPECIAL, Vocabulary

CODEC_PREFIX = "multimodal_io_dict.discrete_audio.codec_model."

_PROMPTS = {"ask": "Describe the audio.", "transcribe": "Transcribe the speech."}
_LIMITS = {"input_seconds": 600.0}
_TABLES = ("embed_tokens.weight", "codebook.embed", STREAMS)


@dataclass(frozen=True)
class Configs:
    """The configs of a checkpoint, and the choices of train.yaml."""

    language_model: Config
    codec: Config
    audio_encoder: Config
    text_size: int
    """Size of the text interval."""
    io_names: list[str]
    """Names of the discrete inputs and outputs, in the order that lays out the vocabulary."""
    encoder_choice: str = ""
    """The trainer's name of the audio encoder: AFWhisper, huggingface."""


def parts_of(
    configs: Configs, tensors: Mapping, max_positions: int | None = None, enhancer: Enhancer | None = None
) -> Parts:
    """Returns the parts of the model; only names and shapes of the tensors are used."""
    streams = tensors[STREAMS].shape[0] if STREAMS in tensors else None
    codec = codec_from_config(configs.codec, CODEC_PREFIX, streams)
    vocabulary = Vocabulary.layout(configs.io_names, configs.text_size, codec.books, codec.codebook_size)
    body = decoder(configs.language_model, max_positions)
    encoder = audio_encoder(configs.audio_encoder, tensors, body.hidden_size, configs.encoder_choice)
    return Parts(
        family=FAMILY,
        text=Text(vocabulary.text, zero_is_pad=True),
        embedding=embedding(vocabulary, body.hidden_size),
        decoder=body,
        heads=heads(configs.language_model, tensors, vocabulary, body.hidden_size),
        modalities=modalities(
            SPECIAL, vocabulary.text, vocabulary.audio, codec.name, "enhancer" if enhancer else None
        ),
        template=template(SPECIAL),
        audio_encoder=encoder,
        codecs={codec.name: CodecGraphs(codec, decoder="codec_decoder", encoder="codec_encoder")},
        enhancers={"enhancer": enhancer} if enhancer else {},
        prompts=_PROMPTS,
        limits=_LIMITS,
        unused_tensors=UNUSED_BY_LANGUAGE_MODEL + UNUSED_BY_ENCODER + codec.unused_tensors(),
    )


def random_tensors(parts: Parts, seed: int = 0) -> RandomTensors:
    """Returns random weights of the model, like its trainer's initial ones: the pad embeds to zero."""
    return RandomTensors(parts.tensor_shapes(), seed, _TABLES, zero_row=EMBEDDING)
