"""The spectral codec's graphs against plain numpy, with sizes that differ from all constants of the exporter."""

import math
import unittest

import context
import numpy as np
import onnxruntime
from ualm_export.codecs.spectral import SpectralCodec
from ualm_export.config import Config
from ualm_export.errors import ExportError
from ualm_export.graph import Storage

SIZES = {
    "model_type": "ualm_spectral", "sampling_rate": 8000, "hop_length": 48, "num_codebooks": 3, "codebook_size": 16,
    "codebook_dim": 5, "narrow_n_fft": 96, "narrow_bands": 7, "brief_n_fft": 32, "brief_bands": 4, "brief_factor": 3,
    "log_floor": 1e-2, "tonal_n_fft": 72, "tonal_factor": 2, "noise_n_fft": 24, "noise_factor": 4, "noise_period": 4,
    "noise_scale": 0.03, "decoder_hidden_size": 8, "decoder_layers": 2, "fine_hidden_size": 6, "fine_layers": 1,
    "expansion": 2, "kernel_size": 3, "input_kernel_size": 3, "max_log_magnitude": 1.0,
}  # fmt: skip
LEARNED = {"encoder_layers": 2, "encoder_hidden_size": 6}
S = type("Sizes", (), SIZES)
FRAMES = 20
PREFIX = "codec."


def weights_of(codec: SpectralCodec) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = codec.tensor_shapes()
    tensors = {name: random.standard_normal(shape).astype(np.float32) * 0.3 for name, shape in shapes.items()}
    tensors[PREFIX + "decoder.noise_table"] = random.integers(-99, 99, shapes[PREFIX + "decoder.noise_table"]).astype(np.int8)
    for view in ("narrow", "brief"):
        tensors[f"{PREFIX}encoder.{view}.bank"] = np.abs(tensors[f"{PREFIX}encoder.{view}.bank"])
    return tensors


class Reference:
    """The computation of the graphs in float64."""

    def __init__(self, tensors: dict[str, np.ndarray]):
        self.tensors = {name.removeprefix(PREFIX): array.astype(np.float64) for name, array in tensors.items()}

    def linear(self, x, name):
        return x @ self.tensors[name + ".weight"].T + self.tensors[name + ".bias"]

    def norm(self, x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * self.tensors[name + ".weight"] + self.tensors[name + ".bias"]

    def conv(self, x, name, groups=1):
        """Convolves x [T, channels] and keeps the number of frames."""
        kernel = self.tensors[name + ".weight"]
        half = kernel.shape[-1] // 2
        padded = np.pad(x, ((half, half), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[-1], 0)
        terms = "tck,ck->tc" if groups > 1 else "tck,ock->to"
        return np.einsum(terms, windows, kernel[:, 0] if groups > 1 else kernel) + self.tensors[name + ".bias"]

    def block(self, x, name):
        y = self.norm(self.conv(x, name + ".depthwise", groups=x.shape[1]), name + ".norm")
        y = self.linear(y, name + ".up")
        y = y * 0.5 * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
        return x + self.tensors[name + ".scale"] * self.linear(y, name + ".down")

    def energies(self, samples, view, n_fft, hop):
        edge = (n_fft - hop) // 2
        frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, edge), n_fft)[::hop]
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
        power = np.abs(np.fft.rfft(frames * window)) ** 2
        return 0.5 * np.log(power @ self.tensors[f"encoder.{view}.bank"].T + S.log_floor**2)

    def encode(self, samples):
        narrow = self.energies(samples, "narrow", S.narrow_n_fft, S.hop_length)
        brief = self.energies(samples, "brief", S.brief_n_fft, S.hop_length // S.brief_factor)
        energies = np.concatenate([narrow, brief.reshape(len(narrow), -1)], 1)
        left = self.linear(energies, "encoder.projection")
        if "encoder.enter.weight" in self.tensors:
            x = self.linear(energies, "encoder.enter")
            for i in range(LEARNED["encoder_layers"]):
                x = self.block(x, f"encoder.blocks.{i}")
            left = left + self.linear(x, "encoder.leave")
        codes = []
        for book in self.tensors["quantizer.codebooks"]:
            codes.append(((left[:, None] - book) ** 2).sum(-1).argmin(-1))
            left = left - book[codes[-1]]
        return np.stack(codes)

    def decode(self, codes):
        latents = sum(book[row] for book, row in zip(self.tensors["quantizer.codebooks"], codes))
        x = self.conv(latents, "decoder.conv_in")
        for i in range(S.decoder_layers):
            x = self.block(x, f"decoder.blocks.{i}")
        x = self.linear(self.norm(x, "decoder.upsample_norm"), "decoder.upsample").reshape(-1, S.fine_hidden_size)
        for i in range(S.fine_layers):
            x = self.block(x, f"decoder.fine_blocks.{i}")
        x = self.linear(self.norm(x, "decoder.norm"), "decoder.head")
        x = x + self.linear(latents, "decoder.expansion").reshape(x.shape)
        bins = S.tonal_n_fft // 2 + 1
        return self.tones(x[:, :bins], x[:, bins : 2 * bins]) + self.noise(x[:, 2 * bins :])

    def tones(self, log_magnitude, phase):
        """Adds the tones; every carrier has phase 0 in the middle of frame 0, and runs on."""
        hop = S.hop_length // S.tonal_factor
        n_fft = S.tonal_n_fft
        middle = np.arange(len(phase))[:, None] * hop
        carrier = 2 * np.pi * np.arange(phase.shape[1]) * (middle - n_fft / 2) / n_fft
        spectrum = np.exp(np.minimum(log_magnitude, S.max_log_magnitude) + 1j * (phase + carrier))
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
        return overlapped(spectrum, window, hop)

    def noise(self, log_magnitude):
        hop = S.hop_length // S.noise_factor
        bins = S.noise_n_fft // 2 + 1
        magnitude = np.exp(np.minimum(log_magnitude.reshape(-1, bins), S.max_log_magnitude))
        table = self.tensors["decoder.noise_table"] * S.noise_scale
        rows = table[np.arange(len(magnitude)) % len(table)]
        window = np.sin(np.pi * (np.arange(S.noise_n_fft) + 0.5) / S.noise_n_fft)
        return overlapped(magnitude * (rows[:, :bins] + 1j * rows[:, bins:]), window, hop)


def overlapped(spectrum, window, hop):
    """Sums the windowed inverse transforms and cuts both edges equally."""
    frames = np.fft.irfft(spectrum, len(window)) * window / (np.square(window).sum() / hop)
    total = np.zeros(hop * (len(frames) - 1) + len(window))
    for i, frame in enumerate(frames):
        total[i * hop : i * hop + len(window)] += frame
    edge = (len(window) - hop) // 2
    return total[edge : edge + hop * len(frames)]


class SpectralCodecTest(context.TemporaryFolderTest):
    def setUp(self):
        super().setUp()
        self.codec = SpectralCodec(Config(SIZES, "test"), PREFIX)
        self.tensors = weights_of(self.codec)
        self.codes = np.random.default_rng(1).integers(0, S.codebook_size, (S.num_codebooks, FRAMES))

    def session(self, name: str):
        path = self.folder / f"{name}.onnx"
        getattr(self.codec, f"build_{name}")(path, Storage(), self.tensors)
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def decode(self, session, codes: np.ndarray, first: int = 0) -> np.ndarray:
        return session.run(None, {"audio_codes": codes[None], "first_frame": np.array([first])})[0][0, 0]

    def test_codes(self):
        samples = np.random.default_rng(2).standard_normal(FRAMES * S.hop_length).astype(np.float32)
        codes = self.session("encoder").run(None, {"input_values": samples[None, None]})[0][0]
        np.testing.assert_array_equal(codes, Reference(self.tensors).encode(samples.astype(np.float64)))

    def test_codes_of_a_learned_encoder(self):
        self.codec = SpectralCodec(Config(SIZES | LEARNED, "test"), PREFIX)
        plain = self.tensors
        self.tensors = weights_of(self.codec)
        self.assertGreater(len(self.tensors), len(plain))
        self.test_codes()

    def test_samples(self):
        expected = Reference(self.tensors).decode(self.codes)
        found = self.decode(self.session("decoder"), self.codes)
        self.assertEqual(found.shape, expected.shape)
        self.assertLess(np.abs(found - expected).max() / np.abs(expected).max(), 1e-5)

    def test_a_part_with_context_decodes_like_the_whole(self):
        session = self.session("decoder")
        context_frames = self.codec.decoding["context_frames"]
        whole = self.decode(session, self.codes)
        start = context_frames
        end = FRAMES - context_frames
        part = self.decode(session, self.codes[:, start - context_frames : end + context_frames], start - context_frames)
        hop = S.hop_length
        inside = part[context_frames * hop : (end - start + context_frames) * hop]
        np.testing.assert_allclose(inside, whole[start * hop : end * hop], atol=1e-5)
        first = self.decode(session, self.codes[:, 3:], first=3)  # shows that the frame number matters
        self.assertGreater(np.abs(self.decode(session, self.codes[:, 3:]) - first).max(), 1e-3)

    def test_invalid_sizes_are_refused(self):
        for change in ({"brief_factor": 5}, {"kernel_size": 4}, {"noise_factor": 3}, {"tonal_n_fft": 20}, {"hop_length": 49}):
            with self.subTest(change), self.assertRaises(ExportError):
                SpectralCodec(Config(SIZES | change, "test"), PREFIX)


if __name__ == "__main__":
    unittest.main()
