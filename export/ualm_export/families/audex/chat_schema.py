"""The structure of a chat template, found by rendering probes: the text around the turns of each role.

A template is code; the package contains only words and ids. The structure is therefore read off conversations with known
contents; `chat_check.py` then compares it with the template over others.
"""

from dataclasses import dataclass

from ...errors import ExportError
from .chat_template import ChatTemplate, Message

THINK = "<think>"
END_OF_THINKING = "</think>"
_SYSTEM, _USER, _ANSWER, _NEXT, _LAST = (f"(probe {number})" for number in range(5))
_THOUGHT = "(thought)"


@dataclass(frozen=True)
class Turn:
    open: str
    close: str
    strip: bool = False
    """True: contents are stripped of white space at both ends."""


@dataclass(frozen=True)
class ChatSchema:
    source: str
    begin: str
    system: str | None
    """The text of the system turn if the messages have none; None: no such turn."""
    turns: dict[str, Turn]
    """The text around the turns of each role."""
    after: str | None
    """The marker after which the text of an earlier answer is kept, cut at its last occurrence; None: all is kept."""
    reply: str
    """The text after the last turn, before an answer without thinking."""
    thinking_reply: str
    """The text before an answer that thinks first; `thinking_open` follows."""
    thinking_open: str
    thinks: bool
    """True: answers begin with thinking by default."""

    def text(self, messages: list[Message], thinking: bool | None = None) -> str:
        """Renders a conversation as the template does, including the opening of the answer."""
        if self.system is not None and messages[0][0] != "system":
            messages = [("system", self.system), *messages]
        turns = "".join(self._turn(role, content) for role, content in messages)
        thinks = self.thinks if thinking is None else thinking
        return self.begin + turns + (self.thinking_reply + self.thinking_open if thinks else self.reply)

    def _turn(self, role: str, content: str) -> str:
        if self.after is not None and role == "assistant":
            content = content.rpartition(self.after)[2]
        turn = self.turns[role]
        return turn.open + (content.strip() if turn.strip else content) + turn.close


def find_schema(template: ChatTemplate) -> ChatSchema:
    """Finds the structure from a few renderings; refuses a template that does not show it."""
    return _Probes(template).schema()


class _Probes:
    def __init__(self, template: ChatTemplate):
        self.template = template

    def schema(self) -> ChatSchema:
        turns, begin = self._turns()
        reply, thinking, thinks = self._replies()
        at = thinking.rfind(THINK)
        return ChatSchema(
            source=self.template.source,
            begin=begin,
            system=self._system(begin, turns),
            turns=turns,
            after=self._after(),
            reply=reply,
            thinking_reply=thinking[:at],
            thinking_open=thinking[at:],
            thinks=thinks,
        )

    def _turns(self) -> tuple[dict[str, Turn], str]:
        """Returns the text around each role's turns, and the text before a conversation."""
        contents = {_SYSTEM: "system", _USER: "user", _ANSWER: "assistant", _NEXT: "user", _LAST: "assistant"}
        text = self.template.render([(role, content) for content, role in contents.items()], generation=False)
        front, to_user, to_answer, to_next, _, answer_close = self._split(text, *contents)
        user_open = self._without_prefix(to_next, answer_close)
        user_close = self._split(self.template.render([("user", _USER)], generation=False), _USER)[1]
        answer_open = self._without_prefix(to_answer, user_close)
        if not to_user.endswith(user_open):
            self._refuse(f"a user's turn opens with {user_open!r}, but behind a system turn stands {to_user!r}")
        begin = self.template.tokens.get("bos_token", "")
        if not begin or not front.startswith(begin) or user_open.startswith(begin):
            begin = ""
        around = {
            "system": (front.removeprefix(begin), to_user.removesuffix(user_open)),
            "user": (user_open, user_close),
            "assistant": (answer_open, answer_close),
        }
        stripped = self._stripped()
        return {role: Turn(*pieces, strip=role in stripped) for role, pieces in around.items()}, begin

    def _stripped(self) -> set[str]:
        """Returns the roles whose contents are stripped of white space."""
        contents = {"system": _SYSTEM, "user": _USER, "assistant": _ANSWER}
        text = self.template.render([(role, f" {content} ") for role, content in contents.items()] + [("user", _NEXT)])
        return {role for role, content in contents.items() if f" {content} " not in text}

    def _system(self, begin: str, turns: dict[str, Turn]) -> str | None:
        """Returns the default system text."""
        front = self._split(self.template.render([("user", _USER)]), _USER)[0]
        turn = turns["system"]
        default = self._without_prefix(front, begin)
        if not default.endswith(turns["user"].open):
            self._refuse(f"a user's turn opens with {turns['user'].open!r}, but a conversation begins with {front!r}")
        default = default.removesuffix(turns["user"].open)
        if not default:
            return None
        if not (default.startswith(turn.open) and default.endswith(turn.close)):
            self._refuse(f"it begins a conversation with {default!r}, which is not a system turn {turn.open!r} … {turn.close!r}")
        return default[len(turn.open) : len(default) - len(turn.close)]

    def _replies(self) -> tuple[str, str, bool]:
        """Returns the opening of an answer without and with thinking, and which of them is the default."""
        messages = [("system", _SYSTEM), ("user", _USER)]
        bare = self.template.render(messages, generation=False)
        plain, thinking, default = (
            self._without_prefix(self.template.render(messages, thinking=choice), bare) for choice in (False, True, None)
        )
        closed = 0 <= plain.find(THINK) < plain.find(END_OF_THINKING)
        if not closed or THINK not in thinking or END_OF_THINKING in thinking[thinking.rfind(THINK) :]:
            self._refuse(
                f"an answer opens with {plain!r} without thinking and with {thinking!r} with it; "
                f"expected {THINK}…{END_OF_THINKING} in the first, and {THINK} not closed in the second"
            )
        if default not in (plain, thinking):
            self._refuse(f"an answer opens with {default!r} by default; expected {plain!r} or {thinking!r}")
        return plain, thinking, default == thinking

    def _after(self) -> str | None:
        """Returns the marker before which earlier answers are cut in the history; `None` if they keep their thoughts."""
        answer = f"{_THOUGHT}{END_OF_THINKING}{_ANSWER}"
        text = self.template.render([("user", _USER), ("assistant", answer), ("user", _NEXT)])
        return None if _THOUGHT in text else END_OF_THINKING

    def _split(self, text: str, *contents: str) -> list[str]:
        """Splits a rendering into the texts before, between and after the contents."""
        parts = []
        for content in contents:
            before, found, text = text.partition(content)
            if not found:
                self._refuse(f"the content {content!r} of a turn is not written, or not in its place")
            parts.append(before)
        return [*parts, text]

    def _without_prefix(self, text: str, prefix: str) -> str:
        if not text.startswith(prefix):
            self._refuse(f"{prefix!r} is expected at the beginning of {text!r}")
        return text[len(prefix) :]

    def _refuse(self, why: str) -> None:
        raise ExportError(f"{self.template.source} is not a template of Audex's kind, and cannot be exported: {why}")
