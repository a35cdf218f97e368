"""Conversations."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import byref, c_float, c_size_t, c_void_p
from typing import TYPE_CHECKING, cast

from . import _abi, _arrays, _cancel, _handle, _library, _options, _prompt
from ._cancel import Cancel
from ._events import Event
from ._generation import Generation, Reply
from ._options import Options
from ._prompt import Modality, PromptLike
from ._record import Record

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Checkpoint(_handle.Owner):
    """A point of a conversation at which the model's reply begins. Any number of replies can start from it."""

    @property
    def position(self) -> int:
        """The number of positions of the conversation up to the checkpoint."""
        return self._position()[0]

    @property
    def segments(self) -> int:
        """The number of segments of the reply before the checkpoint."""
        return self._position()[1]

    def keep(self, modality: Modality, frames: npt.ArrayLike) -> Checkpoint:
        """Returns the same checkpoint with the first positions of its next segment fixed.

        `frames` are integers of the shape [positions, streams], without a closing position: a part of `Segment.frames`, or for text
        the result of `Model.text_ids`.
        """
        kind = _library.number_of(modality, _abi.MODALITIES, "modality")
        ids = _arrays.ids(frames, "frames")
        with self._handle as pointer:
            return Checkpoint(
                _handle.make("checkpoint", "checkpoint_keep", pointer, kind, _arrays.pointer(ids), len(ids), ids.shape[1])
            )

    def _position(self) -> tuple[int, int]:
        position = c_size_t()
        segments = c_size_t()
        with self._handle as pointer:
            _library.call("checkpoint_position", pointer, byref(position), byref(segments))
        return position.value, segments.value


class Mark(_handle.Owner):
    """A point between two turns, to which a conversation can be rewound."""


class Session(_handle.Owner):
    """A conversation, which keeps its history: the next prompt continues from there.

    One thread uses it at a time; a call meanwhile raises `BusyError`. `Model.session` and `Engine.session` begin one.
    """

    def generate(
        self,
        prompt: PromptLike | Checkpoint,
        options: Options | None = None,
        *,
        on_event: Callable[[Event], object] | None = None,
        cancel: Cancel | None = None,
    ) -> Reply:
        """Generates the reply to `prompt`, or from a checkpoint of this session, and returns it.

        `options` are the model's defaults unless given. `on_event` is called with every event as it comes; what it raises ends the
        reply, and is raised here. Stopping a reply by `cancel` is not a failure: the reply ends with the segments made so far.
        """
        return self.stream(prompt, options, cancel=cancel).reply(on_event)

    def stream(
        self, prompt: PromptLike | Checkpoint, options: Options | None = None, *, cancel: Cancel | None = None
    ) -> Generation:
        """Begins the reply to `prompt`, or from a checkpoint, and returns an iterator over its events. Nothing runs before the first."""
        made = _options.generation(options)
        settings = None if made is None else byref(made)
        is_checkpoint = isinstance(prompt, Checkpoint)
        start = Checkpoint.borrow(prompt) if is_checkpoint else _prompt.prompt_of(cast(PromptLike, prompt))
        name = "generation_new_from" if is_checkpoint else "generation_new"
        with self._handle as pointer, start as begin, _cancel.borrow(cancel) as token:
            return Generation(_handle.make("generation", name, pointer, begin, settings, token))

    def checkpoint(
        self, prompt: PromptLike, modality: Modality | None = None, *, cancel: Cancel | None = None
    ) -> Checkpoint:
        """Runs `prompt`, and returns the checkpoint after it, from which `generate` makes replies.

        `modality` is the modality of the first segment of the replies, on which the prompts of some models depend. Raises `Cancelled`
        when `cancel` stops the call. After a failure the conversation is unchanged, except for earlier thoughts, which a prompt removes
        from it; checkpoints in a reply with such thoughts become invalid.
        """
        kind = () if modality is None else (_library.number_of(modality, _abi.MODALITIES, "modality"),)
        name = "session_checkpoint_for" if kind else "session_checkpoint"
        with self._handle as pointer, _prompt.prompt_of(prompt) as asked, _cancel.borrow(cancel) as token:
            return Checkpoint(_handle.make("checkpoint", name, pointer, asked, *kind, token))

    def go_on(self, *, cancel: Cancel | None = None) -> Checkpoint:
        """Returns the checkpoint after the last reply, as if the model had opened another segment of that reply."""
        with self._handle as pointer, _cancel.borrow(cancel) as token:
            return Checkpoint(_handle.make("checkpoint", "session_go_on", pointer, token))

    def fork(self, checkpoint: Checkpoint) -> Session:
        """Creates another conversation at `checkpoint` of this one.

        Replies can then be generated from the checkpoint in both at once, on two threads; in an engine their steps are batched. Raises
        `LimitError` when there is no room for another conversation.
        """
        with self._handle as pointer, Checkpoint.borrow(checkpoint) as at:
            return Session(_handle.make("session", "session_fork", pointer, at))

    def mark(self) -> Mark:
        """Marks the end of the conversation, without the thoughts that the next prompt removes from it."""
        with self._handle as pointer:
            return Mark(_handle.make("mark", "session_mark", pointer))

    def rewind(self, mark: Mark) -> None:
        """Rewinds the conversation to `mark`, exactly.

        Raises `InvalidError` for a mark of another session, and for one that the session was rewound beyond.
        """
        with self._handle as pointer, Mark.borrow(mark) as to:
            _library.call("session_rewind", pointer, to)

    @property
    def position(self) -> int:
        """The number of positions of the conversation so far."""
        position = c_size_t()
        with self._handle as pointer:
            _library.call("session_position", pointer, byref(position))
        return position.value

    @property
    def max_positions(self) -> int:
        """The number of positions that the conversation may hold: the model's context, or the engine's."""
        with self._handle as pointer:
            return cast(int, _library.call("session_max_positions", pointer))

    def next_logits(self, prompt: PromptLike) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
        """Returns the logits that follow the conversation and `prompt`, which leaves the conversation unchanged.

        float32, shape [1, ids] each: of the text head (column = id), and of the audio head (the codes of all streams, then the ends of
        turn and segment), None for a package that generates no sound.
        """
        text = c_void_p()
        audio = c_void_p()
        with self._handle as pointer, _prompt.prompt_of(prompt) as asked:
            _library.call("session_next_logits", pointer, asked, byref(text), byref(audio))
        of_text, of_audio = (_handle.Handle("tensor", tensor) for tensor in (text, audio))
        return _arrays.take_matrix("tensor_data", of_text, c_float), _arrays.take_matrix("tensor_data", of_audio, c_float) if audio else None

    def record(self) -> Record:
        """Returns the record of the conversation so far."""
        with self._handle as pointer:
            return Record(_handle.make("record", "session_record", pointer))

    def restore(
        self, record: Record, turn: int, segment: int, frame: int = 0, *, cancel: Cancel | None = None
    ) -> Checkpoint:
        """Replaces the conversation by that of `record`, up to position `frame` of `segment` of `turn`, all from 0.

        With the settings of the record (`Record.options`) a reply from the checkpoint has the same ids as if the conversation had never
        stopped. After a failure the conversation is empty, unless the record was refused: a record of another package, a damaged one, or
        one without such a position.
        """
        at = [_library.size(number, name) for name, number in (("turn", turn), ("segment", segment), ("frame", frame))]
        with self._handle as pointer, Record.borrow(record) as kept, _cancel.borrow(cancel) as token:
            return Checkpoint(_handle.make("checkpoint", "session_restore", pointer, kept, *at, token))

    def restore_turns(self, record: Record, turns: int, *, cancel: Cancel | None = None) -> None:
        """Replaces the conversation by the first `turns` turns of `record`, after which another turn can begin."""
        with self._handle as pointer, Record.borrow(record) as kept, _cancel.borrow(cancel) as token:
            _library.call("session_restore_turns", pointer, kept, _library.size(turns, "turns"), token)
