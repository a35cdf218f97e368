"""The tokenizer of an Audex checkpoint: the ids of its tokens by name, and its form in the package."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from ...errors import ExportError
from ...language_model import Interval
from .pieces import PieceWriter

SPEECH_SYMBOL = "speechcodec"
AUDIO_SYMBOL = "audiocodec"
_SYMBOL = re.compile(rf"<({SPEECH_SYMBOL}|{AUDIO_SYMBOL})_(0|[1-9]\d*)>")
_PROBE = "a"


@dataclass(frozen=True)
class Tokens:
    """The tokens of the tokenizer that the package refers to. Codec symbols are not text, so the package's tokenizer omits them."""

    source: str
    ids: dict[str, int]
    """Ids of the remaining added tokens, by name."""
    size: int
    """1 + the largest id that is not a codec symbol."""
    speech: Interval
    """Ids of `<speechcodec_N>`."""
    audio: Interval | None
    """Ids of `<audiocodec_N>`, if there are any."""
    front: list[int]
    """Ids that the tokenizer inserts before a text."""
    tokenizer: Tokenizer

    def id(self, name: str) -> int:
        self.require([name])
        return self.ids[name]

    def require(self, names: list[str]) -> None:
        """Refuses a tokenizer that lacks any of the tokens."""
        missing = [name for name in names if name not in self.ids]
        if missing:
            what, them = ("token", "it") if len(missing) == 1 else ("tokens", "them")
            raise ExportError(f"{self.source} has no {what} {', '.join(missing)} among its added_tokens; the model needs {them}")

    def writer(self) -> PieceWriter:
        return PieceWriter(self.ids)


def read_tokens(path: Path) -> tuple[bytes, Tokens]:
    """Returns the package's tokenizer.json and its tokens."""
    if not path.is_file():
        raise ExportError(f"{path} does not exist")
    try:
        return tokens_of(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportError(f"{path} is not a tokenizer.json with added_tokens and model.vocab: {error!r}") from None


def tokens_of(content: dict, source: str) -> tuple[bytes, Tokens]:
    """Returns the same for `content`, that of tokenizer.json, which is changed."""
    ids = _ids_by_name(content, source)
    speech = _block(ids, SPEECH_SYMBOL, source)
    audio = _block(ids, AUDIO_SYMBOL, source)
    if speech is None:
        raise ExportError(f"{source} has no tokens <{SPEECH_SYMBOL}_N>; expected those of an Audex checkpoint")
    _leave_symbols_out(content)
    added = {token["content"]: token["id"] for token in content["added_tokens"]}
    stripped = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    tokenizer = _load(stripped, source)
    _check_ids(tokenizer, added, source)
    size = 1 + max([*content["model"]["vocab"].values(), *added.values()])
    return stripped, Tokens(source, added, size, speech, audio, _front(tokenizer, source), tokenizer)


def _ids_by_name(content: dict, source: str) -> dict[str, int]:
    ids = dict(content["model"]["vocab"])
    for token in content["added_tokens"]:
        name = token["content"]
        number = token["id"]
        if ids.setdefault(name, number) != number:
            raise ExportError(f"{source}: {name} is {ids[name]} in model.vocab and {number} among added_tokens")
    return ids


def _block(ids: dict[str, int], kind: str, source: str) -> Interval | None:
    """Returns the ids of the symbols of one kind, numbered from 0 without a gap."""
    numbers = {}
    for name, token in ids.items():
        symbol = _SYMBOL.fullmatch(name)
        if symbol and symbol[1] == kind:
            numbers[int(symbol[2])] = token
    if not numbers:
        return None
    for number in range(1 + max(numbers)):
        if number not in numbers:
            raise ExportError(f"{source}: <{kind}_{number}> is missing in <{kind}_0>..=<{kind}_{max(numbers)}>")
        if numbers[number] != numbers[0] + number:
            raise ExportError(
                f"{source}: <{kind}_{number}> is the id {numbers[number]}; expected {numbers[0] + number}, as the ids of these "
                f"symbols follow one another from {numbers[0]}"
            )
    return numbers[0], numbers[0] + len(numbers)


def _leave_symbols_out(content: dict) -> None:
    """Removes the codec symbols. The other added tokens are also in model.vocab, so that they keep their ids."""
    model = content["model"]
    content["added_tokens"] = [token for token in content["added_tokens"] if not _SYMBOL.fullmatch(token["content"])]
    model["vocab"] = {name: token for name, token in model["vocab"].items() if not _SYMBOL.fullmatch(name)}
    for token in content["added_tokens"]:
        model["vocab"].setdefault(token["content"], token["id"])


def _load(stripped: bytes, source: str) -> Tokenizer:
    try:
        return Tokenizer.from_str(stripped.decode())
    except Exception as error:  # tokenizers raises Exception itself
        raise ExportError(f"{source}: tokenizers does not read it without its codec symbols: {error}") from None


def _check_ids(tokenizer: Tokenizer, added: dict[str, int], source: str) -> None:
    for name, number in added.items():
        if tokenizer.token_to_id(name) != number:
            raise ExportError(
                f"{source}: {name} has the id {number}, but tokenizers maps it to {tokenizer.token_to_id(name)}; "
                "save the tokenizer again with the library that made it"
            )


def _front(tokenizer: Tokenizer, source: str) -> list[int]:
    """Returns the ids before a text; refuses ids after it, which no prompt of the model has."""
    front = tokenizer.encode("", add_special_tokens=True).ids
    whole = tokenizer.encode(_PROBE, add_special_tokens=True).ids
    expected = front + tokenizer.encode(_PROBE, add_special_tokens=False).ids
    if whole != expected:
        raise ExportError(
            f"{source}: its post_processor maps {_PROBE!r} to {whole}; expected {expected}, with nothing after the text"
        )
    return front
