"""Checks the structure that was found in a chat template against the template itself."""

from ...errors import ExportError
from .chat_schema import END_OF_THINKING, THINK, ChatSchema, find_schema
from .chat_template import ChatTemplate, Message
from .tokens import Tokens

_QUESTION = ("user", "Name three birds.")
_NEXT = ("user", "And a fourth?\nPlease.")
_PROBES: dict[str, list[Message]] = {
    "one turn": [_QUESTION],
    "a system turn": [("system", "Be brief."), _QUESTION],
    "several turns": [_QUESTION, ("assistant", "Wren, crow, owl."), _NEXT],
    "several turns behind a system turn": [
        ("system", "Be brief."), _QUESTION, ("assistant", "Wren, crow, owl."), _NEXT, ("assistant", "A tit."), _QUESTION,
    ],
    "an answer with thoughts": [
        _QUESTION, ("assistant", f"{THINK}\nBirds fly.{END_OF_THINKING}Wren, crow, owl."), _NEXT,
    ],
    "thoughts behind thoughts": [
        _QUESTION, ("assistant", f"One.{END_OF_THINKING}Two.{END_OF_THINKING}\n\nWren."), _NEXT, ("assistant", "Owl."), _NEXT,
    ],
    "white space at the ends": [
        ("system", " Be brief.\n"), ("user", "\n Name three birds. \n"), ("assistant", " Wren. \n"), ("user", " \n And? "),
    ],
    "no words": [("user", ""), ("assistant", ""), ("user", "")],
    "words of templates": [("user", "{{ messages }} {% if x %} & < > \" ' \\n é 你"), ("assistant", "</s>\t#"), _NEXT],
}  # fmt: skip


def read_chat(template: ChatTemplate, tokens: Tokens) -> ChatSchema:
    """Returns the structure of a template; refuses one that renders a conversation to other text or other ids."""
    schema = find_schema(template)
    writer = tokens.writer()
    if any(isinstance(piece, int) for piece in writer.pieces(schema.system or "")):
        raise ExportError(f"{schema.source}: its default system turn {schema.system!r} names an added token; expected words")
    for name, messages in _PROBES.items():
        for thinking in (None, False, True):
            expected = template.render(messages, thinking=thinking)
            found = schema.text(messages, thinking)
            probe = f"{name}, enable_thinking {'not given' if thinking is None else thinking}"
            if found != expected:
                _refuse(schema, probe, expected, found)
            ids = []
            for piece in writer.pieces(expected):
                ids += [piece] if isinstance(piece, int) else tokens.tokenizer.encode(piece, add_special_tokens=False).ids
            whole = tokens.tokenizer.encode(expected, add_special_tokens=False).ids
            if ids != whole:
                _refuse(schema, probe, whole, ids)
    return schema


def _refuse(schema: ChatSchema, probe: str, expected, found) -> None:
    raise ExportError(
        f"{schema.source} is not a template of Audex's kind, and cannot be exported. "
        f"For the conversation \"{probe}\" it renders\n"
        f"  {expected!r}\nand its detected structure renders\n  {found!r}"
    )
