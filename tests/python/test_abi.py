"""The structs, enumerators and functions of ualm/_abi.py equal those of crates/capi/include/ualm.abi."""
import ctypes
import re
import unittest

import here
from ualm import _abi

LINES = (here.ROOT / "crates/capi/include/ualm.abi").read_text(encoding="utf-8").splitlines()
STRUCTS = {
    "samples": _abi.Samples, "file": _abi.File, "runtime_options": _abi.RuntimeOptions, "segment_options": _abi.SegmentOptions,
    "generation_options": _abi.GenerationOptions, "chain_options": _abi.ChainOptions, "limits": _abi.Limits,
    "engine_options": _abi.EngineOptions, "engine_stats": _abi.EngineStats, "segment": _abi.Segment, "usage": _abi.Usage,
    "event": _abi.Event, "ranked": _abi.Ranked, "take_event": _abi.TakeEvent,
}  # fmt: skip
ENUMS = {
    "status": _abi.STATUSES, "modality": _abi.MODALITIES, "segment_end": _abi.SEGMENT_ENDS, "role": _abi.ROLES,
    "wav_format": _abi.WAV_FORMATS, "stage": _abi.STAGES, "stop_reason": _abi.STOP_REASONS,
    "reasoning_mode": _abi.REASONING_MODES, "event_kind": _abi.EVENT_KINDS, "take_event_kind": _abi.TAKE_EVENT_KINDS,
}  # fmt: skip
# Replaced in Python: a reply is composed of its events, the iterator calls the callback.
LEFT_OUT = re.compile(r"reply_\w+|session_generate(_from)?")
SCALARS = {
    "size_t": "L", "uint64_t": "L", "uint32_t": "I", "int32_t": "i", "int": "i", "float": "f", "double": "d",
    "ualm_status": "i", "ualm_modality": "i", "ualm_segment_end": "i", "ualm_stage": "i", "ualm_stop_reason": "i",
    "ualm_event_kind": "i", "ualm_take_event_kind": "i", "ualm_segment_options": "struct",
    "ualm_event_callback": "P", "ualm_take_callback": "P", "void": None,
}  # fmt: skip


def kind_of_c(text):
    """Returns a letter for a C type; all pointers have the same one."""
    return "P" if "*" in text else SCALARS[text.removeprefix("const ").strip()]


def kind_of_ctypes(ctype):
    """Returns a letter for a ctypes type."""
    if ctype is None:
        return None
    if issubclass(ctype, ctypes.Structure):
        return "struct"
    letter = getattr(ctype, "_type_", None)
    if ctype is _abi.Status:
        return "i"
    if not isinstance(letter, str) or letter in "zP":
        return "P"
    return {"Q": "L"}.get(letter, letter)


class BinaryInterface(unittest.TestCase):
    def test_the_version_is_the_same(self):
        self.assertEqual(LINES[0], f"UALM_ABI_VERSION {_abi.ABI_VERSION}")

    def test_every_struct_has_the_same_fields_in_the_same_places(self):
        found = {name: {} for name in STRUCTS}
        for line in LINES:
            if field := re.fullmatch(r"ualm_(\w+): (.*?)(\w+) at (\d+)", line):
                name, ctype, member, offset = field.groups()
                found[name][member] = (kind_of_c(ctype), int(offset))
            elif size := re.fullmatch(r"ualm_(\w+): (\d+) bytes", line):
                self.assertEqual(ctypes.sizeof(STRUCTS[size[1]]), int(size[2]), line)
        for name, struct in STRUCTS.items():
            mine = {member: (kind_of_ctypes(ctype), getattr(struct, member).offset) for member, ctype in struct._fields_}
            self.assertEqual(mine, found[name], name)

    def test_every_enumerator_has_its_number(self):
        found = {name: {} for name in ENUMS}
        for line in LINES:
            if enumerator := re.fullmatch(r"ualm_(\w+): UALM_(\w+) = (\d+)", line):
                name = enumerator[2].removeprefix(enumerator[1].upper() + "_")
                if name not in ("OK", "NONE"):
                    found[enumerator[1]][int(enumerator[3])] = name.lower()
        self.assertEqual(found, ENUMS)

    def test_every_function_has_the_same_argument_and_result_types(self):
        found = {}
        for line in LINES:
            if function := re.fullmatch(r"([\w ]+?[ *]+)ualm_(\w+)\((.*)\)", line):
                result, name, arguments = function.groups()
                types = [] if arguments == "void" else [re.sub(r"\w+$", "", argument) for argument in arguments.split(", ")]
                found[name] = [kind_of_c(ctype) for ctype in (result, *types)]
        found = {name: types for name, types in found.items() if not LEFT_OUT.fullmatch(name)}
        self.assertGreater(len(found), 100)
        self.assertEqual({name: list(map(kind_of_ctypes, types)) for name, types in _abi.FUNCTIONS.items()}, found)


if __name__ == "__main__":
    unittest.main()
