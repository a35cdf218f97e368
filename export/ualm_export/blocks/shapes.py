"""Shapes of the tensors of common layers, by role."""

Shapes = dict[str, tuple[int, ...]]


def linear_shapes(name: str, out: int, into: int, bias: bool = True) -> Shapes:
    shapes = {f"{name}.weight": (out, into)}
    return shapes | {f"{name}.bias": (out,)} if bias else shapes


def norm_shapes(name: str, size: int) -> Shapes:
    """Returns the shapes of a layer norm's scale and shift."""
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def conv_shapes(name: str, out: int, into: int, kernel: int) -> Shapes:
    return {f"{name}.weight": (out, into, kernel), f"{name}.bias": (out,)}


def within(prefix: str, shapes: Shapes) -> Shapes:
    """Returns `shapes` with `prefix` before every role."""
    return {prefix + role: shape for role, shape in shapes.items()}
