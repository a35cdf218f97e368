"""The name of a repository on a hub: OWNER/NAME, or OWNER/NAME@REVISION."""

import re
from dataclasses import dataclass

_PART = r"[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9])?"
_NAME = re.compile(rf"(?P<owner>{_PART})/(?P<name>{_PART})(?:@(?P<revision>[\w.][\w./-]{{0,199}}))?", re.ASCII)


@dataclass(frozen=True)
class HubName:
    owner: str
    name: str
    revision: str = "main"
    """A branch, a tag or a commit."""

    @classmethod
    def parse(cls, text: str) -> "HubName | None":
        """Parses a name; `None` if `text` does not have its form."""
        found = _NAME.fullmatch(text)
        if not found or ".." in text or "--" in found["owner"] + found["name"]:
            return None
        return cls(found["owner"], found["name"], found["revision"] or "main")

    @property
    def repository(self) -> str:
        return f"{self.owner}/{self.name}"

    def __str__(self) -> str:
        return self.repository if self.revision == "main" else f"{self.repository}@{self.revision}"
