"""Replies of the program for another system, compared with those of this machine's program.

Prompts are equal, and so are all tokens of float32 packages. Processors differ in how they round the activations of quantized packages to 8 bits, or
whether they do (`src/runtime/block_products.rs` has the ways), and from the first number that falls to another side on a reply may go on with
other tokens. So the equal replies of these are counted, the first different token of the others is printed, and a share must be equal: nearly all
on the processor of this machine, half of the default package's replies on another one. Small packages, whose next tokens are hardly likelier than
others, go other ways soon there: a share of their tokens comes before that. Where all tokens are equal, the samples differ by rounding alone.
"""
import json
import pathlib
import struct
import unittest

from emulated import FIXTURES, TARGET, Emulated, say

PROMPTS = ("a dog barking", "rain", "a rooster crowing", "sea waves", "a baby crying", "a siren")
DIGITS = ("five", "nine")
SEEDS = range(2)
SMALL = ("tiny-omni", "tiny-afwhisper", "tiny-audex")
# The same package with its portable graphs, natively and emulated.
PORTABLE = ("--provider", "cpu:vnni=0")
# Maximum difference of samples if all tokens are equal; the largest sample is about 1. Sound decoders may be quantized, too.
TOLERANCE = 1e-5
TOLERANCE_OF_QUANTIZED = 0.1 if TARGET.is_emulated_processor else TOLERANCE
# Minimum share of equal greedy replies of the default package, and of tokens before the first difference in small quantized packages.
LEAST, LEAST_OF_SMALL = (0.5, 0.2) if TARGET.is_emulated_processor else (0.9, 0.9)


class Answers(Emulated):
    def replies(self, name, package, requests, processor=None):
        """Answers requests emulated and natively; returns pairs of results, (emulated, native), with their sounds' folders."""
        (self.there / f"{name}.jsonl").write_text("".join(json.dumps(request) + "\n" for request in requests), encoding="utf-8")
        arguments = ["batch", f"{name}.jsonl", "--model", package, "--frames", "--float", "--threads", "2", *PORTABLE, "--out"]
        self.run_there(*arguments, f"{name}.there", processor=processor)
        self.run_natively(*arguments, f"{name}.here")
        return [self.results(f"{name}.{place}", requests) for place in ("there", "here")]

    def results(self, folder, requests):
        """Returns the results in a folder and checks that they are complete."""
        found = [json.loads(line) for line in (self.there / folder / "results.jsonl").read_text(encoding="utf-8").splitlines()]
        self.assertEqual([result["id"] for result in found], [request["id"] for request in requests])
        self.assertFalse([result for result in found if "error" in result])
        return found

    def compare(self, name, there, here, tolerance=TOLERANCE_OF_QUANTIZED):
        """Returns the numbers of replies with equal tokens, of tokens before the first different one, and of all tokens.

        Prompts must be equal, and sounds of equal tokens nearly so.
        """
        equal = 0
        differences = []
        largest = 0.0
        compared = 0
        before = sum(first_difference(tokens(one), tokens(other)) for one, other in zip(there, here))
        count = sum(len(tokens(other)) for other in here)
        for one, other in zip(there, here):
            self.assertEqual(one["prompt_frames"], other["prompt_frames"], one["id"])
            if tokens(one) != tokens(other):
                differences.append(f"{one['id']} from token {first_difference(tokens(one), tokens(other))} of {len(tokens(other))}")
                continue
            equal += 1
            self.assertEqual(texts(one), texts(other))
            for sound in sounds(one):
                found, expected = (samples(self.there / f"{name}.{place}" / sound) for place in ("there", "here"))
                self.assertEqual(len(found), len(expected), sound)
                largest = max([largest, *(abs(a - b) for a, b in zip(found, expected))])
                compared += len(found)
        noted = f"; different: {', '.join(differences)}" if differences else ""
        say(f"{name}: {equal} of {len(here)} replies and {before} of {count} tokens are this machine's, with {compared} samples within {largest:.1e}{noted}")
        self.assertLess(largest, tolerance, name)
        return equal, before, count

    def test_the_default_package_replies_as_on_this_machine(self):
        sounds = [asked(f"make {n}", text(words), "audio", temperature=0.0) for n, words in enumerate(PROMPTS)]
        sounds += [asked(f"speak {n}", text(words), "speech", temperature=0.0) for n, words in enumerate(DIGITS)]
        made = self.replies("greedy sounds", "package", sounds)
        questions = []
        for result in made[1]:
            kind, number = result["id"].split()
            file = {"path": f"greedy sounds.here/{result['segments'][0]['audio']}"}
            heard = [{"type": "audio", **file}, text("What sound is this?")] if kind == "make" else [text("Transcribe the speech."), {"type": "speech", **file}]
            questions.append(asked(f"hear {kind} {number}", heard, "text", temperature=0.0))
        heard = self.replies("greedy texts", "package", questions)
        for name, (there, here) in {"greedy sounds": made, "greedy texts": heard}.items():
            self.assertGreaterEqual(self.compare(name, there, here)[0], LEAST * len(here), name)
        drawn = [asked(f"{n} {seed}", text(words), "audio", seed=seed) for n, words in enumerate(PROMPTS) for seed in SEEDS]
        self.compare("drawn sounds", *self.replies("drawn sounds", "package", drawn))

    def test_small_packages_reply_as_on_this_machine_on_every_processor(self):
        for processor in TARGET.processors():
            for precision in ("fp32", "int8", "int4"):
                before = count = 0
                for package in SMALL:
                    name = "-".join(filter(None, (package, precision, processor)))
                    requests = [asked(f"{modality} {n}", text(words), modality, temperature=0.0, max_steps=24)
                                for modality in ("text", "audio", "speech") for n, words in enumerate(PROMPTS[:2])]  # fmt: skip
                    there, here = self.replies(name, FIXTURES / f"{package}-{precision}", requests, processor)
                    is_exact = precision == "fp32"
                    equal, *numbers = self.compare(name, there, here, TOLERANCE if is_exact else TOLERANCE_OF_QUANTIZED)
                    before = before + numbers[0]
                    count = count + numbers[1]
                    self.assertTrue(equal == len(here) or not is_exact, name)
                self.assertGreaterEqual(before, LEAST_OF_SMALL * count, f"{precision} {processor}")


def text(words):
    return {"type": "text", "text": words}


def asked(name, content, modality, seed=1, **settings):
    """Returns a request for one segment of a modality."""
    content = content if isinstance(content, list) else [content]
    request = {"id": name, "messages": [{"role": "user", "content": content}], "force": [modality], "max_segments": 1, "seed": seed}
    return request | ({modality: settings} if settings else {})


def tokens(result):
    return [frame for segment in result["segments"] for frame in segment["frames"]]


def texts(result):
    return [segment.get("text") for segment in result["segments"]]


def sounds(result):
    return [segment["audio"] for segment in result["segments"] if segment.get("audio")]


def first_difference(one, other):
    """Returns the index of the first difference of two lists, or the length of the shorter one."""
    return next((n for n, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))


def samples(path: pathlib.Path):
    """Reads the samples of a WAV file of 32-bit floats."""
    content = path.read_bytes()
    at = 12
    while at < len(content):
        name = content[at : at + 4]
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        if name == b"data":
            return struct.unpack(f"<{size // 4}f", content[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    raise ValueError(f"{path} has no samples")


if __name__ == "__main__":
    unittest.main()
