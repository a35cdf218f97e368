"""The binary interface of the C library: the structs, enumerators and functions of ualm.h, for ctypes.

Names are those of ualm.h without their prefix. tests/python/test_abi.py compares all of them with crates/capi/include/ualm.abi.
"""

from __future__ import annotations

import ctypes
from ctypes import (
    CFUNCTYPE, POINTER, c_char_p, c_double, c_float, c_int, c_int32, c_size_t, c_uint32, c_uint64, c_void_p,
)  # fmt: skip

ABI_VERSION = 1

# The names that this package gives to enumerators, by their numbers.
STATUSES = {
    1: "invalid", 2: "io", 3: "audio", 4: "limit", 5: "package", 6: "library", 7: "provider", 8: "graph", 9: "numeric",
    10: "cancelled", 11: "busy", 12: "panic",
}  # fmt: skip
MODALITIES = {1: "text", 2: "audio", 3: "speech", 4: "thinking"}
SEGMENT_ENDS = {1: "eos", 2: "eot", 3: "limit", 4: "context", 5: "cancelled", 6: "failed"}
ROLES = {1: "system", 2: "user", 3: "assistant"}
WAV_FORMATS = {1: "pcm16", 2: "float32"}
STAGES = {
    1: "question", 2: "answer", 3: "plan", 4: "draft", 5: "listen", 6: "critique", 7: "final", 8: "description",
}  # fmt: skip
STOP_REASONS = {1: "cancelled", 2: "context", 3: "failed", 4: "not_ranked"}
REASONING_MODES = {0: "usual", 1: "enrich", 2: "dialogue", 3: "reflect"}
EVENT_KINDS = {
    1: "segment_started", 2: "text_delta", 3: "audio_progress", 4: "audio_chunk", 5: "segment_ended", 6: "finished",
}  # fmt: skip
TAKE_EVENT_KINDS = {
    1: "segment_started", 2: "text_delta", 3: "audio_progress", 4: "audio_chunk", 5: "segment_ended",
    6: "ranking_started", 7: "ranked", 8: "finished", 9: "stage_ended", 10: "question",
}  # fmt: skip


class Samples(ctypes.Structure):
    """ualm_samples"""

    _fields_ = [("data", POINTER(c_float)), ("frames", c_size_t), ("channels", c_uint32), ("sample_rate", c_uint32)]


class File(ctypes.Structure):
    """ualm_file"""

    _fields_ = [("name", c_char_p), ("data", c_void_p), ("len", c_size_t)]


class RuntimeOptions(ctypes.Structure):
    """ualm_runtime_options"""

    _fields_ = [
        ("struct_size", c_size_t), ("library", c_char_p), ("threads", c_size_t), ("provider", c_char_p),
        ("provider_libraries", POINTER(c_char_p)), ("provider_library_count", c_size_t), ("load_timeout", c_size_t),
        ("low_memory", c_size_t),
    ]  # fmt: skip


class SegmentOptions(ctypes.Structure):
    """ualm_segment_options"""

    _fields_ = [
        ("temperature", c_float), ("top_p", c_float), ("guidance", c_float), ("top_k", c_uint32),
        ("max_steps", c_uint32), ("min_steps", c_uint32),
    ]  # fmt: skip


class GenerationOptions(ctypes.Structure):
    """ualm_generation_options"""

    _fields_ = [
        ("struct_size", c_size_t), ("seed", c_uint64), ("max_segments", c_size_t), ("force", POINTER(c_int32)),
        ("force_len", c_size_t), ("text", SegmentOptions), ("audio", SegmentOptions), ("speech", SegmentOptions),
        ("stream_audio", c_int32), ("insist", c_int32), ("thinking", c_int32), ("reserved", c_int32),
    ]  # fmt: skip


class ChainOptions(ctypes.Structure):
    """ualm_chain_options"""

    _fields_ = [
        ("struct_size", c_size_t), ("seed", c_uint64), ("rounds", c_size_t), ("takes", c_size_t), ("mode", c_int32),
        ("listen", c_int32), ("best", c_int32), ("stream_audio", c_int32), ("reseed", c_size_t), ("wording", c_char_p),
    ]  # fmt: skip


class Limits(ctypes.Structure):
    """ualm_limits"""

    _fields_ = [
        ("struct_size", c_size_t), ("input_seconds", c_double), ("decoded_bytes", c_uint64), ("memory", c_uint64),
        ("prompt_frames", c_size_t), ("segments", c_size_t), ("steps", c_size_t), ("context", c_size_t),
    ]  # fmt: skip


class EngineOptions(ctypes.Structure):
    """ualm_engine_options"""

    _fields_ = [("struct_size", c_size_t), ("slots", c_size_t), ("context", c_size_t), ("prefill_chunk", c_size_t)]


class EngineStats(ctypes.Structure):
    """ualm_engine_stats"""

    _fields_ = [
        ("struct_size", c_size_t), ("slots", c_size_t), ("free_slots", c_size_t), ("sessions", c_size_t),
        ("waiting_prompts", c_size_t), ("batch_sessions", c_size_t), ("batch_rows", c_size_t), ("steps", c_uint64),
        ("row_steps", c_uint64), ("prompt_positions", c_uint64),
    ]  # fmt: skip


class Segment(ctypes.Structure):
    """ualm_segment"""

    _fields_ = [
        ("struct_size", c_size_t), ("modality", c_int32), ("end", c_int32), ("text", c_void_p), ("text_len", c_size_t),
        ("audio", POINTER(Samples)), ("frames", POINTER(c_uint32)), ("frame_count", c_size_t),
        ("stream_count", c_size_t),
    ]  # fmt: skip


class Usage(ctypes.Structure):
    """ualm_usage"""

    _fields_ = [
        ("struct_size", c_size_t), ("prompt_frames", c_size_t), ("steps", c_size_t), ("prefill_seconds", c_double),
        ("decode_seconds", c_double),
    ]  # fmt: skip


class Event(ctypes.Structure):
    """ualm_event"""

    _fields_ = [
        ("struct_size", c_size_t), ("kind", c_int32), ("modality", c_int32), ("segment_index", c_size_t),
        ("text", c_void_p), ("text_len", c_size_t), ("seconds", c_double), ("audio", POINTER(Samples)),
        ("segment", POINTER(Segment)), ("usage", POINTER(Usage)),
    ]  # fmt: skip


class Ranked(ctypes.Structure):
    """ualm_ranked"""

    _fields_ = [
        ("struct_size", c_size_t), ("take", c_size_t), ("caption", c_char_p), ("total", c_double),
        ("covered", c_double), ("ordered", c_double), ("confidence", c_double),
    ]  # fmt: skip


class TakeEvent(ctypes.Structure):
    """ualm_take_event"""

    _fields_ = [
        ("struct_size", c_size_t), ("kind", c_int32), ("stage", c_int32), ("take", c_size_t),
        ("segment_index", c_size_t), ("modality", c_int32), ("stop", c_int32), ("text", c_void_p),
        ("text_len", c_size_t), ("seconds", c_double), ("audio", POINTER(Samples)), ("segment", POINTER(Segment)),
        ("ranked", POINTER(Ranked)), ("usage", POINTER(Usage)),
    ]  # fmt: skip


TakeCallback = CFUNCTYPE(c_int, POINTER(TakeEvent), c_void_p)


class Status(c_int32):
    """A status, the result of most functions. (A subclass, so that ctypes does not convert it to a number.)"""


_HANDLE = c_void_p
_OUT = POINTER(c_void_p)
_TEXT = c_char_p
_SAMPLES = POINTER(Samples)
_SIZE = POINTER(c_size_t)
_GENERATION = POINTER(GenerationOptions)

# Result type and argument types of each function. Handles are untyped pointers, `char **` is an out-pointer.
FUNCTIONS: dict[str, tuple[type | None, ...]] = {
    "version": (_TEXT,),
    "abi_version": (c_uint32,),
    "last_error": (_TEXT,),
    "last_status": (c_int32,),
    "status_name": (_TEXT, c_int32),
    "string_free": (None, c_void_p),
    "runtime_options_init": (Status, POINTER(RuntimeOptions), c_size_t),
    "runtime_report": (Status, POINTER(RuntimeOptions), _OUT),
    "model_load": (Status, _TEXT, POINTER(RuntimeOptions), _OUT),
    "model_load_files": (Status, POINTER(File), c_size_t, POINTER(RuntimeOptions), _OUT),
    "model_report": (Status, _HANDLE, _OUT),
    "model_verify": (Status, _HANDLE),
    "model_sha256": (Status, _HANDLE, _OUT),
    "model_load_all": (Status, _HANDLE),
    "model_manifest": (Status, _HANDLE, _OUT),
    "model_with_limits": (Status, _HANDLE, POINTER(Limits), _OUT),
    "model_enhance": (Status, _HANDLE, _SAMPLES, _OUT),
    "model_encode": (Status, _HANDLE, _SAMPLES, _OUT),
    "model_decode": (Status, _HANDLE, POINTER(c_uint32), c_size_t, c_size_t, _OUT),
    "model_text_ids": (Status, _HANDLE, _TEXT, _OUT),
    "model_audio_features": (Status, _HANDLE, _SAMPLES, _OUT),
    "model_prompt_embeddings": (Status, _HANDLE, _HANDLE, _OUT),
    "model_caption": (Status, _HANDLE, _SAMPLES, c_int32, _HANDLE, _OUT),
    "model_converse": (Status, _HANDLE, _SAMPLES, c_uint64, _HANDLE, _OUT, _OUT, _OUT, _OUT),
    "model_rank": (Status, _HANDLE, _SAMPLES, c_size_t, c_int32, _TEXT, _HANDLE, _OUT),
    "limits_init": (Status, POINTER(Limits), c_size_t, _HANDLE),
    "generation_options_init": (Status, _GENERATION, c_size_t, _HANDLE),
    "cancel_new": (Status, _OUT),
    "cancel_throw": (Status, _HANDLE),
    "cancel_is_thrown": (c_int, _HANDLE),
    "prompt_new": (Status, _OUT),
    "prompt_add_text": (Status, _HANDLE, c_int32, _TEXT),
    "prompt_add_audio": (Status, _HANDLE, c_int32, c_int32, _SAMPLES),
    "session_new": (Status, _HANDLE, _OUT),
    "session_position": (Status, _HANDLE, _SIZE),
    "session_max_positions": (c_size_t, _HANDLE),
    "session_checkpoint": (Status, _HANDLE, _HANDLE, _HANDLE, _OUT),
    "session_checkpoint_for": (Status, _HANDLE, _HANDLE, c_int32, _HANDLE, _OUT),
    "session_fork": (Status, _HANDLE, _HANDLE, _OUT),
    "session_go_on": (Status, _HANDLE, _HANDLE, _OUT),
    "session_mark": (Status, _HANDLE, _OUT),
    "session_rewind": (Status, _HANDLE, _HANDLE),
    "session_next_logits": (Status, _HANDLE, _HANDLE, _OUT, _OUT),
    "session_record": (Status, _HANDLE, _OUT),
    "session_restore": (Status, _HANDLE, _HANDLE, c_size_t, c_size_t, c_size_t, _HANDLE, _OUT),
    "session_restore_turns": (Status, _HANDLE, _HANDLE, c_size_t, _HANDLE),
    "checkpoint_keep": (Status, _HANDLE, c_int32, POINTER(c_uint32), c_size_t, c_size_t, _OUT),
    "checkpoint_position": (Status, _HANDLE, _SIZE, _SIZE),
    "generation_new": (Status, _HANDLE, _HANDLE, _GENERATION, _HANDLE, _OUT),
    "generation_new_from": (Status, _HANDLE, _HANDLE, _GENERATION, _HANDLE, _OUT),
    "generation_next": (Status, _HANDLE, POINTER(POINTER(Event))),
    "generation_stop": (Status, _HANDLE),
    "engine_options_init": (Status, POINTER(EngineOptions), c_size_t),
    "engine_new": (Status, _HANDLE, POINTER(EngineOptions), _OUT),
    "engine_session_new": (Status, _HANDLE, _GENERATION, _OUT),
    "engine_context": (c_size_t, _HANDLE),
    "engine_read_stats": (Status, _HANDLE, POINTER(EngineStats), c_size_t),
    "audio_read": (Status, _TEXT, c_double, _OUT),
    "audio_read_memory": (Status, c_void_p, c_size_t, c_double, _OUT),
    "audio_samples": (_SAMPLES, _HANDLE),
    "audio_warning": (_TEXT, _HANDLE, c_size_t),
    "wav_write": (Status, _TEXT, _SAMPLES, c_int32),
    "codes_data": (POINTER(c_uint32), _HANDLE, _SIZE, _SIZE),
    "tensor_data": (POINTER(c_float), _HANDLE, _SIZE, _SIZE),
    "ranking_get": (POINTER(Ranked), _HANDLE, c_size_t),
    "record_read_wav": (Status, _TEXT, _OUT),
    "record_write_wav": (Status, _HANDLE, _TEXT, _SAMPLES, c_int32),
    "record_from_json": (Status, _TEXT, _OUT),
    "record_to_json": (Status, _HANDLE, _OUT),
    "record_turn_count": (c_size_t, _HANDLE),
    "record_segment_count": (c_size_t, _HANDLE, c_size_t),
    "record_options": (Status, _HANDLE, c_size_t, c_size_t, _GENERATION, c_size_t),
    "takes_make": (
        Status, _HANDLE, _HANDLE, _HANDLE, _GENERATION, c_size_t, _TEXT, _HANDLE, TakeCallback, c_void_p, _OUT,
    ),
    "takes_count": (c_size_t, _HANDLE),
    "takes_segment": (POINTER(Segment), _HANDLE, c_size_t, c_size_t),
    "takes_audio": (_SAMPLES, _HANDLE, c_size_t),
    "takes_record": (Status, _HANDLE, c_size_t, _OUT),
    "takes_ranking": (Status, _HANDLE, _OUT),
    "takes_usage": (POINTER(Usage), _HANDLE),
    "chain_options_init": (Status, POINTER(ChainOptions), c_size_t),
    "chain_new": (Status, _HANDLE, _HANDLE, _TEXT, POINTER(ChainOptions), _GENERATION, _HANDLE, _OUT),
    "chain_resume": (
        Status, _HANDLE, _HANDLE, _HANDLE, c_size_t, POINTER(ChainOptions), _GENERATION, _HANDLE, _OUT,
    ),
    "chain_next": (Status, _HANDLE, POINTER(POINTER(TakeEvent))),
    "chain_answer": (Status, _HANDLE, _TEXT),
    "chain_set_plan": (Status, _HANDLE, _TEXT),
    "chain_stop": (Status, _HANDLE),
    "chain_is_trained": (c_int, _HANDLE),
    "chain_stage_count": (c_size_t, _HANDLE),
    "chain_stage": (c_int32, _HANDLE, c_size_t),
    "chain_segment": (POINTER(Segment), _HANDLE, c_size_t),
    "chain_audio": (_SAMPLES, _HANDLE, c_size_t),
    "chain_record": (Status, _HANDLE, _OUT),
    "chain_ranking": (Status, _HANDLE, _OUT),
}  # fmt: skip
# Each kind of handle has a function that frees it.
KINDS = (
    "audio", "cancel", "chain", "checkpoint", "codes", "engine", "generation", "mark", "model", "prompt", "ranking",
    "record", "session", "takes", "tensor",
)  # fmt: skip
FUNCTIONS |= {f"{kind}_free": (None, _HANDLE) for kind in KINDS}
