"""Operators, grouped by the effect of float16 on them."""

PRODUCTS = {
    "MatMul", "Gemm", "MatMulNBits", "Conv", "ConvTranspose", "GroupQueryAttention", "MultiHeadAttention",
}  # fmt: skip
"""Products: a graph benefits from float16 if most of them compute in it."""

SUMMED_EXACTLY = {
    "cuda": PRODUCTS,
    "webgpu": {"MatMulNBits", "GroupQueryAttention", "MultiHeadAttention"},
}  # fmt: skip
"""By provider, the products whose terms it adds up in more than float16, or so few at once that it is as good.

WebGPU's products with float weights and its convolutions add all terms in float16: 1e-2 of the largest value are lost with
2048 terms, 3e-2 with 8960.
"""

ARITHMETIC = {"Add", "Sub", "Mul", "Div", "Sum", "Neg", "Abs", "Min", "Max", "Clip", "Where"}
"""Operators that stay in float32 beside one that needs float32."""

LAYOUT = {
    "Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Tile", "Concat", "Split", "Slice",
    "Gather", "Pad",
}  # fmt: skip
"""Operators that move numbers without computing."""

HALF = PRODUCTS | ARITHMETIC | LAYOUT | {
    "Relu", "LeakyRelu", "Elu", "Gelu", "Sigmoid", "Tanh", "AveragePool", "LayerNormalization",
    "SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization",
}  # fmt: skip
"""Operators that may compute in float16: the squares of these norms are added up in float32 (by CUDA where the runtime asks for it).

All others stay in float32: exponentials, logarithms, sines, sums over a dimension, other norms, searches, comparisons.
"""

SEARCHES = {"ArgMax", "ArgMin", "TopK"}
"""Searches: the product that they choose among stays in float32, as does the arithmetic between."""

LOGARITHMS = {"Log"}
"""Logarithms: all operators before one stay in float32, because it magnifies small numbers that float16 cannot hold."""
