"""The parts of an Audex model, from its configs and its tokenizer."""

from collections.abc import Mapping
from dataclasses import dataclass

from ...codecs import Codec
from ...codecs.causal_speech import CausalSpeech
from ...codecs.xcodec import XCodec
from ...config import Config
from ...errors import ExportError, Faults
from ...options import Options
from ...parts import CodecGraphs, Parts, Text
from .audio_encoder import ENCODER_PREFIX, PROJECTOR_PREFIX, audio_encoder
from .chat_schema import END_OF_THINKING, ChatSchema
from .language_model import UNUSED_TENSORS, decoder, embedding, head_matrix
from .modalities import GENERATED_LEVELS, Layout, check_symbols
from .prompts import LIMITS, PROMPTS, REASONING, SETTINGS
from .template import AUDIO_END, AUDIO_START, SPEECH_END, SPEECH_START, UNKNOWN, end_of_thinking, heard_sound, template
from .tokens import Tokens

FAMILY = "audex"
SPEECH_PREFIX = "speech_decoder."
XCODEC_PREFIX = "xcodec."
ENCODER_PREFIXES = (ENCODER_PREFIX, PROJECTOR_PREFIX)
_MOST_AUDIO_FRAMES = 500
_NO_XCODEC = "the package was exported without X-codec: export it again with --xcodec"


@dataclass(frozen=True)
class Configs:
    language_model: Config
    full: Config
    """The config of checkpoint_folder_full, which describes the audio encoder."""
    speech_decoder: Config
    xcodec: Config | None
    ends: int | list[int]
    """The eos ids."""


def parts_of(configs: Configs, tokens: Tokens, chat: ChatSchema, tensors: Mapping, options: Options) -> Parts:
    """Returns the parts of the model; only names and shapes of the tensors are used."""
    config = configs.language_model
    body = decoder(config, options.max_positions)
    table = embedding(config)
    speech, xcodec = _codecs(configs)
    codes = xcodec.codebook_size if xcodec else None
    layout = _layout(configs, tokens, chat, codes, options.has_sliced_heads)
    codecs = {"xcodec": CodecGraphs(xcodec, "audio_decoder", most_frames=_MOST_AUDIO_FRAMES)} if xcodec else {}
    codecs["speech"] = CodecGraphs(speech, "speech_decoder", decoder_role="speech_decoder")
    scale = config.number("logit_scale", default=1.0)
    return Parts(
        family=FAMILY,
        text=Text((0, tokens.size)),
        embedding=table,
        decoder=body,
        heads=layout.heads(head_matrix(config, tensors), table.size, body.hidden_size, scale),
        modalities=layout.modalities(),
        template=template(chat, tokens, _sound(configs.full, tokens), has_audio=xcodec is not None),
        audio_encoder=audio_encoder(configs.full, body.hidden_size),
        codecs=codecs,
        enhancers={},
        prompts=PROMPTS,
        limits=LIMITS,
        unused_tensors=UNUSED_TENSORS + [name for part in codecs.values() for name in part.codec.unused_tensors()],
        settings=SETTINGS,
        reasoning=REASONING,
        absent={} if xcodec else {"audio": _NO_XCODEC},
    )


def check_tokens(configs: Configs, tokens: Tokens) -> None:
    """Refuses a tokenizer that lacks tokens of the model, or whose codec symbols do not match the codecs' codes."""
    faults = Faults()
    with faults.kept():
        needed = [SPEECH_START, SPEECH_END, UNKNOWN, END_OF_THINKING, *_sound_names(configs.full).values()]
        tokens.require(needed + ([AUDIO_START, AUDIO_END] if configs.xcodec else []))
    with faults.kept():
        speech, xcodec = _codecs(configs)
        codes = xcodec.codebook_size if xcodec else None
        check_symbols(tokens, speech.codebook_size, codes, embedding(configs.language_model).size)
    faults.raise_all(f"{tokens.source} does not fit the model:")


def _codecs(configs: Configs) -> tuple[CausalSpeech, Codec | None]:
    """Returns the decoders of speech and, if given, of general audio."""
    configs.speech_decoder.require("model_type", ["audex_causal_speech_decoder"])
    speech = CausalSpeech(configs.speech_decoder, SPEECH_PREFIX)
    if configs.xcodec is None:
        return speech, None
    configs.xcodec.require("model_type", ["xcodec"])
    return speech, XCodec(configs.xcodec, XCODEC_PREFIX, GENERATED_LEVELS, encodes=False)


def _layout(configs: Configs, tokens: Tokens, chat: ChatSchema, codes: int | None, sliced: bool) -> Layout:
    eos = _eos(configs)
    closing = tokens.writer().pieces(chat.turns["assistant"].close)[:1]
    if not closing or not isinstance(closing[0], int):
        raise ExportError(
            f"{chat.source}: an assistant's turn closes with {chat.turns['assistant'].close!r}; "
            "expected the name of an added token first, which ends an answer"
        )
    return Layout(
        tokens=tokens,
        ends=list(dict.fromkeys([*closing, *eos])),
        eos=eos,
        end_of_thinking=end_of_thinking(tokens),
        speech_end=tokens.id(SPEECH_END),
        audio_end=tokens.id(AUDIO_END) if codes else None,
        codes=codes,
        sliced=sliced,
    )


def _eos(configs: Configs) -> list[int]:
    """Returns the eos ids; the config has one or several."""
    ends = configs.ends if isinstance(configs.ends, list) else [configs.ends]
    if not ends or not all(isinstance(token, int) for token in ends):
        raise ExportError(f"{configs.language_model.source}: eos_token_id is {configs.ends!r}; expected ids")
    return list(dict.fromkeys(ends))


def _sound(config: Config, tokens: Tokens) -> dict:
    """Returns the tokens around sound that is heard; their names are in the config."""
    found = _sound_names(config)
    for field, name in found.items():
        config.require(f"{field}_id", [tokens.id(name)], default=tokens.id(name))
    return heard_sound(tokens, *found.values())


def _sound_names(config: Config) -> dict[str, str]:
    """Returns the names of the tokens around sound, from the fields of the config."""
    names = {
        "sound_start_token": "<so_start>",
        "sound_token": "<so_embedding>",
        "sound_end_token": "<so_end>",
    }
    return {field: config.get(field, default=name) for field, name in names.items()}
