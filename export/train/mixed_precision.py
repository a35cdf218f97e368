"""Mixed precision: networks in bfloat16 where the device is fast at it; spectra, phases, weights and losses in float32."""

from __future__ import annotations

import functools
import time

import torch

SHAPE = (1024, 256, 640)  # of the products that are timed
REPETITIONS = 5


def networks(device: torch.device | None = None) -> torch.autocast:
    """Returns a context with products in bfloat16 on a GPU, and on a processor that computes them faster than in float32."""
    kind = device.type if device else "cpu"
    return torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda" or _bfloat16_is_faster())


@functools.cache
def _bfloat16_is_faster() -> bool:
    """Times products on this processor: AVX512-BF16 doubles the rate of float32 on some and halves it on others."""
    return torch.cpu._is_avx512_bf16_supported() and _seconds(torch.bfloat16) < _seconds(torch.float32)


def _seconds(dtype: torch.dtype) -> float:
    """Returns the time of a product, the shortest of a few."""
    m, k, n = SHAPE
    left = torch.ones(m, k, dtype=dtype)
    right = torch.ones(n, k, dtype=dtype)
    times = []
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        torch.nn.functional.linear(left, right)
        times.append(time.perf_counter() - began)
    return min(times)
