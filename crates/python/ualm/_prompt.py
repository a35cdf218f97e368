"""Prompts: the input of a reply, in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Union

from . import _abi, _audio, _handle, _library
from ._audio import Audio

Role = Literal["system", "user", "assistant"]
Modality = Literal["text", "audio", "speech", "thinking"]
Heard = Literal["audio", "speech"]


@dataclass(frozen=True)
class Message:
    """A part of a prompt: text or a recording, by a speaker."""

    #: The text, or the recording.
    content: str | Audio
    #: The speaker: "user", "assistant" (the model), or "system" for instructions above the conversation.
    role: Role = "user"
    #: The kind of a recording: "audio" (sound and music) or "speech".
    kind: Heard = "audio"


#: The input for a prompt: a text, a recording, a message, or several of them in order.
PromptLike = Union[str, Audio, Message, Iterable[Union[str, Audio, Message]]]


def prompt_of(prompt: PromptLike) -> _handle.Handle:
    """Returns a prompt of the C library, which copies the content."""
    if isinstance(prompt, (str, Audio, Message)):
        prompt = [prompt]
    elif isinstance(prompt, bytes) or not isinstance(prompt, Iterable):
        raise TypeError(f"the prompt is a {type(prompt).__name__}; expected str, ualm.Audio, ualm.Message, or several of them")
    handle = _handle.make("prompt", "prompt_new")
    with handle as pointer:
        for part in prompt:
            message = part if isinstance(part, Message) else Message(part)
            role = _library.number_of(message.role, _abi.ROLES, "role")
            if isinstance(message.content, Audio):
                kind = _library.number_of(message.kind, _abi.MODALITIES, "kind")
                _library.call("prompt_add_audio", pointer, role, kind, _audio.borrow(message.content))
            elif isinstance(message.content, str):
                _library.call("prompt_add_text", pointer, role, _library.text(message.content, "prompt"))
            else:
                raise TypeError(f"a part of the prompt is a {type(message.content).__name__}; expected str, ualm.Audio or ualm.Message")
    return handle
