"""Audex checkpoints of other sizes and forms, and refused ones, which leave no files behind."""

import context  # noqa: F401, isort: skip
import json
import math
import shutil
import unittest
from pathlib import Path

import numpy as np
from audex_checkpoint import AUDIOGEN, FULL, INDEX, SINGLE, SPEECH, XCODEC
from checkpoint_writer import write_safetensors
from context import FIXTURES, ExporterTest
from flat_reply import FlatPackage, Prompt
from synthetic_audex import MARKERS, SyntheticAudex, tokenizer
from ualm_export.errors import ExportError
from ualm_export.package import Options, export_package


class AudexTest(ExporterTest):
    def setUp(self):
        super().setUp()
        self.synthetic = SyntheticAudex()
        self.tensors = self.synthetic.tensors()

    def checkpoint(self) -> Path:
        """Writes the repository from `self.synthetic` and `self.tensors`."""
        return self.synthetic.write(self.folder / "checkpoint", self.tensors)

    def export(self, checkpoint: Path, xcodec: bool = True, **options) -> FlatPackage:
        if xcodec:
            options["xcodec"] = self.folder / "checkpoint" / XCODEC
        return FlatPackage(export_package(checkpoint, self.folder / "out", Options(**options)))


class SizesTest(AudexTest):
    def test_every_precision_of_unusual_sizes_exports_and_answers(self):
        checkpoint = self.checkpoint()
        for precision in ("fp32", "fp16", "int8", "int4"):
            package = self.export(checkpoint, precision=precision, force=True)
            (state,) = package.manifest["language_model"]["state"]
            self.assertEqual(state["rotary"], {"size": 12, "theta": 5000.0})
            self.assertEqual((state["layers"], state["heads"], state["head_size"]), (2, 2, 16))
            decoding = package.manifest["codecs"]["speech"]["decoding"]
            self.assertEqual((decoding["lookahead"], decoding["state"]["head_size"]), (0, 16))
            self.assertEqual(package.manifest["audio_encoder"]["window_seconds"], 2)
            features = package.features(np.full(50000, 2.0, np.float32))
            self.assertEqual(features.shape, (100, 48))
            codes = np.arange(7)
            sounds = [package.decode_speech(codes, chunk) for chunk in (1, 3, 7)]
            self.assertEqual(len(sounds[0]), 7 * 160)
            if precision in ("fp32", "fp16"):  # elsewhere activations are rounded by other blocks in each run
                np.testing.assert_allclose(sounds[0], sounds[2], atol=1e-5)
                np.testing.assert_allclose(sounds[1], sounds[2], atol=1e-5)
            sound = package.decode_audio(np.zeros((4, 9), np.int64))
            self.assertEqual(len(sound), 9 * 320)

    def test_ids_follow_the_tokenizer(self):
        manifest = self.export(self.checkpoint()).manifest
        ids = {name: token for token, name in enumerate(MARKERS, 7)}
        audio = 7 + len(MARKERS)
        speech = audio + 2048
        last = audio + 2048 + 105 + 256
        self.assertEqual(manifest["tokens"]["text"]["ids"], [0, last + 1])
        self.assertEqual(manifest["modalities"]["speech"]["books"], [[speech, speech + 105]])
        self.assertEqual(manifest["modalities"]["audio"]["books"][1], [audio + 256, audio + 512])
        self.assertEqual(manifest["modalities"]["speech"]["ends"]["turn"], [ids["<speechgen_end>"], ids["</s>"]])
        self.assertEqual(manifest["modalities"]["text"]["ends"]["turn"], [ids["</s>"]])
        tasks = manifest["template"]["tasks"]
        self.assertEqual(tasks["text"]["begin"], [ids["<s>"]])
        self.assertEqual(tasks["speech"]["begin"], [])
        self.assertEqual(tasks["text"]["turns"]["user"]["close"], [ids["</s>"]])
        self.assertTrue(all(turn["strip"] for turn in tasks["text"]["turns"].values()))
        self.assertNotIn("system", tasks["text"])
        self.assertNotIn("history", manifest["template"])
        self.assertFalse(manifest["template"]["thinks"])
        self.assertEqual(manifest["template"]["segments"]["thinking"], {"open": [ids["<think>"]]})

    def test_the_graphs_compute_what_the_weights_say(self):
        """Compares embedding, layers, last norm and the scaled head with plain arithmetic in float64."""
        package = self.export(self.checkpoint())
        ids = [30, 2400, 9, 15, 600, 601]
        hidden = package.extend(package.branch(16), package.embed(Prompt(ids)))
        expected = nemotron(self.tensors, np.array(ids), heads=4, key_value_heads=2, theta=5000.0, epsilon=1e-6)
        np.testing.assert_allclose(hidden, expected, atol=2e-5 * np.abs(expected).max())
        logits = 0.25 * self.tensors["lm_head.weight"].astype(np.float64) @ expected[-1]
        np.testing.assert_allclose(package.logits("head", hidden[-1]), logits, atol=2e-5 * np.abs(logits).max())

    def test_the_projector_computes_what_the_weights_say(self):
        """Compares the rows after the projector with the encoder's rows, which a plain projector passes on."""
        package = self.export(self.checkpoint())
        samples = np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32)
        found = package.features(samples)
        norm, fc1, fc2 = (self.tensors[f"audio_projector.{name}.weight"].astype(np.float64) for name in ("norm", "fc1", "fc2"))
        self.synthetic.language_model |= {"audio_projector_intermediate_size": 48, "audio_projector_activation": "relu2"}
        self.tensors |= plain_projector(24, 48)
        plain = self.export(self.checkpoint(), force=True).features(samples).astype(np.float64)
        encoded = np.sqrt(plain[:, :24]) - np.sqrt(plain[:, 24:])  # relu² of x and of −x
        inner = encoded * norm @ fc1.T
        erf = np.vectorize(math.erf)
        expected = 0.5 * inner * (1 + erf(inner / np.sqrt(2))) @ fc2.T
        np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())

    def test_tied_embeddings(self):
        del self.tensors["lm_head.weight"]
        self.synthetic.language_model["tie_word_embeddings"] = True
        package = self.export(self.checkpoint())
        hidden = np.ones(48, np.float32)
        expected = 0.25 * self.tensors["model.embed_tokens.weight"] @ hidden
        np.testing.assert_allclose(package.logits("head", hidden), expected, rtol=1e-3, atol=1e-4)

    def test_sliced_heads_of_float_precision_are_exact(self):
        checkpoint = self.checkpoint()
        whole = self.export(checkpoint)
        hidden = np.random.default_rng(0).standard_normal(48, np.float32)
        expected = whole.logits("head", hidden)
        sliced = self.export(checkpoint, speech_head="sliced", force=True)
        for head in ("text_head", "speech_head", "audio_head"):
            found = sliced.logits(head, hidden)
            there = ~np.isneginf(found)
            np.testing.assert_allclose(found[there], expected[there], rtol=1e-5, atol=1e-5)
        self.assertEqual({m.get("strict", True) for m in sliced.manifest["modalities"].values()}, {True})

    def test_speech_decoder_precision(self):
        checkpoint = self.checkpoint()
        sizes = {}
        for precision in ("fp32", "fp16", "int8"):
            package = self.export(checkpoint, speech_decoder_precision=precision, force=True)
            sizes[precision] = package.manifest["files"]["speech_decoder.onnx.data"]["size"]
            self.assertEqual(package.manifest["precision"], "fp32")
        self.assertGreater(sizes["fp32"], sizes["fp16"])
        self.assertGreater(sizes["fp16"], sizes["int8"])


class FormsTest(AudexTest):
    def files(self, checkpoint: Path, **options) -> dict:
        return self.export(checkpoint, force=True, **options).manifest["files"]

    def test_the_folders_of_the_model_are_accepted_by_themselves(self):
        root = self.checkpoint()
        expected = self.files(root)
        for name in (FULL, AUDIOGEN):
            package = self.export(root / name, force=True)
            self.assertEqual(package.manifest["files"], expected)
            self.assertEqual(package.manifest["name"], "checkpoint")

    def test_one_file_in_place_of_shards(self):
        root = self.checkpoint()
        expected = self.files(root)
        (root / FULL / INDEX).unlink()
        for shard in (root / FULL).glob("*.safetensors"):
            shard.unlink()
        model = {name: array for name, array in self.tensors.items() if not name.startswith(("speech_decoder.", "xcodec."))}
        write_safetensors(root / FULL / SINGLE, model)
        self.assertEqual(self.files(root), expected)

    def test_details_reach_the_manifest(self):
        root = self.checkpoint()
        details = {
            "name": "mine", "license": "CC0", "prompts": {"ask": "What?"}, "generation": {"speech": {"temperature": 0.05}},
            "settings": {"ask": {"max_steps": 7}}, "reasoning": {"modes": ["enrich"], "stages": {"final": "Make {caption}"}},
        }  # fmt: skip
        (root / "package.json").write_text(json.dumps(details))
        manifest = self.export(root, origin="here").manifest
        self.assertEqual((manifest["name"], manifest["license"], manifest["origin"]), ("mine", "CC0", "here"))
        self.assertEqual(manifest["modalities"]["speech"]["generation"]["temperature"], 0.05)
        self.assertEqual(manifest["modalities"]["speech"]["generation"]["top_k"], 80)
        self.assertEqual((manifest["settings"]["ask"]["max_steps"], manifest["settings"]["ask"]["top_p"]), (7, 0.9))
        self.assertEqual(manifest["reasoning"]["modes"], ["enrich"])
        self.assertEqual(manifest["reasoning"]["stages"]["final"], "Make {caption}")
        self.assertIn("{plan}", manifest["reasoning"]["stages"]["critique"])
        for wrong, word in (
            ({"settings": {"sing": {}}}, "sing"), ({"settings": {"ask": {"topk": 1}}}, "topk"),
            ({"generation": {"thinking": {"top_k": 1}}}, "thinking"), ({"reasoning": {"stages": {"dream": "x"}}}, "dream"),
        ):  # fmt: skip
            (root / "package.json").write_text(json.dumps(wrong))
            self.assert_refused(word, checkpoint=root, force=True)

    def test_several_ends(self):
        root = self.checkpoint()
        (root / FULL / "generation_config.json").write_text(json.dumps({"eos_token_id": [9, 7]}))
        modalities = self.export(root).manifest["modalities"]
        self.assertEqual(modalities["text"]["ends"], {"turn": [7, 9]})
        self.assertEqual(modalities["speech"]["ends"]["turn"][1:], [9, 7])

    def test_ids_that_the_tokenizer_inserts_before_a_text(self):
        front = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
        processor = {
            "type": "TemplateProcessing", "single": front, "pair": [*front, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [9], "tokens": ["<s>"]}},
        }  # fmt: skip
        self.synthetic.tokenizer["post_processor"] = processor
        tasks = self.export(self.checkpoint()).manifest["template"]["tasks"]
        self.assertEqual((tasks["speech"]["begin"], tasks["cascade"]["begin"]), ([9], [9]))
        processor["single"] = front[::-1]
        self.assert_refused("post_processor", "nothing after the text", force=True)

    def test_added_tokens_that_are_not_in_the_vocabulary_keep_their_ids(self):
        root = self.checkpoint()
        expected = self.files(root)
        vocabulary = self.synthetic.tokenizer["model"]["vocab"]
        for token in self.synthetic.tokenizer["added_tokens"]:
            del vocabulary[token["content"]]
        found = self.files(self.checkpoint())
        self.assertEqual({**found, "tokenizer.json": None}, {**expected, "tokenizer.json": None})
        package = self.export(self.checkpoint(), force=True)
        self.assertEqual(package.tokenizer.token_to_id("<last>"), package.manifest["tokens"]["text"]["ids"][1] - 1)


class RefusalTest(AudexTest):
    def test_one_error_lists_all_that_is_wrong_with_the_weights(self):
        del self.tensors["model.norm.weight"], self.tensors["speech_decoder.module.head.proj.weight"]
        del self.tensors["xcodec.fc2.bias"]
        self.tensors["audio_projector.fc1.weight"] = np.zeros((3, 5), np.float32)
        self.tensors["speech_decoder.module.surplus.weight"] = np.zeros((2, 2), np.float32)
        message = self.assert_refused(
            "model.norm.weight [48]", "speech_decoder.module.head.proj.weight [160, 36]", "xcodec.fc2.bias [12]",
            "audio_projector.fc1.weight: expected [36, 24], found [3, 5]", "speech_decoder.module.surplus.weight",
        )  # fmt: skip
        self.assertIn("3 expected and not found", message)

    def test_shards_that_are_missing_or_cut_short(self):
        root = self.checkpoint()
        shard = root / FULL / "model-00001-of-00002.safetensors"
        content = shard.read_bytes()
        shard.write_bytes(content[:-1000])
        self.assert_refused(shard.name, "cut short", checkpoint=root)
        shard.write_bytes(content[:5])
        self.assert_refused(shard.name, "cut short", checkpoint=root)
        shard.unlink()
        self.assert_refused(shard.name, FULL, checkpoint=root)
        self.assert_refused(shard.name, FULL, AUDIOGEN, "nor in", checkpoint=root / AUDIOGEN)
        for text, words in (("{", "weight_map"), ('{"weight_map": {"a": "../x"}}', "'../x'")):
            (root / FULL / INDEX).write_text(text)
            self.assert_refused(INDEX, words, checkpoint=root)

    def test_missing_parts(self):
        root = self.checkpoint()
        shutil.rmtree(root / SPEECH)
        self.assert_refused(SPEECH, checkpoint=root)
        root = self.checkpoint()
        (root / FULL / "tokenizer.json").unlink()
        self.assert_refused("tokenizer.json does not exist", checkpoint=root)
        root = self.checkpoint()
        (root / XCODEC / "config.json").unlink()
        self.assert_refused("config.json does not exist", checkpoint=root)
        self.assertFalse((self.folder / "out").exists())
        root = self.checkpoint()
        (root / FULL / "tokenizer_config.json").write_text("{}")
        self.assert_refused("chat_template", checkpoint=root)
        (root / "config.json").write_text(json.dumps({"model_type": "other"}))
        self.assert_refused("not a checkpoint of a known family", "Audex repository", checkpoint=root)

    def test_missing_and_misplaced_codec_symbols(self):
        def without(name: str) -> dict:
            content = tokenizer()
            content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != name]
            del content["model"]["vocab"][name]
            return content

        def moved(name: str, other: str) -> dict:
            content = tokenizer()
            vocabulary = content["model"]["vocab"]
            vocabulary[name], vocabulary[other] = vocabulary[other], vocabulary[name]
            for token in content["added_tokens"]:
                token["id"] = vocabulary[token["content"]]
            return content

        for content, words in (
            (without("<speechcodec_17>"), ("<speechcodec_17> is missing",)),
            (without("<speechcodec_104>"), ("<speechcodec_104> is missing", "105 codes")),
            (without("<audiocodec_2047>"), ("<audiocodec_2047> is missing", "2048")),
            (moved("<audiocodec_3>", "<last>"), ("<audiocodec_3> is the id",)),
            (tokenizer(speech=106), ("<speechcodec_105> is present",)),
            (without("<unk>"), ("<unk>",)),
            (without("<audiogen_end>"), ("<audiogen_end>",)),
        ):
            with self.subTest(words=words):
                self.synthetic.tokenizer = content
                self.assert_refused("tokenizer.json", *words)

    def test_without_xcodec_audio_symbols_are_not_counted(self):
        for audio in (100, 0):
            self.synthetic.tokenizer = tokenizer(audio=audio)
            self.export(self.checkpoint(), xcodec=False, force=True)
        self.assert_refused("<audiocodec_0> is missing", force=True)

    def test_ids_beyond_the_vocabulary(self):
        self.synthetic.language_model["vocab_size"] = 2400
        self.assert_refused("vocab_size is 2400")

    def test_unsupported_settings(self):
        changes = {
            "hidden_act": lambda c: c.language_model.update(hidden_act="silu"),
            "attention_bias": lambda c: c.language_model.update(attention_bias=True),
            "mlp_bias": lambda c: c.language_model.update(mlp_bias=True),
            "bias is True": lambda c: c.language_model.update(bias=True),
            "rotary scaling": lambda c: c.language_model.update(rope_parameters={"rope_type": "yarn", "rope_theta": 1.0}),
            "partial_rotary_factor": lambda c: c.language_model.update(partial_rotary_factor=0.5),
            "sliding_window": lambda c: c.language_model.update(sliding_window=128),
            "expected a multiple": lambda c: c.language_model.update(num_key_value_heads=3),
            "has no norm_eps": lambda c: c.language_model.pop("norm_eps"),
            "audio_projector_activation": lambda c: c.language_model.update(audio_projector_activation="silu"),
            "audio_encoder_hidden_size": lambda c: c.language_model.update(audio_encoder_hidden_size=25),
            "sound_embedding_size": lambda c: c.language_model.update(sound_embedding_size=750),
            "sound_token_id": lambda c: c.language_model.update(sound_token_id=3),
            "pos_meb_dim": lambda c: c.speech_decoder.update(pos_meb_dim=6),
            "codebook_size": lambda c: c.speech_decoder.update(codebook_size=106),
            "token_embed_dim": lambda c: c.speech_decoder.update(token_embed_dim=4),
            "codebook_levels": lambda c: c.speech_decoder.update(codebook_levels=[5, 3, 7, 1]),
            "even size": lambda c: c.speech_decoder.update(heads=12),
            "the model uses 4": lambda c: c.xcodec.update(target_bandwidths=[0.4, 0.8]),
            "eos_token_id": lambda c: c.language_model.update(eos_token_id="</s>"),
        }
        for word, change in changes.items():
            with self.subTest(word=word):
                self.synthetic = SyntheticAudex()
                change(self.synthetic)
                self.assert_refused(word)

    def test_values_of_other_types(self):
        changes = {
            "hidden_size is '32'": lambda c: c.language_model.update(hidden_size="32"),
            "num_attention_heads is 0": lambda c: c.language_model.update(num_attention_heads=0),
            "num_hidden_layers is 2.0": lambda c: c.language_model.update(num_hidden_layers=2.0),
            "max_position_embeddings is -1": lambda c: c.language_model.update(max_position_embeddings=-1),
            "rope_parameters is [1]": lambda c: c.language_model.update(rope_parameters=[1]),
            "rope_theta is 'large'": lambda c: c.language_model.update(rope_parameters={"rope_theta": "large"}),
            "logit_scale is True": lambda c: c.language_model.update(logit_scale=True),
            "codebook_levels is '537'": lambda c: c.speech_decoder.update(codebook_levels="537"),
            "lookahead_steps is -1": lambda c: c.speech_decoder.update(lookahead_steps=-1),
            "codebook_size is '8'": lambda c: c.xcodec.update(codebook_size="8"),
        }
        for words, change in changes.items():
            with self.subTest(words=words):
                self.synthetic = SyntheticAudex()
                change(self.synthetic)
                self.assert_refused(words, "expected")

    def test_one_error_lists_the_faults_of_all_files(self):
        root = self.checkpoint()
        index = json.loads((root / FULL / INDEX).read_text())
        shards = sorted(set(index["weight_map"].values()))
        for shard in shards:
            (root / FULL / shard).unlink()
        (root / FULL / "chat_template.jinja").write_bytes(b"\xff\xfe")
        (root / SPEECH / SINGLE).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
        tokens = json.loads((root / FULL / "tokenizer.json").read_text())
        gone = ("<so_end>", "<speechgen_end>", "<audiogen_start>")
        tokens["added_tokens"] = [token for token in tokens["added_tokens"] if token["content"] not in gone]
        (root / FULL / "tokenizer.json").write_text(json.dumps(tokens))
        self.assert_refused(*shards, "chat_template.jinja", "Git LFS", *gone, checkpoint=root)

    def test_files_that_are_not_text(self):
        for path in ("config.json", f"{FULL}/config.json", f"{FULL}/tokenizer.json", f"{FULL}/chat_template.jinja"):
            with self.subTest(path=path):
                root = self.checkpoint()
                (root / path).write_bytes(b"\xff\xfe\x00{")
                self.assert_refused(path, checkpoint=root)

    def test_invalid_settings_of_package_json(self):
        root = self.checkpoint()
        for generation, words in (
            ({"audio": 5}, "generation.audio is 5"),
            ({"audio": {"temperature": "hot"}}, "temperature is 'hot'"),
            ({"speech": {"max_steps": 0}}, "max_steps is 0"),
            ({"speech": {"top_k": 1.5}}, "top_k is 1.5"),
        ):  # fmt: skip
            (root / "package.json").write_text(json.dumps({"generation": generation}))
            self.assert_refused(words, checkpoint=root)

    def test_a_package_does_not_replace_its_own_x_codec(self):
        xcodec = self.checkpoint() / XCODEC
        (xcodec / "manifest.json").write_text("{}")
        with self.assertRaises(ExportError) as raised:
            export_package(self.folder / "checkpoint", xcodec, Options(xcodec=xcodec, force=True))
        self.assertIn("itself", str(raised.exception))
        self.assertTrue((xcodec / SINGLE).is_file())

    def test_options_of_other_families(self):
        self.assert_refused("--codec-encoder-precision", "Audex", codec_encoder_precision="fp16")
        ualm = FIXTURES / "checkpoints" / "tiny-omni"
        for options, word in (
            ({"xcodec": Path("x")}, "--xcodec"), ({"speech_head": "full"}, "--speech-head"),
            ({"speech_decoder_precision": "fp16"}, "--speech-decoder-precision"),
        ):  # fmt: skip
            with self.assertRaises(ExportError) as raised:
                export_package(ualm, self.folder / "out", Options(**options))
            self.assertIn(word, str(raised.exception))
            self.assertIn("UALM", str(raised.exception))
            self.assertFalse((self.folder / "out").exists())

    def test_unsupported_front_ends(self):
        root = self.checkpoint()
        folder = root / FULL / "audio_preprocessor"
        folder.mkdir()
        (folder / "preprocessor_config.json").write_text(json.dumps({"n_fft": 512}))
        self.assert_refused("n_fft is 512", checkpoint=root)


class TemplateRefusalTest(AudexTest):
    def test_unsupported_templates(self):
        for template, words in (
            ("{{ messages[0].content }}", ("not a template of Audex's kind",)),
            (self.synthetic.template.replace("<think>", "[T]"), ("<think>",)),
            ("{% for m in messages %}", ("is not a readable template",)),
            ("{{ raise_exception('no roles') }}", ("no roles",)),
            (self.synthetic.template.replace("m.content|trim", "(m.content if m.role == 'user' else m.content.lstrip())"),
             ("white space at the ends",)),
            (self.synthetic.template.replace("{% for m", "{% for x in messages[5:] %}!{% endfor %}{% for m"),
             ("several turns behind a system turn", "!<|im_start|>")),
            (self.synthetic.template.replace("'</s>'", "'\\n'"), ("expected the name of an added token first",)),
        ):  # fmt: skip
            with self.subTest(words=words):
                self.synthetic.template = template
                self.assert_refused(*words)

    def test_a_token_that_swallows_white_space(self):
        next(t for t in self.synthetic.tokenizer["added_tokens"] if t["content"] == "<think>")["rstrip"] = True
        self.synthetic.template = self.synthetic.template.replace("'<think>' if", "'<think>\\n' if")
        self.assert_refused("kind")


def nemotron(tensors: dict, ids: np.ndarray, heads: int, key_value_heads: int, theta: float, epsilon: float) -> np.ndarray:
    """Returns hidden states [T, H] of ids, in float64."""
    tensors = {name: array.astype(np.float64) for name, array in tensors.items() if name.startswith("model.")}

    def norm(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * tensors[name]

    x = tensors["model.embed_tokens.weight"][ids]
    layers = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("model.layers."))
    for i in range(layers):
        layer = f"model.layers.{i}."
        normed = norm(x, layer + "input_layernorm.weight")
        query, key, value = (
            (normed @ tensors[f"{layer}self_attn.{kind}_proj.weight"].T).reshape(len(x), count, -1)
            for kind, count in (("q", heads), ("k", key_value_heads), ("v", key_value_heads))
        )
        query = rotated_halves(query, theta)
        key = rotated_halves(key, theta)
        key, value = (np.repeat(array, heads // key_value_heads, 1) for array in (key, value))
        x = x + attention(query, key, value).reshape(len(x), -1) @ tensors[f"{layer}self_attn.o_proj.weight"].T
        up = norm(x, layer + "post_attention_layernorm.weight") @ tensors[f"{layer}mlp.up_proj.weight"].T
        x = x + np.square(np.maximum(up, 0)) @ tensors[f"{layer}mlp.down_proj.weight"].T
    return norm(x, "model.norm.weight")


def rotated_halves(x: np.ndarray, theta: float) -> np.ndarray:
    half = x.shape[-1] // 2
    angles = np.arange(len(x))[:, None, None] * theta ** (-np.arange(half) / half)
    a = x[..., :half]
    b = x[..., half:]
    cos = np.cos(angles)
    sin = np.sin(angles)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def attention(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Causal attention of [T, heads, size]."""
    scores = np.einsum("qhd,khd->hqk", query, key) / np.sqrt(query.shape[-1])
    scores = np.where(np.tril(np.ones(scores.shape[1:], bool)), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("hqk,khd->qhd", weights / weights.sum(-1, keepdims=True), value)


def plain_projector(size: int, inner: int) -> dict[str, np.ndarray]:
    """Returns a projector that computes relu² of the normed rows, then of their negatives."""
    identity = np.eye(size, dtype=np.float32)
    return {
        "audio_projector.norm.weight": np.ones(size, np.float32),
        "audio_projector.fc1.weight": np.concatenate([identity, -identity]),
        "audio_projector.fc2.weight": np.eye(inner, dtype=np.float32),
    }


if __name__ == "__main__":
    unittest.main()
