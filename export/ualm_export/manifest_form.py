"""Checks that a manifest has the form of schema 2 and is consistent."""

from collections.abc import Iterable, Mapping

from .errors import ExportError

_ROLES = {"system", "user", "assistant"}
_PATTERNS = {"interleaved", "delayed"}
_CHOICES = {"by_opener", "by_prompt"}
_FORMS_OF_TEXT = {"text", "listening", "cascade"}
_HISTORIES = {"as_made", "without_thinking"}
_PURPOSES = {"ask", "transcribe", "converse"}
_STAGES = {"question", "plan", "draft", "description", "critique", "final"}
_SETTINGS = {"temperature", "top_k", "top_p", "guidance", "max_steps"}


def check_manifest(manifest: Mapping) -> None:
    """Refuses references to unknown names, ids outside the model, and books without columns in their head."""
    try:
        _Checker(manifest).check()
    except KeyError as missing:
        raise ExportError(f"the manifest has no {missing}") from None


class _Checker:
    def __init__(self, manifest: Mapping):
        self.manifest = manifest
        self.tokens = manifest["tokens"]
        self.size = self.tokens["size"]

    def check(self) -> None:
        self._check_tokens()
        for name, ids in self.manifest["heads"].items():
            self._check_name(f"heads.{name}", name, self.manifest["graphs"])
            self._check_intervals(f"heads.{name}", ids)
        for name, modality in self.manifest["modalities"].items():
            self._check_modality(f"modalities.{name}", modality)
        self._check_absent(self.manifest.get("absent", {}))
        self._check_template(self.manifest["template"])
        self._check_prompts()
        self._check_language_model(self.manifest["language_model"])
        self._check_graphs()

    def _check_tokens(self) -> None:
        self._check_intervals("tokens.text.ids", [self.tokens["text"]["ids"]])
        pad = self.tokens.get("pad")
        width = self.tokens["width"]
        if pad is not None:
            self._check_id("tokens.pad", pad)
        elif width > 1 or self.tokens["text"].get("zero_is_pad") or self.manifest["template"]["unconditional"] == "pads":
            raise ExportError("tokens.pad is absent; width above 1, zero_is_pad and unconditional \"pads\" need it")

    def _check_modality(self, field: str, modality: Mapping) -> None:
        books = modality["books"]
        head = modality["head"]
        self._check_choice(f"{field}.pattern", modality["pattern"], _PATTERNS)
        self._check_intervals(f"{field}.books", books)
        self._check_name(f"{field}.head", head, self.manifest["heads"])
        columns = self.manifest["heads"][head]
        for start, end in books:
            if not any(first <= start and end <= last for first, last in columns):
                raise ExportError(f"{field}.books: {head} has no columns for all of {[start, end]}")
        for kind, ids in modality["ends"].items():
            self._check_choice(f"{field}.ends", kind, {"turn", "segment"})
            for token in ids:
                if not any(first <= token < last for first, last in columns):
                    raise ExportError(f"{field}.ends: {head} has no column for the id {token}")
        delayed = modality["pattern"] == "delayed"
        if delayed and len(books) > self.tokens["width"]:
            raise ExportError(f"{field}: {len(books)} books in a position of {self.tokens['width']} ids")
        if "codec" in modality:
            self._check_codec(field, modality, pads=1 if delayed else 0)
        if "enhancer" in modality:
            self._check_name(f"{field}.enhancer", modality["enhancer"], self.manifest.get("enhancers", {}))

    def _check_codec(self, field: str, modality: Mapping, pads: int) -> None:
        """Checks that each book of the codec is a book of the modality, after `pads` ids that are no codes."""
        self._check_name(f"{field}.codec", modality["codec"], self.manifest["codecs"])
        codec = self.manifest["codecs"][modality["codec"]]
        found = [end - start - pads for start, end in modality["books"]]
        expected = [codec["codebook_size"]] * codec["books"]
        if found != expected:
            raise ExportError(f"{field}.books hold {found} codes; the codec {modality['codec']} has {expected}")

    def _check_template(self, template: Mapping) -> None:
        modalities = self.manifest["modalities"]
        tasks = template["tasks"]
        self._check_name("template.tasks", "text", tasks)
        for name, task in tasks.items():
            field = f"template.tasks.{name}"
            self._check_name(field, name, {*_FORMS_OF_TEXT, *modalities})
            self._check_task(field, task)
        for name, content in template["content"].items():
            self._check_pieces(f"template.content.{name}", content.get("open", []), content.get("close", []))
            if "feature" in content:
                self._check_id(f"template.content.{name}.feature", content["feature"])
        self._check_pieces("template.between", template.get("between", []))
        self._check_choice("template.choice", template["choice"], _CHOICES)
        self._check_choice("template.history", template.get("history", "as_made"), _HISTORIES)
        self._check_types("template", template, thinks=bool)
        if template.get("thinks"):
            self._check_name("template.thinks", "thinking", modalities)
        for name in modalities:
            self._check_name("template.segments", name, template["segments"])
            segment = template["segments"][name]
            self._check_pieces(f"template.segments.{name}", segment["open"], segment.get("close", []))
        if template.get("history") == "without_thinking" and "thinking" in modalities:
            reply = tasks.get("thinking", tasks["text"])["reply"]
            self._check_thinking_reply(reply + template["segments"]["thinking"]["open"])
        if template["choice"] == "by_opener":
            self._check_openers([template["segments"][name]["open"][:1] for name in modalities])
        if template["unconditional"] != "pads":
            self._check_id("template.unconditional.fill", template["unconditional"]["fill"])

    def _check_thinking_reply(self, opening: list) -> None:
        if not opening or not isinstance(opening[0], int):
            raise ExportError(
                f"template: a reply that thinks begins with {opening[:1]}; expected an id first, from where the reply is "
                "taken back, as history is without_thinking"
            )

    def _check_task(self, field: str, task: Mapping) -> None:
        self._check_types(field, task, system=str, trim=bool, merges=bool, sound_first=bool, question=str)
        self._check_pieces(field, task["begin"], task["reply"])
        if "system" in task:
            self._check_name(f"{field}.system", "system", task["turns"])
        for role, turn in task["turns"].items():
            self._check_choice(f"{field}.turns", role, _ROLES)
            self._check_types(f"{field}.turns.{role}", turn, after=str, strip=bool)
            self._check_pieces(f"{field}.turns.{role}", turn["open"], turn["join"], turn["close"])

    def _check_absent(self, absent: Mapping) -> None:
        for name, reason in absent.items():
            if name in self.manifest["modalities"]:
                raise ExportError(f"absent.{name} has a reason, but the modality is there; remove one of them")
            if not isinstance(reason, str):
                raise ExportError(f"absent.{name} is {reason!r}; expected a sentence")

    def _check_prompts(self) -> None:
        """Checks the program's instructions, the settings of each purpose, and the stages of reasoning."""
        for i, frame in enumerate(self.manifest["prompts"].get("transcript", [])):
            self._check_types(f"prompts.transcript[{i}]", frame, before=str, after=str)
        for purpose, settings in self.manifest.get("settings", {}).items():
            self._check_choice("settings", purpose, _PURPOSES)
            for name in settings:
                self._check_choice(f"settings.{purpose}", name, _SETTINGS)
        for stage, prompt in self.manifest.get("reasoning", {}).get("stages", {}).items():
            self._check_choice("reasoning.stages", stage, _STAGES)
            if not isinstance(prompt, str):
                raise ExportError(f"reasoning.stages.{stage} is {prompt!r}; expected text")

    def _check_openers(self, openers: list[list]) -> None:
        ids = [opener[0] if opener else None for opener in openers]
        if len(set(ids)) < len(ids) or not all(isinstance(token, int) for token in ids):
            raise ExportError(f"template.segments open with {ids}; by_opener needs another id for each modality")

    def _check_language_model(self, model: Mapping) -> None:
        self._check_positive("language_model", model, "hidden_size", "max_positions")
        if not model["state"]:
            raise ExportError("language_model.state is empty; expected the caches of the layers")
        for state in model["state"]:
            self._check_choice("language_model.state.kind", state["kind"], {"attention"})
            self._check_positive("language_model.state", state, "layers", "heads", "head_size")
            if not 0 < state["rotary"]["size"] <= state["head_size"]:
                raise ExportError(
                    f"language_model.state.rotary.size is {state['rotary']['size']}; expected 1..={state['head_size']}"
                )

    def _check_graphs(self) -> None:
        graphs = self.manifest["graphs"]
        needed = ["embed", "llm"] + (["audio_encoder"] if "audio_encoder" in self.manifest else [])
        for name, codec in self.manifest.get("codecs", {}).items():
            self._check_positive(f"codecs.{name}", codec, "sampling_rate", "hop_length", "books", "codebook_size")
            self._check_decoding(f"codecs.{name}", codec)
            needed += [codec[kind] for kind in ("encoder", "decoder") if kind in codec]
        needed += [enhancer["graph"] for enhancer in self.manifest.get("enhancers", {}).values()]
        for name in needed:
            self._check_name("graphs", name, graphs)

    def _check_decoding(self, field: str, codec: Mapping) -> None:
        decoding = codec["decoding"]
        self._check_choice(f"{field}.decoding.kind", decoding["kind"], {"windowed", "causal"})
        if "most_frames" in codec:
            self._check_positive(field, codec, "most_frames")
        if decoding["kind"] == "causal":
            self._check_positive(f"{field}.decoding", decoding, "chunk", "max_frames")
            self._check_positive(f"{field}.decoding.state", decoding["state"], "layers", "heads", "head_size")
            if not isinstance(decoding["lookahead"], int) or decoding["lookahead"] < 0:
                raise ExportError(f"{field}.decoding.lookahead is {decoding['lookahead']!r}; expected zero or more frames")
            if codec["books"] != 1 or "encoder" in codec:
                raise ExportError(f"{field}: a causal decoder has one codebook and no encoder")

    def _check_intervals(self, field: str, intervals: Iterable) -> None:
        if not intervals:
            raise ExportError(f"{field} is empty; expected at least one interval of ids")
        for start, end in intervals:
            if not 0 <= start < end <= self.size:
                raise ExportError(f"{field} has {[start, end]}; expected 0 <= start < end <= {self.size}")

    def _check_pieces(self, field: str, *lists: list) -> None:
        for piece in (piece for pieces in lists for piece in pieces):
            if not isinstance(piece, str):
                self._check_id(field, piece)

    def _check_positive(self, field: str, section: Mapping, *names: str) -> None:
        for name in names:
            if not isinstance(section[name], int) or section[name] < 1:
                raise ExportError(f"{field}.{name} is {section[name]!r}; expected a positive integer")

    def _check_types(self, field: str, section: Mapping, **types: type) -> None:
        """Checks the types of optional fields."""
        for name, kind in types.items():
            if name in section and not isinstance(section[name], kind):
                raise ExportError(f"{field}.{name} is {section[name]!r}; expected {kind.__name__}")

    def _check_id(self, field: str, token) -> None:
        if not isinstance(token, int) or not 0 <= token < self.size:
            raise ExportError(f"{field} has {token!r}; expected an id in 0..{self.size}")

    def _check_name(self, field: str, name: str, known: Iterable[str]) -> None:
        if name not in known:
            raise ExportError(f"{field}: {name!r} is not among {', '.join(known) or 'none'}")

    def _check_choice(self, field: str, value: str, known: set[str]) -> None:
        if value not in known:
            raise ExportError(f"{field} is {value!r}; expected {' or '.join(sorted(known))}")
