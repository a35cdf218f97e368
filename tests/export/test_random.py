"""Random weights and the generated tokenizer."""

import context  # noqa: F401, isort: skip
import json
import unittest

import numpy as np
from ualm_export.byte_tokenizer import byte_symbols, byte_tokenizer
from ualm_export.random_weights import RandomTensors


class RandomTensorsTest(unittest.TestCase):
    def test_rows_do_not_depend_on_how_they_are_read(self):
        tensors = RandomTensors({"x.weight": (3000, 700)}, seed=3)
        whole = tensors["x.weight"][:]
        for start, stop in ((0, 1), (1490, 1510), (2999, 3000), (7, 7)):
            np.testing.assert_array_equal(tensors["x.weight"][start:stop], whole[start:stop])
        self.assertAlmostEqual(float(whole.std()), 700**-0.5, delta=1e-3)
        self.assertFalse(np.array_equal(RandomTensors({"x.weight": (3000, 700)}, seed=4)["x.weight"][:], whole))

    def test_row_zero_of_the_embedding_is_zero(self):
        table = RandomTensors({"table.weight": (20, 8)}, tables=("table.weight",), zero_row="table.weight")["table.weight"]
        self.assertFalse(table[0:1].any())
        self.assertTrue(table[1:].all())


class ByteTokenizerTest(unittest.TestCase):
    def test_every_byte_has_a_symbol_of_its_own(self):
        symbols = byte_symbols()
        self.assertEqual(len(set(symbols)), 256)
        self.assertEqual((symbols[ord("a")], symbols[ord(" ")], symbols[ord("\n")]), ("a", "Ġ", "Ċ"))

    def test_size_and_order(self):
        vocabulary = json.loads(byte_tokenizer(300))["model"]["vocab"]
        self.assertEqual(sorted(vocabulary.values()), list(range(300)))
        self.assertEqual(vocabulary["!"], 0)
        with self.assertRaises(ValueError):
            byte_tokenizer(255)


if __name__ == "__main__":
    unittest.main()
