"""Mixed precision: networks in bfloat16 where the device is fast at it; spectra, phases, weights and losses in float32."""

from __future__ import annotations

import torch


def networks(device: torch.device | None = None) -> torch.autocast:
    """Returns a context with products in bfloat16 on a GPU, and on a processor with instructions for them (AVX512-BF16)."""
    kind = device.type if device else "cpu"
    return torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda" or torch.cpu._is_avx512_bf16_supported())
