"""Attention of the recipe's networks, against PyTorch's."""

import context  # noqa: F401, isort: skip
import unittest

import torch
import torch.nn.functional as F

from train import attention
from train.attention import attend, attend_causally

torch.set_num_threads(1)


class Attention(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)
        self.q, self.k, self.v = torch.randn(3, 2, 4, attention.QUERIES * 2 + 44, 32)

    def test_causal_attention_is_that_of_pytorch(self):
        expected = F.scaled_dot_product_attention(self.q, self.k, self.v, is_causal=True)
        torch.testing.assert_close(attend_causally(self.q, self.k, self.v), expected)

    def test_queries_after_a_past_are_the_last_positions(self):
        whole = attend_causally(self.q, self.k, self.v)
        for count in (1, 7):
            torch.testing.assert_close(attend_causally(self.q[:, :, -count:], self.k, self.v), whole[:, :, -count:])

    def test_masked_keys_do_not_count(self):
        valid = torch.arange(self.k.shape[2]) < torch.tensor([[9], [300]])
        bias = torch.zeros(valid.shape).masked_fill(~valid, float("-inf"))[:, None, None]
        expected = F.scaled_dot_product_attention(self.q, self.k, self.v, attn_mask=valid[:, None, None])
        torch.testing.assert_close(attend(self.q, self.k, self.v, bias), expected)


if __name__ == "__main__":
    unittest.main()
