"""Export of checkpoints: other sizes and forms, errors, and atomic writes."""

import context  # noqa: F401, isort: skip
import json
import unittest
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from checkpoint_writer import write_safetensors, write_sharded, write_torch_zip
from context import ExporterTest
from enhancer import write_enhancer
from reply import Package
from synthetic_checkpoint import AF_ENCODER, SyntheticCheckpoint
from ualm_export.audio_encoder import AudioEncoder
from ualm_export.errors import ExportError
from ualm_export.families.ualm.vocabulary import Vocabulary
from ualm_export.manifest import describe_file
from ualm_export.package import Options, export_package

HEAD = "model.embed_tokens.weight"


class ExportTest(ExporterTest):
    def setUp(self):
        super().setUp()
        self.synthetic = SyntheticCheckpoint()
        self.tensors = self.synthetic.tensors()

    def checkpoint(self, weights=write_torch_zip) -> Path:
        """Writes the checkpoint folder from `self.synthetic` and `self.tensors`."""
        folder = self.folder / "checkpoint"
        folder.mkdir(exist_ok=True)
        self.synthetic.write(folder)
        name = "mp_rank_00_model_states.pt" if weights is write_torch_zip else "model.safetensors"
        weights(folder / name, self.tensors)
        return folder

    def export(self, checkpoint: Path | None = None, **options) -> Path:
        return export_package(checkpoint or self.checkpoint(), self.folder / "out", Options(**options))


class SizesTest(ExportTest):
    def test_every_precision_of_unusual_sizes_exports_and_answers(self):
        checkpoint = self.checkpoint()
        for precision in ("fp32", "fp16", "int8", "int4"):
            out = export_package(checkpoint, self.folder / precision, Options(precision=precision))
            package = Package(out)
            self.assertEqual((package.width, package.tokens["size"]), (3, 256 + 300 + 3 * 513))
            self.assertEqual(package.audio[1], [556 + 513, 556 + 2 * 513])
            (state,) = package.manifest["language_model"]["state"]
            self.assertEqual(state["rotary"], {"size": 24, "theta": 50000.0})
            self.assertEqual((state["layers"], state["heads"], state["head_size"]), (1, 3, 32))
            self.assertEqual(package.manifest["audio_encoder"]["chunk_frames"], 100)
            noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
            features = package.features(noise)
            self.assertEqual(features.shape, (25, 72))
            branch = package.branch(128)
            package.open_segment(branch, features)
            segment = package.segment(branch, "audio", 6, 3.0)
            codes = package.codes(segment.frames)
            self.assertEqual(len(package.decode(codes)), 320 * codes.shape[1])
            self.assertEqual(package.encode(noise).shape, (3, 50))

    def test_targets_add_the_forms_that_their_providers_need(self):
        out = self.export(precision="int8", targets=("cpu", "cuda", "openvino"))
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        self.assertEqual(set(manifest["variants"]), {"cuda"})
        self.assertEqual(manifest["variants"]["cuda"]["llm"], "llm.half.onnx")
        self.assertEqual(manifest["graphs"]["llm"], "llm.onnx")
        self.assertNotIn("llm.half", manifest["graphs"])
        self.assertIn("llm.half.onnx", manifest["files"])
        types = {v.name: v.type.tensor_type.elem_type for v in onnx.load(out / "llm.half.onnx").graph.input}
        self.assertEqual(types["past_key_values.0.key"], onnx.TensorProto.FLOAT16)
        plain = json.loads((self.export(force=True) / "manifest.json").read_text(encoding="utf-8"))
        self.assertNotIn("variants", plain)

    def test_audio_flamingo_encoder_by_its_newer_names(self):
        self.synthetic.encoder = dict(AF_ENCODER)
        self.tensors = self.synthetic.tensors()
        package = Package(self.export())
        encoder = package.manifest["audio_encoder"]
        self.assertEqual(
            (encoder["kind"], encoder["window_seconds"], encoder["pad_to_window"]), ("af_whisper", 2, True)
        )
        self.assertEqual(package.features(np.ones(8000, np.float32)).shape, (12, 72))

    def test_the_graphs_compute_what_the_weights_say(self):
        """Compares heads, streams and tied embedding with plain arithmetic on the tensors."""
        package = Package(self.export())
        hidden = np.random.default_rng(0).standard_normal((72,), np.float32)
        head = self.tensors[HEAD]
        streams = self.tensors["stream_emb.weight"]
        np.testing.assert_allclose(package.logits("text", hidden), head[:556] @ hidden, rtol=1e-3, atol=1e-4)
        expected = [head[556:1069] @ hidden]
        expected += [head[556 + 513 * i : 556 + 513 * (i + 1)] @ (hidden + streams[i]) for i in (1, 2)]
        expected.append(head[2:4] @ hidden)
        np.testing.assert_allclose(package.logits("audio", hidden), np.concatenate(expected), rtol=1e-3, atol=1e-4)
        ids = [[5, 0, 0], [700, 1100, 2000]]
        np.testing.assert_allclose(package.embed(ids), head[np.array(ids)].sum(1), rtol=1e-5, atol=1e-5)

    def test_a_separate_head_takes_precedence_over_tied_embeddings(self):
        head = np.random.default_rng(5).standard_normal(self.tensors[HEAD].shape, np.float32)
        self.tensors["lm_head.weight"] = head
        hidden = np.ones(72, np.float32)
        np.testing.assert_allclose(
            Package(self.export()).logits("text", hidden), head[:556] @ hidden, rtol=1e-3, atol=1e-4
        )

    def test_audio_before_text(self):
        self.synthetic.io_order = ("discrete_audio", "continuous_audio", "text")
        self.tensors = self.synthetic.tensors()
        package = Package(self.export())
        self.assertEqual(package.audio[0], [256, 769])
        self.assertEqual(package.tokens["text"]["ids"], [1795, 2095])
        self.assertEqual(package.manifest["heads"]["text_head"], [[0, 2095]])

    def test_fewer_streams_than_quantizers(self):
        self.synthetic.codec["target_bandwidths"] = [0.45, 1.8]
        for name in list(self.tensors):
            if "quantizers.2.codebook.embed" in name:
                self.tensors[name.replace("quantizers.2", "quantizers.3")] = self.tensors[name]
        package = Package(self.export())
        self.assertEqual((package.width, package.codec["books"], len(package.audio)), (3, 3, 3))

    def test_max_positions_caps_the_context(self):
        model = Package(self.export(max_positions=100)).manifest["language_model"]
        self.assertEqual(model["max_positions"], 100)


class FormsTest(ExportTest):
    def test_all_forms_of_weights_give_the_same_package(self):
        def files(**kwargs) -> dict:
            return json.loads((self.export(force=True, **kwargs) / "manifest.json").read_text())["files"]

        checkpoint = self.checkpoint()
        torch_files = files(checkpoint=checkpoint)
        weights = checkpoint / "mp_rank_00_model_states.pt"
        weights.unlink()
        write_safetensors(checkpoint / "model.safetensors", self.tensors)
        self.assertEqual(files(checkpoint=checkpoint), torch_files)
        (checkpoint / "model.safetensors").unlink()
        write_sharded(checkpoint, self.tensors)
        self.assertEqual(files(checkpoint=checkpoint), torch_files)

    def test_weight_norm_and_unused_tensors(self):
        prefix = "multimodal_io_dict.discrete_audio.codec_model."
        name = prefix + "semantic_model.encoder.pos_conv_embed.conv.weight"
        weight = self.tensors.pop(name)
        self.tensors[name + "_g"] = np.sqrt((weight**2).sum((0, 1), keepdims=True))
        self.tensors[name + "_v"] = weight * 3
        self.tensors[prefix + "fc1.weight"] = np.zeros((2, 2), np.float32)
        self.tensors[prefix + "quantizer.quantizers.0.codebook.embed_avg"] = np.zeros((2, 2), np.float32)
        self.export()

    def test_bfloat16_and_float16(self):
        for dtype in ("bfloat16", "float16"):
            checkpoint = self.checkpoint(partial(write_safetensors, dtype=dtype))
            package = Package(self.export(checkpoint, force=True))
            table = self.tensors[HEAD]
            found = package.embed([[300, 0, 0]])[0]
            self.assertLess(np.abs(found - table[300]).max() / np.abs(table[300]).max(), 1e-2)

    def test_rope_theta_of_both_generations(self):
        del self.synthetic.language_model["rope_parameters"]
        self.synthetic.language_model["rope_theta"] = 1234.0
        self.assertEqual(Package(self.export()).manifest["language_model"]["state"][0]["rotary"]["theta"], 1234.0)
        del self.synthetic.language_model["rope_theta"]
        self.assert_refused("rope_theta", force=True)

    def test_folders_by_absolute_path_and_by_base_name(self):
        checkpoint = self.checkpoint()
        self.synthetic.folders = {
            "llm": "somebody/llm", "codec": str((checkpoint / "codec").resolve()), "encoder": "/not/here/encoder",
        }  # fmt: skip
        self.export(self.checkpoint())

    def test_details_and_options_reach_the_manifest(self):
        checkpoint = self.checkpoint()
        details = {
            "name": "small", "license": "CC0", "half_trained": True, "known_words": ["dog"],
            "prompts": {"ask": "What?", "translate": "In English."}, "languages": ["en", "de"],
            "generation": {"audio": {"guidance": 2.0}},
        }  # fmt: skip
        (checkpoint / "package.json").write_text(json.dumps(details), encoding="utf-8-sig")  # with a byte order mark
        manifest = Package(self.export(checkpoint, origin="here", license="MIT")).manifest
        self.assertEqual((manifest["name"], manifest["license"], manifest["origin"]), ("small", "MIT", "here"))
        self.assertTrue(manifest["half_trained"])
        self.assertEqual(manifest["known_words"], ["dog"])
        prompts = {"ask": "What?", "transcribe": "Transcribe the speech.", "translate": "In English."}
        self.assertEqual((manifest["prompts"], manifest["languages"]), (prompts, ["en", "de"]))
        self.assertEqual(manifest["modalities"]["audio"]["generation"]["guidance"], 2.0)
        self.assertEqual(manifest["modalities"]["audio"]["generation"]["temperature"], 0.8)

    def test_valid_reasoning_reaches_the_manifest(self):
        checkpoint = self.checkpoint()
        reasoning = {"default": "reflect", "modes": ["enrich", "reflect"], "prompts": {"enrich": "Enrich: {}"}}
        (checkpoint / "package.json").write_text(json.dumps({"name": "small", "reasoning": reasoning}))
        self.assertEqual(Package(self.export(checkpoint)).manifest["reasoning"], reasoning)
        for wrong, *words in (
            ({"mode": "enrich"}, "mode"),
            ({"default": "guess"}, "guess", "dialogue"),
            ({"modes": "enrich"}, "modes", "list"),
            ({"prompts": {"enrich": "Enrich."}}, "Enrich."),
        ):
            (checkpoint / "package.json").write_text(json.dumps({"reasoning": wrong}))
            self.assert_refused(*words, checkpoint=checkpoint, force=True)

    def test_checksums_are_of_the_files(self):
        out = self.export()
        files = json.loads((out / "manifest.json").read_text())["files"]
        self.assertEqual(set(files), {path.name for path in out.iterdir()} - {"manifest.json"})
        for name, description in files.items():
            self.assertEqual(describe_file(out / name), description)

    def test_enhancer_is_copied_when_it_keeps_the_contract(self):
        checkpoint = self.checkpoint()
        write_enhancer(checkpoint / "enhancer.onnx")
        manifest = Package(self.export(checkpoint)).manifest
        enhancer = {"graph": "enhancer", "sampling_rate": 48000, "channels": 2}
        self.assertEqual(manifest["enhancers"], {"enhancer": enhancer})
        self.assertEqual(manifest["modalities"]["speech"]["enhancer"], "enhancer")
        self.assertIn("enhancer", manifest["graphs"])
        write_enhancer(checkpoint / "enhancer.onnx", "something_else")
        self.assert_refused("enhancer.onnx", "something_else", checkpoint=checkpoint, force=True)


class RefusalTest(ExportTest):
    def test_one_error_lists_all_that_is_wrong_with_the_weights(self):
        del self.tensors["model.norm.weight"], self.tensors["model.layers.0.mlp.up_proj.weight"]
        self.tensors["adaptor.continuous_audio.bias"] = np.zeros(5, np.float32)
        self.tensors["surplus.weight"] = np.zeros((2, 2), np.float32)
        message = self.assert_refused("expected [72], found [5]", "surplus.weight [2, 2]", "up_proj.weight [100, 72]")
        self.assertIn("2 expected and not found", message)
        self.assertIn("model.norm.weight", message)

    def test_vocabulary_of_another_size(self):
        self.synthetic.language_model["vocab_size"] = 301
        self.assert_refused(HEAD, "[2096, 72]", "[2095, 72]")

    def test_pad_that_is_not_zero(self):
        self.tensors[HEAD][0, 0] = 1
        self.assert_refused("row 0")

    def test_weights_that_are_not_finite(self):
        self.tensors["model.norm.weight"][3] = np.nan
        self.assert_refused("llm.onnx", "not finite")

    def test_unsupported_settings(self):
        changes = {
            "rotary scaling": lambda c: c.language_model["rope_parameters"].update(rope_type="yarn"),
            "model_type": lambda c: c.language_model.update(model_type="llama"),
            "an even size": lambda c: c.language_model.update(num_attention_heads=8, num_key_value_heads=8),
            "use_sliding_window": lambda c: c.language_model.update(use_sliding_window=True),
            "n_window": lambda c: c.encoder.update(n_window=25),
            "wavlm": lambda c: c.codec["semantic_model_config"].update(model_type="wavlm"),
            "different products": lambda c: c.codec["acoustic_model_config"].update(upsampling_ratios=[2, 2]),
            "codebook_dim": lambda c: c.codec.update(codebook_dim=7),
            "supported: xcodec": lambda c: c.codec.update(model_type="encodec"),
        }
        for word, change in changes.items():
            with self.subTest(word=word):
                self.synthetic = SyntheticCheckpoint()
                change(self.synthetic)
                self.assert_refused(word)

    def test_missing_parts(self):
        checkpoint = self.checkpoint()
        (checkpoint / "llm" / "tokenizer.json").unlink()
        self.assert_refused("tokenizer.json", checkpoint=checkpoint)
        self.checkpoint()
        (checkpoint / "mp_rank_00_model_states.pt").unlink()
        self.assert_refused("no weights", checkpoint=checkpoint)
        self.synthetic.folders["codec"] = "elsewhere/codex"
        self.assert_refused("elsewhere/codex", "codex")
        (checkpoint / "train.yaml").unlink()
        self.assert_refused("train.yaml", checkpoint=checkpoint)

    def test_unsupported_front_ends(self):
        checkpoint = self.checkpoint()
        (checkpoint / "encoder" / "preprocessor_config.json").write_text(json.dumps({"hop_length": 320}))
        self.assert_refused("preprocessor_config.json", "hop_length is 320", checkpoint=checkpoint)

    def test_model_parallel_checkpoint(self):
        checkpoint = self.checkpoint()
        (checkpoint / "mp_rank_01_model_states.pt").write_bytes(b"")
        self.assert_refused("mp_rank_01", checkpoint=checkpoint)

    def test_unknown_details(self):
        checkpoint = self.checkpoint()
        for details, word in (({"licence": "x"}, "licence"), ({"generation": {"audio": {"topk": 3}}}, "topk")):
            (checkpoint / "package.json").write_text(json.dumps(details))
            self.assert_refused(word, checkpoint=checkpoint)


class AllOrNothingTest(ExportTest):
    def test_a_failed_export_keeps_the_older_package(self):
        checkpoint = self.checkpoint()
        out = self.export(checkpoint)
        older = (out / "manifest.json").read_bytes()
        original = AudioEncoder.build

        def fail(*_):
            raise KeyboardInterrupt

        AudioEncoder.build = fail
        self.addCleanup(setattr, AudioEncoder, "build", original)
        with self.assertRaises(KeyboardInterrupt):
            self.export(checkpoint, force=True)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["checkpoint", "out"])
        self.assertEqual((out / "manifest.json").read_bytes(), older)

    def test_an_existing_folder_is_replaced_only_when_asked_and_a_package(self):
        checkpoint = self.checkpoint()
        out = self.export(checkpoint)
        self.assert_refused("--force", checkpoint=checkpoint)
        (out / "manifest.json").unlink()
        self.assert_refused("not a package", checkpoint=checkpoint, force=True)

    def test_the_checkpoint_itself_is_never_replaced(self):
        checkpoint = self.checkpoint()
        with self.assertRaises(ExportError):
            export_package(checkpoint, checkpoint, Options(force=True))
        self.assertTrue((checkpoint / "train.yaml").is_file())


class VocabularyTest(unittest.TestCase):
    def test_layout_follows_the_order_of_the_ios(self):
        vocabulary = Vocabulary.layout(["text", "discrete_audio"], 10, 2, 4)
        self.assertEqual(
            (vocabulary.text, vocabulary.audio, vocabulary.size), ((256, 266), ((266, 271), (271, 276)), 276)
        )
        with self.assertRaises(ExportError):
            Vocabulary.layout(["text"], 10, 2, 4)


if __name__ == "__main__":
    unittest.main()
