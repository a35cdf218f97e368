"""Networks in bfloat16 where the device is fast at it; spectra, phases and losses stay in float32."""

from __future__ import annotations

import torch


def networks(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
