"""The template of UALM's conversations and the layout of its modalities, with the names of its special ids."""

from collections.abc import Mapping

from ...language_model import Interval
from ...parts import Modality

FAMILY = "ualm"
_ROLES = ("system", "user", "assistant")
_TEXT = {"temperature": 0.0, "top_k": 20, "guidance": 1.0, "max_steps": 1024}
_SOUND = {"temperature": 0.8, "top_k": 20, "guidance": 3.0, "max_steps": 1024}


def template(special: Mapping[str, int]) -> dict:
    """Builds `[bos] ([role] [modality] content [eot or eos])*`, where eot continues with the same role, then `[assistant]`.

    The prompt is the same for every output; the model chooses the modality of each segment by its opener.
    """
    eos = special["eos"]
    eot = special["eot"]
    assistant = special["assistant"]
    turns = {role: {"open": [special[role]], "join": [eot, special[role]], "close": [eos]} for role in _ROLES}
    heard = {name: {"open": [special[name]], "feature": special["pad"]} for name in ("audio", "speech")}
    return {
        "tasks": {"text": {"begin": [special["bos"]], "turns": turns, "reply": [assistant]}},
        "content": {"text": {"open": [special["text"]]}} | heard,
        "segments": {name: {"open": [special[name]]} for name in ("text", "audio", "speech")},
        "between": [assistant],
        "choice": "by_opener",
        "unconditional": "pads",
    }


def modalities(
    special: Mapping[str, int], text: Interval, audio: tuple[Interval, ...], codec: str | None, enhancer: str | None
) -> dict[str, Modality]:
    """Returns text in one column, sound and speech in one book for each stream; each ends with eos or eot in column 0."""
    ends = {"turn": [special["eos"]], "segment": [special["eot"]]}
    sound = Modality("delayed", audio, "audio_head", ends, _SOUND, codec, enhancer)
    return {"text": Modality("interleaved", (text,), "text_head", ends, _TEXT), "audio": sound, "speech": sound}
