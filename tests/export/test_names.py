"""Names of tensors by role."""

import context  # noqa: F401, isort: skip
import unittest

from ualm_export.names import Names

TABLE = {"first": "conv1", "layers.{}.query": "blocks.{}.q", "layers.{}.units.{}.conv1": "block.{}.unit{}.conv"}


class NamesTest(unittest.TestCase):
    def test_numbers_are_carried_over_in_order(self):
        names = Names("model.", TABLE)
        self.assertEqual(names.name("first.weight"), "model.conv1.weight")
        self.assertEqual(names.name("layers.11.query.bias"), "model.blocks.11.q.bias")
        self.assertEqual(names.name("layers.2.units.3.conv1.alpha"), "model.block.2.unit3.conv.alpha")

    def test_shapes_and_tensors_follow_the_names(self):
        names = Names("", TABLE)
        self.assertEqual(names.shapes({"layers.0.query.weight": (2, 3)}), {"blocks.0.q.weight": (2, 3)})
        roles = names.roles({"blocks.0.q.weight": "the tensor"})
        self.assertEqual(roles.within("layers.0.")["query.weight"], "the tensor")

    def test_a_role_without_a_name_is_an_error(self):
        with self.assertRaises(KeyError):
            Names("", TABLE).name("second.weight")


if __name__ == "__main__":
    unittest.main()
