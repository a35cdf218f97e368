"""Mixed precision: networks in bfloat16 on a GPU; spectra, phases and losses in float32."""

from __future__ import annotations

import torch


def networks(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
