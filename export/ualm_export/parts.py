"""The parts of a model: everything that a package is made of but the weights, with no family in it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .audio_encoder import AudioEncoder
from .blocks.shapes import Shapes
from .codecs import Codec
from .config import Config
from .enhancer import Enhancer
from .graph import Storage
from .language_model import Decoder, Embedding, Head, Interval
from .tensors import TensorStore


@dataclass(frozen=True)
class CodecGraphs:
    """A codec, and the names of its graphs."""

    codec: Codec
    decoder: str
    encoder: str | None = None
    decoder_role: str = "codec_decoder"
    """Column of the decoder among the precisions."""
    most_frames: int | None = None
    """Frames of a sound that are decoded; later ones are dropped."""


@dataclass(frozen=True)
class Modality:
    """The layout of a modality in the sequence; the manifest's contract describes the fields."""

    pattern: str
    books: tuple[Interval, ...]
    head: str
    ends: dict[str, list[int]]
    generation: dict | None
    """Defaults, which a checkpoint's package.json may override; None: those of text."""
    codec: str | None = None
    enhancer: str | None = None
    cap: int | None = None
    strict: bool = True

    def manifest(self, generation: dict | None) -> dict:
        """The modality in the manifest, with `generation` for the defaults; optional fields only where they say something."""
        section = {"pattern": self.pattern, "books": [list(book) for book in self.books], "head": self.head}
        section["ends"] = self.ends
        optional = {"codec": self.codec, "enhancer": self.enhancer, "cap": self.cap}
        section |= {field: value for field, value in optional.items() if value is not None}
        if not self.strict:
            section["strict"] = False
        return section if generation is None else section | {"generation": generation}


@dataclass(frozen=True)
class Text:
    """The ids of the tokenizer's tokens: token t is the id ids[0] + t."""

    ids: Interval
    zero_is_pad: bool = False
    """True: token 0 becomes the pad in a prompt."""


@dataclass(frozen=True)
class Graph:
    """A graph of the package: `role` is its column among the precisions."""

    role: str
    build: Callable[[Path, Storage, Mapping], None]


@dataclass(frozen=True)
class Parts:
    family: str
    """Name in the manifest, for people."""
    text: Text
    embedding: Embedding
    decoder: Decoder
    heads: dict[str, Head]
    """By the name of the graph."""
    modalities: dict[str, Modality]
    template: dict
    """A section of the manifest: the words and ids around messages and segments."""
    audio_encoder: AudioEncoder
    codecs: dict[str, CodecGraphs]
    enhancers: dict[str, Enhancer]
    """By the name of the graph."""
    prompts: dict
    """Defaults, which a checkpoint's package.json may override; so are the limits."""
    limits: dict[str, float]
    unused_tensors: list[str]
    """Patterns of names of tensors that the checkpoint may hold besides."""
    settings: dict[str, dict] = field(default_factory=dict)
    """Settings of text for a purpose (ask, transcribe, converse), where they are others; package.json may override them."""
    reasoning: dict = field(default_factory=dict)
    """How the model reasons in sound; package.json may override the fields."""
    absent: dict[str, str] = field(default_factory=dict)
    """Why a modality that the family has is not there."""

    def tensor_shapes(self) -> Shapes:
        """Names and shapes of all tensors that the graphs need."""
        parts = [self.embedding, self.decoder, *self.heads.values(), self.audio_encoder]
        parts += [graphs.codec for graphs in self.codecs.values()]
        shapes = {}
        for part in parts:
            shapes |= part.tensor_shapes()
        return shapes

    def graphs(self) -> dict[str, Graph]:
        """The graphs that are built, by name."""
        graphs = {"embed": Graph("embed", self.embedding.build), "llm": Graph("llm", self.decoder.build)}
        graphs |= {name: Graph(self._head_role(name), head.build) for name, head in self.heads.items()}
        graphs["audio_encoder"] = Graph("audio_encoder", self.audio_encoder.build)
        for part in self.codecs.values():
            if part.encoder:
                graphs[part.encoder] = Graph("codec_encoder", part.codec.build_encoder)
            graphs[part.decoder] = Graph(part.decoder_role, part.codec.build_decoder)
        return graphs

    def _head_role(self, name: str) -> str:
        """The role of a head: one that only text is drawn from may round more, for text is hardly ever guided."""
        drawn = {modality for modality, layout in self.modalities.items() if layout.head == name}
        return "text_head" if drawn == {"text"} else "head"

    def row_forms(self, storage: Mapping[str, Storage]) -> dict[str, str]:
        """The forms with products by rows that a package of `storage`, by role, gains by: their graphs, by the forms' names.

        A form of a graph of 8 bits takes its place. One of 4-bit weights is for prompts: steps read half as much in 4 bits.
        """
        forms = {8: {"llm": "llm"}, 4: {"prefill": "llm"}}.get(storage["llm"].bits, {})
        return forms | ({"audio_encoder": "audio_encoder"} if storage["audio_encoder"].bits else {})


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, as its family reads it."""

    parts: Parts
    tensors: TensorStore
    tokenizer: bytes
    """tokenizer.json, as it goes into the package."""
    details: Config
    """The optional package.json: name, licence and the like for the manifest."""
    defaults: dict[str, str] = field(default_factory=dict)
    """What the family says of these fields where package.json is silent."""
