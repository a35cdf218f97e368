"""Models."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Callable, Mapping, Sequence
from ctypes import byref, c_char_p, c_float, c_uint32, c_void_p, sizeof
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Union, Unpack

from . import _abi, _arrays, _audio, _cancel, _chain, _handle, _install, _library, _options, _prompt, _takes
from ._audio import Audio
from ._cancel import Cancel
from ._chain import Chain, ChainOptions
from ._engine import Engine
from ._errors import AudioError, Cancelled
from ._events import Ranked, TakeEvent, take_ranking
from ._options import Limits, Options, RuntimeOptions
from ._prompt import Heard, Message, Modality, PromptLike
from ._record import Record
from ._session import Session
from ._takes import Takes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Bytes = Union[bytes, bytearray, memoryview]


@dataclass(frozen=True, eq=False)
class Spoken:
    """A spoken answer."""

    #: The words that the model heard.
    question: str
    #: The words of the answer.
    answer: str
    #: The speech of the answer, ready to play.
    audio: Audio


class Model(_handle.Owner):
    """A loaded model package: immutable, and usable by all threads at once.

    `Model()` loads the package that the environment variable UALM_MODEL names, else the bundled one. The language model is loaded
    immediately, the graphs for sound on first use. The files must not be moved or changed while the model is in use, since its weights are
    mapped into memory. Keywords are those of `RuntimeOptions`.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, **runtime: Unpack[RuntimeOptions]) -> None:
        folder = path or os.environ.get("UALM_MODEL") or _install.default_package()
        options = _options.runtime(runtime)
        with _library.runtime_start():
            super().__init__(_handle.make("model", "model_load", _library.path(folder), byref(options)))

    @classmethod
    def from_files(cls, files: Mapping[str, Bytes], **runtime: Unpack[RuntimeOptions]) -> Model:
        """Loads a package from the contents of its files by name (manifest.json, tokenizer.json, graphs, weights), which are copied."""
        contents = {_library.text(name, "name"): bytes(content) for name, content in files.items()}
        listed = (_abi.File * len(contents))(
            *(_abi.File(name, ctypes.cast(c_char_p(content), c_void_p), len(content)) for name, content in contents.items())
        )
        options = _options.runtime(runtime)
        with _library.runtime_start():
            return cls._of(_handle.make("model", "model_load_files", listed, len(contents), byref(options)))

    @classmethod
    def _of(cls, handle: _handle.Handle) -> Model:
        model = cls.__new__(cls)
        super().__init__(model, handle)
        return model

    # The package.

    @property
    def manifest(self) -> dict[str, Any]:
        """The package's manifest: name, precision, modalities and their defaults, rates, licence (onnx/README.md)."""
        with self._handle as pointer:
            return dict(json.loads(_library.take_text("model_manifest", pointer)))

    @property
    def sha256(self) -> str:
        """The identity of the package: the SHA-256 of its manifest, which holds the checksums of all other files."""
        with self._handle as pointer:
            return _library.take_text("model_sha256", pointer)

    def report(self) -> dict[str, Any]:
        """Returns the same as `report`, with the loaded graphs: the provider of each, and the number of its nodes there."""
        with self._handle as pointer:
            return dict(json.loads(_library.take_text("model_report", pointer)))

    def verify(self) -> None:
        """Verifies the checksum of every file; raises `PackageError` for a damaged one. Loading verifies files of up to 64 MiB."""
        with self._handle as pointer:
            _library.call("model_verify", pointer)

    def load_all(self) -> None:
        """Loads all remaining graphs, so that no later call waits for loading or fails because of a broken graph."""
        with self._handle as pointer:
            _library.call("model_load_all", pointer)

    @property
    def limits(self) -> Limits:
        """The limits that the model enforces."""
        return _options.limits_of(self._limits())

    def with_limits(self, limits: Limits) -> Model:
        """Returns the same model with other limits; both share the loaded graphs."""
        made = _options.limits(limits, self._limits())
        with self._handle as pointer:
            return Model._of(_handle.make("model", "model_with_limits", pointer, byref(made)))

    def _limits(self) -> _abi.Limits:
        made = _abi.Limits()
        with self._handle as pointer:
            _library.call("limits_init", byref(made), sizeof(made), pointer)
        return made

    # Requests in a conversation of their own.

    def options(self, only: Modality | None = None, *, seed: int = 0) -> Options:
        """Returns the model's defaults, to be changed; with `only`, for a reply of one segment of that modality."""
        made = _abi.GenerationOptions()
        with self._handle as pointer:
            _library.call("generation_options_init", byref(made), sizeof(made), pointer)
        options = replace(_options.options_of(made), seed=seed)
        return options if only is None else options.only(only)

    def generate(self, prompt: PromptLike, *, seed: int = 0, options: Options | None = None, cancel: Cancel | None = None) -> Audio:
        """Returns the sound of a description, ready to play, with its record.

        `options` default to the model's with `seed`; if given, their own seed applies. Raises `Cancelled` if nothing was made before
        `cancel` stopped it.
        """
        return self._sound(prompt, "audio", seed, options, cancel)

    def speak(self, words: PromptLike, *, seed: int = 0, options: Options | None = None, cancel: Cancel | None = None) -> Audio:
        """Returns the speech of `words`, ready to play, with its record. The arguments are those of `generate`."""
        return self._sound(words, "speech", seed, options, cancel)

    def _sound(self, prompt: PromptLike, modality: Modality, seed: int, options: Options | None, cancel: Cancel | None) -> Audio:
        options = self.options(seed=seed) if options is None else options
        takes = self.takes(prompt, 1, options.only(modality), cancel=cancel).takes
        audio = takes[0].audio if takes else None
        if audio is None and cancel is not None and cancel.cancelled:
            raise Cancelled("cancelled before any sound was made")
        if audio is None:
            raise AudioError("the model made no sound: give another seed or another prompt")
        return audio

    def ask(
        self, audio: Audio, question: str | None = None, *, seed: int = 0, options: Options | None = None, cancel: Cancel | None = None
    ) -> str:
        """Returns the answer to a question about a sound; without a question, to the package's own, which asks for a description.

        `options` default to the package's settings for such answers. An answer about sound has no thoughts before it, whatever they say.
        """
        manifest = self.manifest
        if options is None:
            options = self.options("text", seed=seed)
            for name, value in manifest.get("settings", {}).get("ask", {}).items():
                setattr(options.text, name, value)
        options = replace(options.only("text"), thinking=False)
        question = manifest["prompts"]["ask"] if question is None else question
        with self.session() as session:
            return session.generate([Message(_audio.expect(audio)), Message(question)], options, cancel=cancel).text

    def caption(self, audio: Audio, kind: Heard = "audio", *, cancel: Cancel | None = None) -> str:
        """Returns the model's caption of a sound; for `kind` "speech" a transcript."""
        number = _library.number_of(kind, _abi.MODALITIES, "kind")
        with self._handle as pointer, _cancel.borrow(cancel) as token:
            return _library.take_text("model_caption", pointer, _audio.borrow(audio), number, token)

    def transcribe(self, audio: Audio, *, cancel: Cancel | None = None) -> str:
        """Returns the words that are spoken in a recording."""
        return self.caption(audio, "speech", cancel=cancel)

    def converse(self, question: Audio, *, seed: int = 0, cancel: Cancel | None = None) -> Spoken:
        """Answers a spoken question with speech: the model transcribes the question, answers the transcript in text, and speaks the answer.

        Raises `AudioError` when no speech was understood. Speech that `cancel` stops is returned incomplete.
        """
        heard = c_void_p()
        answer = c_void_p()
        speech = c_void_p()
        record = c_void_p()
        number = _library.integer(seed, 64, "seed")
        with self._handle as pointer, _cancel.borrow(cancel) as token:
            outs = (byref(out) for out in (heard, answer, speech, record))
            _library.call("model_converse", pointer, _audio.borrow(question), number, token, *outs)
        kept = Record(_handle.Handle("record", record))
        audio = replace(_audio.of_handle(_handle.Handle("audio", speech)), record=kept)
        return Spoken(_library.free_text(heard), _library.free_text(answer), audio)

    def rank(self, takes: Sequence[Audio], wanted: str, kind: Heard = "audio", *, cancel: Cancel | None = None) -> tuple[Ranked, ...]:
        """Ranks sounds by how well the model's own caption of each covers the words `wanted`, the best first."""
        kept = list(takes)  # the library reads their samples until it returns
        samples = (_abi.Samples * len(kept))(*(_audio.borrow(take, "a take") for take in kept))
        number = _library.number_of(kind, _abi.MODALITIES, "kind")
        words = _library.text(wanted, "wanted")
        with self._handle as pointer, _cancel.borrow(cancel) as token:
            return take_ranking(_handle.make("ranking", "model_rank", pointer, samples, len(kept), number, words, token))

    def takes(
        self,
        prompt: PromptLike,
        count: int,
        options: Options | None = None,
        *,
        wanted: str | None = None,
        engine: Engine | None = None,
        on_event: Callable[[TakeEvent], object] | None = None,
        cancel: Cancel | None = None,
    ) -> Takes:
        """Makes `count` takes of the reply to `prompt`, several at once; each has its own seed, that of the options plus its index.

        With `wanted` the model ranks them by how well its own caption of each covers these words. They run in `engine`, or in one of
        their own. `on_event` is called with every event, in this thread; what it raises stops the takes, and is raised here.
        """
        made = _options.generation(options)
        settings = None if made is None else byref(made)
        words = None if wanted is None else _library.text(wanted, "wanted")
        where = self._handle if engine is None else Engine.borrow(engine)
        number = _library.size(count, "count")
        asked = _prompt.prompt_of(prompt)
        stop = _cancel.borrow(cancel)

        def run(callback: Any) -> _handle.Handle:
            with where as pointer, asked as what, stop as token:
                places = (pointer, None) if engine is None else (None, pointer)
                return _handle.make("takes", "takes_make", *places, what, settings, number, words, token, callback, None)

        return _takes.takes_of(_takes.make(run, on_event))

    # Conversations.

    def session(self) -> Session:
        """Begins a conversation."""
        with self._handle as pointer:
            return Session(_handle.make("session", "session_new", pointer))

    def engine(self, slots: int | None = None, context: int | None = None, prefill_chunk: int | None = None) -> Engine:
        """Starts an engine, in which many conversations share their steps. Its cache is allocated now (`LimitError`).

        `slots` are sequences at once (a session whose replies may be guided takes two), `context` the positions of each,
        `prefill_chunk` the positions of a prompt that run between two steps of other sessions; None takes the library's defaults.
        """
        made = _abi.EngineOptions()
        _library.call("engine_options_init", byref(made), sizeof(made))
        for name, value in (("slots", slots), ("context", context), ("prefill_chunk", prefill_chunk)):
            if value is not None:
                setattr(made, name, _library.size(value, name))
        with self._handle as pointer:
            return Engine(_handle.make("engine", "engine_new", pointer, byref(made)))

    def chain(
        self,
        words: str,
        options: ChainOptions | None = None,
        *,
        settings: Options | None = None,
        engine: Engine | None = None,
        cancel: Cancel | None = None,
    ) -> Chain:
        """Begins a chain of reasoning about `words`, and runs its prompt. Of `settings` only those of segments are used."""
        return self._chain("chain_new", (_library.text(words, "words"),), options, settings, engine, cancel)

    def resume_chain(
        self,
        record: Record,
        stage_index: int,
        options: ChainOptions | None = None,
        *,
        settings: Options | None = None,
        engine: Engine | None = None,
        cancel: Cancel | None = None,
    ) -> Chain:
        """Resumes the chain of `record` before the stage at `stage_index`, with the same ids as if it had never stopped."""
        with Record.borrow(record) as kept:
            start = (kept, _library.size(stage_index, "stage_index"))
            return self._chain("chain_resume", start, options, settings, engine, cancel)

    def _chain(
        self,
        name: str,
        start: tuple[Any, ...],
        options: ChainOptions | None,
        settings: Options | None,
        engine: Engine | None,
        cancel: Cancel | None,
    ) -> Chain:
        made = _chain.options_of(options)
        settled = _options.generation(settings)
        where = self._handle if engine is None else Engine.borrow(engine)
        with where as pointer, _cancel.borrow(cancel) as token:
            places = (pointer, None) if engine is None else (None, pointer)
            rest = (byref(made), None if settled is None else byref(settled), token)
            return Chain(_handle.make("chain", name, *places, *start, *rest))

    # The parts of the model.

    def encode(self, audio: Audio) -> npt.NDArray[np.uint32]:
        """Encodes sound to codec codes: uint32, shape [streams, frames]."""
        with self._handle as pointer:
            handle = _handle.make("codes", "model_encode", pointer, _audio.borrow(audio))
        return _arrays.take_matrix("codes_data", handle, c_uint32)

    def decode(self, codes: npt.ArrayLike) -> Audio:
        """Decodes codec codes, integers of the shape [streams, frames], to sound."""
        ids = _arrays.ids(codes, "codes")
        with self._handle as pointer:
            handle = _handle.make("audio", "model_decode", pointer, _arrays.pointer(ids), *ids.shape)
        return _audio.of_handle(handle)

    def enhance(self, audio: Audio) -> Audio | None:
        """Runs the package's enhancer on a sound; None when the package has none."""
        made = c_void_p()
        with self._handle as pointer:
            _library.call("model_enhance", pointer, _audio.borrow(audio), byref(made))
        return _audio.of_handle(_handle.Handle("audio", made)) if made else None

    def text_ids(self, words: str) -> npt.NDArray[np.uint32]:
        """Returns the token ids of `words`, uint32 of the shape [ids, 1], as `Checkpoint.keep` takes them."""
        with self._handle as pointer:
            handle = _handle.make("codes", "model_text_ids", pointer, _library.text(words, "words"))
        return _arrays.take_matrix("codes_data", handle, c_uint32).reshape(-1, 1)

    def audio_features(self, audio: Audio) -> npt.NDArray[np.float32]:
        """Encodes sound into language-model features: float32, shape [positions, hidden_size], about 25 positions per second."""
        with self._handle as pointer:
            handle = _handle.make("tensor", "model_audio_features", pointer, _audio.borrow(audio))
        return _arrays.take_matrix("tensor_data", handle, c_float)

    def prompt_embeddings(self, prompt: PromptLike) -> npt.NDArray[np.float32]:
        """Returns the embeddings of a prompt that begins a conversation: float32, shape [positions, hidden_size]."""
        with self._handle as pointer, _prompt.prompt_of(prompt) as asked:
            handle = _handle.make("tensor", "model_prompt_embeddings", pointer, asked)
        return _arrays.take_matrix("tensor_data", handle, c_float)


def report(**runtime: Unpack[RuntimeOptions]) -> dict[str, Any]:
    """Starts ONNX Runtime if it is not running, loads the requested providers, and returns a report.

    The report has ONNX Runtime's file and build, threads, providers with their states and messages, devices, the processor: the object of
    `ualm_runtime_report` in ualm.h. An unavailable provider is an error only when a model is loaded, not here.
    """
    options = _options.runtime(runtime)
    with _library.runtime_start():
        return dict(json.loads(_library.take_text("runtime_report", byref(options))))
