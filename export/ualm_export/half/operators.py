"""Operators by what float16 does to them."""

PRODUCTS = {
    "MatMul", "Gemm", "MatMulNBits", "Conv", "ConvTranspose", "GroupQueryAttention", "MultiHeadAttention",
}  # fmt: skip
"""What float16 is for: a graph without one of them gains nothing."""

ARITHMETIC = {"Add", "Sub", "Mul", "Div", "Sum", "Neg", "Abs", "Min", "Max", "Clip", "Where"}
"""Float16 beside products, float32 beside operators that need float32."""

LAYOUT = {
    "Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Tile", "Concat", "Split", "Slice",
    "Gather", "Pad",
}  # fmt: skip
"""Operators that move numbers and compute none."""

HALF = PRODUCTS | ARITHMETIC | LAYOUT | {
    "Relu", "LeakyRelu", "Elu", "Gelu", "Sigmoid", "Tanh", "AveragePool", "LayerNormalization",
    "SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization",
}  # fmt: skip
"""Operators that may compute in float16: providers sum the squares of these norms, and the products, in float32.

All others stay in float32: exponentials, logarithms, sines, sums over a dimension, other norms, searches, comparisons.
"""

SEARCHES = {"ArgMax", "ArgMin", "TopK"}
"""The product that they choose among stays in float32, as does the arithmetic between."""

LOGARITHMS = {"Log"}
"""All that leads to a logarithm stays in float32: it makes small numbers large, which float16 does not hold."""
