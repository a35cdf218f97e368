#!/usr/bin/env python3
"""Makes the sound of a sentence from Python, with nothing but ctypes and the C library.

    ualm_ctypes.py LIBRARY PACKAGE PROMPT OUT.wav [--seed N] [--json]

LIBRARY is libualm.so.1 (macOS: libualm.1.dylib, Windows: ualm.dll). --json prints the token frames, too.
"""
import argparse
import contextlib
import ctypes
import json
import sys
from ctypes import POINTER, byref, c_char_p, c_double, c_float, c_int, c_int32, c_size_t, c_uint32, c_uint64, c_void_p

ABI_VERSION = 1
MODALITY_AUDIO, ROLE_USER, WAV_PCM16, EVENT_AUDIO_PROGRESS = 2, 2, 1, 3


class Samples(ctypes.Structure):
    """ualm_samples"""

    _fields_ = [("data", POINTER(c_float)), ("frames", c_size_t), ("channels", c_uint32), ("sample_rate", c_uint32)]


class Segment(ctypes.Structure):
    """ualm_segment"""

    _fields_ = [
        ("struct_size", c_size_t), ("modality", c_int32), ("end", c_int32), ("text", c_void_p), ("text_len", c_size_t),
        ("audio", POINTER(Samples)), ("frames", POINTER(c_uint32)), ("frame_count", c_size_t), ("stream_count", c_size_t),
    ]  # fmt: skip


class Event(ctypes.Structure):
    """ualm_event"""

    _fields_ = [
        ("struct_size", c_size_t), ("kind", c_int32), ("modality", c_int32), ("segment_index", c_size_t), ("text", c_void_p),
        ("text_len", c_size_t), ("seconds", c_double), ("audio", POINTER(Samples)), ("segment", POINTER(Segment)),
        ("usage", c_void_p),
    ]  # fmt: skip


class SegmentOptions(ctypes.Structure):
    """ualm_segment_options"""

    _fields_ = [
        ("temperature", c_float), ("top_p", c_float), ("guidance", c_float), ("top_k", c_uint32), ("max_steps", c_uint32),
        ("min_steps", c_uint32),
    ]  # fmt: skip


class GenerationOptions(ctypes.Structure):
    """ualm_generation_options"""

    _fields_ = [
        ("struct_size", c_size_t), ("seed", c_uint64), ("max_segments", c_size_t), ("force", POINTER(c_int32)),
        ("force_len", c_size_t), ("text", SegmentOptions), ("audio", SegmentOptions), ("speech", SegmentOptions),
        ("stream_audio", c_int32), ("insist", c_int32),
    ]  # fmt: skip


Callback = ctypes.CFUNCTYPE(c_int, POINTER(Event), c_void_p)


class UalmError(Exception):
    """A call that failed."""


HANDLE, OUT = c_void_p, POINTER(c_void_p)
# What each function of ualm.h takes and returns; c_int32 is a status.
FUNCTIONS = {
    "abi_version": (c_uint32,),
    "last_error": (c_char_p,),
    "status_name": (c_char_p, c_int32),
    "model_load": (c_int32, c_char_p, c_void_p, OUT),
    "session_new": (c_int32, HANDLE, OUT),
    "session_generate": (c_int32, HANDLE, HANDLE, POINTER(GenerationOptions), HANDLE, Callback, c_void_p, OUT),
    "prompt_new": (c_int32, OUT),
    "prompt_add_text": (c_int32, HANDLE, c_int32, c_char_p),
    "generation_options_init": (c_int32, POINTER(GenerationOptions), c_size_t, HANDLE),
    "reply_segment": (POINTER(Segment), HANDLE, c_size_t),
    "reply_audio": (POINTER(Samples), HANDLE),
    "wav_write": (c_int32, c_char_p, POINTER(Samples), c_int32),
} | {f"{kind}_free": (None, HANDLE) for kind in ("model", "session", "prompt", "reply")}  # fmt: skip


class Library:
    """The C library; `library.model_load(…)` calls ualm_model_load and raises UalmError when it fails.

    Threads may share it: the functions are declared here, once, and never changed. (ctypes keeps one object for each
    function of a library; to change its result's type while another thread calls it ends the process.)
    """

    def __init__(self, path):
        self.dll = ctypes.CDLL(path)
        for name, (result, *arguments) in FUNCTIONS.items():
            function = getattr(self.dll, f"ualm_{name}")
            function.restype, function.argtypes = result, arguments
            if result is c_int32:
                function.errcheck = self.check
            setattr(self, name, function)
        if self.abi_version() != ABI_VERSION:
            raise UalmError(f"{path} has ABI version {self.abi_version()}; expected {ABI_VERSION}")

    def check(self, status, *_):
        """Raises when a call's status says so."""
        if status != 0:
            raise UalmError(f"{self.status_name(status).decode()}: {self.last_error().decode()}")
        return status

    def make(self, owned, kind, function, *arguments):
        """The handle that `function` makes; `owned` frees it in the end."""
        handle = c_void_p()
        function(*arguments, byref(handle))
        owned.callback(getattr(self, f"{kind}_free"), handle)
        return handle


def show(event, _):
    """Tells how far it is; 0 goes on."""
    if event.contents.kind == EVENT_AUDIO_PROGRESS:
        print(f"\r{event.contents.seconds:.1f} s ", end="", file=sys.stderr)
    return 0


def generate(library, package, words, out, seed):
    """Makes the sound of `words`; returns its seconds and its token frames."""
    with contextlib.ExitStack() as owned:
        model = library.make(owned, "model", library.model_load, package.encode(), None)
        session = library.make(owned, "session", library.session_new, model)
        prompt = library.make(owned, "prompt", library.prompt_new)
        library.prompt_add_text(prompt, ROLE_USER, words.encode())
        options = GenerationOptions()
        library.generation_options_init(byref(options), ctypes.sizeof(options), model)
        force = (c_int32 * 1)(MODALITY_AUDIO)
        options.force, options.force_len, options.max_segments, options.seed = force, 1, 1, seed
        callback = Callback(show)
        reply = library.make(
            owned, "reply", library.session_generate, session, prompt, byref(options), None, callback, None
        )
        print(file=sys.stderr)
        sound = library.reply_audio(reply)
        library.wav_write(out.encode(), sound, WAV_PCM16)
        segment = library.reply_segment(reply, 0).contents
        streams = segment.stream_count
        frames = [segment.frames[at * streams : (at + 1) * streams] for at in range(segment.frame_count)]
        return sound.contents.frames / sound.contents.sample_rate, frames


def main():
    parser = argparse.ArgumentParser(description="Make the sound of a sentence through the C library.")
    parser.add_argument("library")
    parser.add_argument("package")
    parser.add_argument("prompt")
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the token frames")
    arguments = parser.parse_args()
    try:
        library = Library(arguments.library)
        seconds, frames = generate(library, arguments.package, arguments.prompt, arguments.out, arguments.seed)
    except (UalmError, OSError) as error:
        sys.exit(f"error: {error}")
    print(json.dumps({"seconds": seconds, "frames": frames}) if arguments.json else f"{arguments.out}: {seconds:.2f} s")


if __name__ == "__main__":
    main()
