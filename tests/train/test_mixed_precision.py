"""The choice of the products' precision."""

import unittest
from unittest import mock

import context  # noqa: F401 (the import path of the recipe)
import torch
from train import mixed_precision


class Precision(unittest.TestCase):
    def chosen(self, supported: bool, seconds: dict[torch.dtype, float]) -> torch.dtype:
        mixed_precision._bfloat16_is_faster.cache_clear()
        self.addCleanup(mixed_precision._bfloat16_is_faster.cache_clear)
        with (
            mock.patch.object(torch.cpu, "_is_avx512_bf16_supported", return_value=supported),
            mock.patch.object(mixed_precision, "_seconds", side_effect=seconds.get),
            mixed_precision.networks(),
        ):
            return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype

    def test_bfloat16_is_used_where_the_processor_is_faster_at_it(self):
        fast = {torch.bfloat16: 1.0, torch.float32: 2.0}
        slow = {torch.bfloat16: 2.0, torch.float32: 1.0}
        self.assertEqual(self.chosen(True, fast), torch.bfloat16)
        self.assertEqual(self.chosen(True, slow), torch.float32)
        self.assertEqual(self.chosen(False, fast), torch.float32)


if __name__ == "__main__":
    unittest.main()
