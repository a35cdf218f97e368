"""The readers of weights: both formats, every float type, weight norm, damaged files."""

import context  # noqa: F401, isort: skip
import json
import pickle
import unittest
import zipfile

import numpy as np
from checkpoint_writer import encoded, write_safetensors, write_sharded, write_torch_zip
from context import TemporaryFolderTest
from ualm_export.errors import ExportError
from ualm_export.tensors import Rows, TensorStore, read_safetensors, read_safetensors_index, read_torch_zip

ARRAYS = {
    "a.weight": np.random.default_rng(0).standard_normal((7, 5), np.float32),
    "b": np.random.default_rng(1).standard_normal((4, 3, 2), np.float32),
    "empty": np.zeros((0, 3), np.float32),
}


def as_stored(array: np.ndarray, dtype: str) -> np.ndarray:
    """Returns the expected array after storage as `dtype`."""
    if dtype == "bfloat16":
        return (encoded(array, dtype).astype(np.uint32) << 16).view(np.float32)
    return array.astype(dtype).astype(np.float32)


class FormatsTest(TemporaryFolderTest):
    def assert_holds(self, tensors, dtype="float32"):
        self.assertEqual(set(tensors), set(ARRAYS))
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(tensors[name][:], as_stored(array, dtype))
            self.assertEqual(tensors[name][:].dtype, np.float32)

    def test_torch_zip_in_every_float_type(self):
        for dtype in ("float32", "float16", "bfloat16"):
            for wrap in (True, False):
                path = self.folder / "weights.pt"
                write_torch_zip(path, ARRAYS, dtype, wrap)
                self.assert_holds(read_torch_zip(path), dtype)

    def test_safetensors_in_every_float_type(self):
        for dtype in ("float32", "float16", "bfloat16"):
            path = self.folder / "model.safetensors"
            write_safetensors(path, ARRAYS, dtype)
            self.assert_holds(read_safetensors(path), dtype)

    def test_sharded_safetensors(self):
        write_sharded(self.folder, ARRAYS, shards=2)
        self.assert_holds(read_safetensors_index(self.folder / "model.safetensors.index.json"))

    def test_rows_are_read_alone(self):
        path = self.folder / "weights.pt"
        write_torch_zip(path, ARRAYS, "float16")
        tensor = read_torch_zip(path)["a.weight"]
        np.testing.assert_array_equal(tensor[2:4], as_stored(ARRAYS["a.weight"][2:4], "float16"))
        np.testing.assert_array_equal(tensor.part(3, 7)[1:3], as_stored(ARRAYS["a.weight"][4:6], "float16"))

    def test_rows_of_several_tensors_join(self):
        pieces = [ARRAYS["a.weight"], ARRAYS["a.weight"][:2], ARRAYS["a.weight"][5:]]
        joined = Rows(pieces)
        whole = np.concatenate(pieces)
        self.assertEqual(joined.shape, whole.shape)
        for start, stop in ((0, 11), (3, 8), (7, 9), (9, 11), (4, 4)):
            np.testing.assert_array_equal(joined[start:stop], whole[start:stop])


class DamageTest(TemporaryFolderTest):
    def assert_refused(self, read, path, *words):
        with self.assertRaises(ExportError) as raised:
            read(path)
        for word in (path.name, *words):
            self.assertIn(word, str(raised.exception))

    def test_truncated_safetensors(self):
        path = self.folder / "model.safetensors"
        write_safetensors(path, ARRAYS)
        path.write_bytes(path.read_bytes()[:-8])
        self.assert_refused(read_safetensors, path, "cut short")

    def test_not_safetensors(self):
        path = self.folder / "model.safetensors"
        path.write_bytes(b"hello")
        self.assert_refused(read_safetensors, path, "header")

    def test_missing_shard(self):
        write_sharded(self.folder, ARRAYS, shards=2)
        (self.folder / "model-00002-of-00002.safetensors").unlink()
        self.assert_refused(
            read_safetensors_index, self.folder / "model.safetensors.index.json", "model-00002-of-00002"
        )

    def test_truncated_torch_zip(self):
        path = self.folder / "weights.pt"
        write_torch_zip(path, ARRAYS)
        path.write_bytes(path.read_bytes()[:200])
        self.assert_refused(read_torch_zip, path, "zip")

    def test_no_code_of_the_pickle_runs(self):
        class Foreign:
            def __reduce__(self):
                return (print, ("this must never be printed",))

        path = self.folder / "weights.pt"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("weights/data.pkl", pickle.dumps({"module": Foreign()}, protocol=2))
        self.assert_refused(read_torch_zip, path, "no tensors")

    def test_a_tensor_that_reaches_outside_its_storage(self):
        path = self.folder / "weights.pt"
        write_torch_zip(path, {"a": np.zeros((2, 2), np.float32)})
        with zipfile.ZipFile(path) as archive:
            records = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in records.items():
                archive.writestr(name, content[:8] if name.endswith("data/0") else content)
        self.assert_refused(read_torch_zip, path, "outside its storage")

    def test_bad_header_entries(self):
        path = self.folder / "model.safetensors"
        for entry, word in (
            ({"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}, "F8_E4M3"),
            ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "does not fit"),
            ({"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}, "data_offsets"),
            ({"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}, "data_offsets"),
            ({"dtype": "F32", "data_offsets": [0, 4]}, "shape"),
            ([4], "expected dtype"),
        ):
            text = json.dumps({"x": entry}).encode()
            path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
            self.assert_refused(read_safetensors, path, word)


class WeightNormTest(unittest.TestCase):
    def test_old_and_new_names_fold_to_the_weight(self):
        generator = np.random.default_rng(0)
        v = generator.standard_normal((6, 4, 3), np.float32)
        for magnitude_name, direction_name in (
            ("conv.weight_g", "conv.weight_v"),
            ("conv.parametrizations.weight.original0", "conv.parametrizations.weight.original1"),
        ):
            for shape, axes in (((6, 1, 1), (1, 2)), ((1, 1, 3), (0, 1))):
                g = generator.standard_normal(shape, np.float32)
                store = TensorStore({magnitude_name: as_tensor(g), direction_name: as_tensor(v)})
                self.assertEqual(list(store), ["conv.weight"])
                expected = v * g / np.sqrt((v.astype(np.float64) ** 2).sum(axes, keepdims=True))
                np.testing.assert_allclose(store["conv.weight"][:], expected, rtol=1e-6)
                np.testing.assert_allclose(store["conv.weight"][2:5], expected[2:5], rtol=1e-6)

    def test_an_incomplete_pair_stays_unchanged(self):
        store = TensorStore({"conv.weight_g": as_tensor(np.ones((2, 1), np.float32))})
        self.assertEqual(list(store), ["conv.weight_g"])


def as_tensor(array: np.ndarray):
    from ualm_export.tensors import Tensor

    return Tensor(array.shape, lambda start, stop: array[start:stop])


if __name__ == "__main__":
    unittest.main()
