"""package.json: fields of the manifest that a checkpoint provides."""

from .config import Config
from .errors import ExportError
from .parts import Parts

_FIELDS = {
    "name": str, "license": str, "origin": str, "attribution": str,
    "half_trained": bool, "known_words": list, "languages": list, "prompts": dict, "generation": dict, "limits": dict,
    "settings": dict, "reasoning": dict,
}  # fmt: skip
_REASONING = {"default": str, "modes": list, "prompts": dict, "listen": bool, "listen_prompt": str, "stages": dict}
_COUNTS = {"top_k": 0, "max_steps": 1}
_STAGES = ("question", "plan", "draft", "description", "critique", "final")
_REASONING_MODES = ("enrich", "dialogue", "reflect")


def check_details(details: Config, parts: Parts) -> None:
    """Refuses fields that are unknown or of another type."""
    for name, value in details.values.items():
        if name not in _FIELDS:
            raise ExportError(f"{details.source}: {name} is not known; known are {', '.join(_FIELDS)}")
        if not isinstance(value, _FIELDS[name]):
            raise ExportError(f"{details.source}: {name} is {value!r}, expected {_FIELDS[name].__name__}")
    generation = {name: modality.generation for name, modality in parts.modalities.items() if modality.generation}
    for field, known in (("prompts", parts.prompts | {"translate": ""}), ("limits", parts.limits)):
        _check_keys(details, field, details.get(field, default={}), known)
    for field, known in (("generation", generation), ("settings", parts.settings)):
        _check_keys(details, field, details.get(field, default={}), known)
        for name, settings in details.get(field, default={}).items():
            _check_settings(details, f"{field}.{name}", settings, known[name])
    if "reasoning" in details.values:
        _check_reasoning(details, details.get("reasoning"))


def _check_settings(details: Config, field: str, settings, known: dict) -> None:
    """Refuses settings that are not numbers, and counts that are not whole numbers."""
    if not isinstance(settings, dict):
        raise ExportError(f"{details.source}: {field} is {settings!r}, expected settings by name")
    _check_keys(details, field, settings, known)
    for name in settings:
        section = Config(settings, f"{details.source}: {field}")
        if name in _COUNTS:
            section.size(name, least=_COUNTS[name])
        else:
            section.number(name)


def _check_reasoning(details: Config, reasoning: dict) -> None:
    """Refuses unknown modes, and prompts without a placeholder for the words."""
    _check_keys(details, "reasoning", reasoning, _REASONING)
    for name, value in reasoning.items():
        if not isinstance(value, _REASONING[name]):
            raise ExportError(f"{details.source}: reasoning.{name} is {value!r}, expected {_REASONING[name].__name__}")
    stages = reasoning.get("stages", {})
    _check_keys(details, "reasoning.stages", stages, dict.fromkeys(_STAGES))
    for stage, prompt in stages.items():
        if not isinstance(prompt, str):
            raise ExportError(f"{details.source}: reasoning.stages.{stage} is {prompt!r}, expected text")
    prompts = reasoning.get("prompts", {})
    for mode in [reasoning.get("default", "enrich"), *reasoning.get("modes", []), *prompts]:
        if mode not in _REASONING_MODES:
            raise ExportError(f"{details.source}: reasoning mode {mode!r}; known are {', '.join(_REASONING_MODES)}")
    for mode, prompt in prompts.items():
        if not isinstance(prompt, str) or "{}" not in prompt:
            raise ExportError(f"{details.source}: reasoning.prompts.{mode} is {prompt!r}, expected text with {{}} in it")


def _check_keys(details: Config, field: str, values: dict, known: dict) -> None:
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ExportError(f"{details.source}: {field} has {', '.join(unknown)}; known are {', '.join(known)}")
