"""The chat template of a checkpoint, rendered as transformers renders it."""

import json
from dataclasses import dataclass
from pathlib import Path

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ...config import Config
from ...errors import ExportError

FILE_NAME = "chat_template.jinja"
_TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token")

Message = tuple[str, str]
"""Role and content."""


@dataclass(frozen=True)
class ChatTemplate:
    source: str
    template: jinja2.Template
    tokens: dict[str, str]
    """The special tokens that a template may refer to, such as bos_token."""

    def render(self, messages: list[Message], generation: bool = True, thinking: bool | None = None) -> str:
        """Renders a conversation; with `None` the template's default for `enable_thinking` applies."""
        options = {} if thinking is None else {"enable_thinking": thinking}
        content = [{"role": role, "content": text} for role, text in messages]
        try:
            return self.template.render(
                messages=content, tools=None, documents=None, add_generation_prompt=generation, **self.tokens, **options
            )
        except Exception as error:  # a template runs its own code
            raise ExportError(f"{self.source} fails for the conversation {messages}: {error}") from None


def read_chat_template(folder: Path) -> ChatTemplate:
    """Reads chat_template.jinja, or else the chat_template of tokenizer_config.json."""
    config = Config.optional(folder / "tokenizer_config.json")
    path = folder / FILE_NAME
    if path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except ValueError as error:
            raise ExportError(f"{path} is not a readable template: {error}") from None
        return chat_template(text, config, str(path))
    text = config.get("chat_template", default=None)
    if isinstance(text, list):  # several templates, by name
        text = next((entry["template"] for entry in text if entry.get("name") == "default"), None)
    if not isinstance(text, str):
        raise ExportError(f"{folder} has no chat template; expected {FILE_NAME}, or chat_template in tokenizer_config.json")
    return chat_template(text, config, f"{config.source}: chat_template")


def chat_template(text: str, config: Config, source: str) -> ChatTemplate:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    environment.globals["raise_exception"] = _raise_exception
    try:
        template = environment.from_string(text)
    except jinja2.TemplateError as error:
        raise ExportError(f"{source} is not a readable template: {error}") from None
    return ChatTemplate(source, template, _tokens(config))


def _tokens(config: Config) -> dict[str, str]:
    tokens = {}
    for name in _TOKEN_NAMES:
        value = config.get(name, default=None)
        if isinstance(value, dict):
            value = value.get("content")
        if isinstance(value, str):
            tokens[name] = value
    return tokens


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)
