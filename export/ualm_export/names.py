"""The names of a block's tensors in a checkpoint."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .blocks.shapes import Shapes
from .tensors import Prefixed, Tensor

_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


@dataclass(frozen=True)
class Names:
    """Maps roles to names: `prefix`, the module's name, and the unchanged last part of the role (weight, bias).

    Numbers are written {} on both sides: "layers.{}.attention.query" may map to "layers.{}.self_attn.q_proj".
    """

    prefix: str
    modules: Mapping[str, str]

    def name(self, role: str) -> str:
        module, _, kind = role.rpartition(".")
        name = self.modules[_NUMBER.sub("{}", module)]
        return f"{self.prefix}{name.format(*_NUMBER.findall(module))}.{kind}"

    def shapes(self, shapes: Shapes) -> Shapes:
        """Returns `shapes` keyed by name instead of by role."""
        return {self.name(role): shape for role, shape in shapes.items()}

    def roles(self, tensors: Mapping) -> Prefixed:
        """Returns the tensors keyed by role instead of by name."""
        return Prefixed(_ByRole(tensors, self), "")


@dataclass(frozen=True)
class _ByRole:
    tensors: Mapping
    names: Names

    def __getitem__(self, role: str) -> Tensor:
        return self.tensors[self.names.name(role)]
