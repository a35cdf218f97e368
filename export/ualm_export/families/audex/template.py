"""The manifest's template: the checkpoint's chat template, with the prompts of the reference implementation."""

from .chat_schema import END_OF_THINKING, ChatSchema, Turn
from .pieces import Pieces, PieceWriter
from .tokens import Tokens

SYSTEM = "You are a helpful and harmless assistant.\n\nYou are not allowed to use any tools."
"""The system turn of the reference implementation's prompts for speech and audio."""
SPEECH_WORDS = "<|text to speech|> Generate speech for this transcription. "
AUDIO_WORDS = "<|text to audio|> Generate audio for this caption. "
TRANSCRIBE = "Transcribe the input speech."
SPEECH_START = "<speechgen_start>"
SPEECH_END = "<speechgen_end>"
AUDIO_START = "<audiogen_start>"
AUDIO_END = "<audiogen_end>"
UNKNOWN = "<unk>"
_JOIN = "\n"
"""Separator of the parts of a message: sound and its question, or two texts."""


def template(chat: ChatSchema, tokens: Tokens, sound: dict, has_audio: bool) -> dict:
    """Builds the template. `sound` describes the tokens around sound that is heard; `has_audio`: the model makes general audio."""
    writer = tokens.writer()
    text = _text_task(chat, writer)
    bare = {name: value for name, value in text.items() if name != "system"}
    made = {"speech": (SPEECH_WORDS, SPEECH_START)} | ({"audio": (AUDIO_WORDS, AUDIO_START)} if has_audio else {})
    openers = {name: {"open": [tokens.id(start)]} for name, (_, start) in made.items()}
    return {
        "tasks": {
            "text": text,
            "thinking": text | {"reply": writer.pieces(chat.thinking_reply)},
            "listening": bare | {"sound_first": True, "question": TRANSCRIBE},
            "cascade": bare | {"begin": tokens.front},
            **{name: _sound_task(chat, tokens, writer, words) for name, (words, _) in made.items()},
        },
        "content": {"text": {}, "audio": sound, "speech": sound},
        "segments": {"text": {"open": []}, "thinking": {"open": writer.pieces(chat.thinking_open)}} | openers,
        "thinks": chat.thinks,
        **({"history": "without_thinking"} if chat.after else {}),
        "choice": "by_prompt",
        "unconditional": {"fill": tokens.id(UNKNOWN)},
    }


def _text_task(chat: ChatSchema, writer: PieceWriter) -> dict:
    return {
        "begin": writer.pieces(chat.begin),
        **({} if chat.system is None else {"system": chat.system}),
        "turns": {role: _turn(writer, turn, chat.after if role == "assistant" else None) for role, turn in chat.turns.items()},
        "trim": False,
        "merges": False,
        "reply": writer.pieces(chat.reply),
    }


def _sound_task(chat: ChatSchema, tokens: Tokens, writer: PieceWriter, words: str) -> dict:
    """Returns a text-to-sound task: the reference implementation's words before a stripped text."""
    user = chat.turns["user"]
    task = _text_task(chat, writer) | {"begin": tokens.front, "system": SYSTEM, "trim": True}
    task["turns"] = task["turns"] | {"user": _turn(writer, Turn(user.open + words, user.close, user.strip))}
    return task


def _turn(writer: PieceWriter, turn: Turn, after: str | None = None) -> dict[str, Pieces | str]:
    pieces = {"open": writer.pieces(turn.open), "join": writer.pieces(_JOIN), "close": writer.pieces(turn.close)}
    return pieces | ({"after": after} if after else {}) | ({"strip": True} if turn.strip else {})


def heard_sound(tokens: Tokens, start: str, embedding: str, end: str) -> dict:
    """Describes the tokens around sound that is heard, by their names."""
    return {"open": [tokens.id(start)], "feature": tokens.id(embedding), "close": [tokens.id(end)]}


def end_of_thinking(tokens: Tokens) -> int:
    return tokens.id(END_OF_THINKING)
