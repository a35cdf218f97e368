"""The parts of a model: the contents of a package without its weights, independent of any family."""

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
    """Maximum decoded frames of a sound; later ones are dropped."""


@dataclass(frozen=True)
class Modality:
    """The layout of a modality in the sequence; the manifest's contract describes the fields."""

    pattern: str
    books: tuple[Interval, ...]
    head: str
    ends: dict[str, list[int]]
    generation: dict | None
    """Defaults, which a checkpoint's package.json may override; None takes those of text."""
    codec: str | None = None
    enhancer: str | None = None
    cap: int | None = None
    strict: bool = True

    def manifest(self, generation: dict | None) -> dict:
        """Returns the modality's section of the manifest, with `generation` as defaults; optional fields only if they differ from theirs."""
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
    """Heads by the name of their graph."""
    modalities: dict[str, Modality]
    template: dict
    """A section of the manifest: the words and ids around messages and segments."""
    audio_encoder: AudioEncoder
    codecs: dict[str, CodecGraphs]
    enhancers: dict[str, Enhancer]
    """Enhancers by the name of their graph."""
    prompts: dict
    """Defaults, which a checkpoint's package.json may override; so are the limits."""
    limits: dict[str, float]
    unused_tensors: list[str]
    """Patterns of the names of further tensors that the checkpoint may contain."""
    settings: dict[str, dict] = field(default_factory=dict)
    """Settings of text for a purpose (ask, transcribe, converse) that differ from the defaults; package.json may override them."""
    reasoning: dict = field(default_factory=dict)
    """The family's reasoning in sound; package.json may override the fields."""
    absent: dict[str, str] = field(default_factory=dict)
    """Reasons for the absence of the family's other modalities."""

    def tensor_shapes(self) -> Shapes:
        """Returns names and shapes of all tensors that the graphs need."""
        parts = [self.embedding, self.decoder, *self.heads.values(), self.audio_encoder]
        parts += [graphs.codec for graphs in self.codecs.values()]
        shapes = {}
        for part in parts:
            shapes |= part.tensor_shapes()
        return shapes

    def graphs(self) -> dict[str, Graph]:
        """Returns the graphs to build, by name."""
        graphs = {"embed": Graph("embed", self.embedding.build), "llm": Graph("llm", self.decoder.build)}
        graphs |= {name: Graph(self._head_role(name), head.build) for name, head in self.heads.items()}
        graphs["audio_encoder"] = Graph("audio_encoder", self.audio_encoder.build)
        for part in self.codecs.values():
            if part.encoder:
                graphs[part.encoder] = Graph("codec_encoder", part.codec.build_encoder)
            graphs[part.decoder] = Graph(part.decoder_role, part.codec.build_decoder)
        return graphs

    def _head_role(self, name: str) -> str:
        """Returns the role of a head. One for text alone may be rounded more, because text is hardly ever guided."""
        drawn = {modality for modality, layout in self.modalities.items() if layout.head == name}
        return "text_head" if drawn == {"text"} else "head"

    def row_forms(self, storage: Mapping[str, Storage]) -> dict[str, str]:
        """Returns the useful forms with products by rows of a package with this `storage`: form name → graph.

        A form of an 8-bit graph replaces it. A form beside 4-bit weights is for prompts: steps read half as much in 4 bits.
        """
        forms = {8: {"llm": "llm"}, 4: {"prefill": "llm"}}.get(storage["llm"].bits, {})
        return forms | ({"audio_encoder": "audio_encoder"} if storage["audio_encoder"].bits else {})


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, as its family reads it."""

    parts: Parts
    tensors: TensorStore
    tokenizer: bytes
    """The package's tokenizer.json."""
    details: Config
    """The optional package.json: name, licence and the like for the manifest."""
    defaults: dict[str, str] = field(default_factory=dict)
    """The family's values for fields that package.json lacks."""
