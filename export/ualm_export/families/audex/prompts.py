"""The program's instructions for an Audex model, with their settings."""

from .template import TRANSCRIBE

PROMPTS = {
    "ask": "What do you hear?",
    "transcribe": TRANSCRIBE,
    "transcript": [{"before": "The spoken content of the audio is '", "after": "'"}],
}
SETTINGS = {
    "ask": {"temperature": 0.7, "top_k": 0, "top_p": 0.9, "guidance": 1.0, "max_steps": 256},
    "transcribe": {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "guidance": 1.0, "max_steps": 256},
    "converse": {"temperature": 0.1, "top_k": 80, "top_p": 1.0, "guidance": 1.0, "max_steps": 2048},
}
LIMITS = {"input_seconds": 900.0}
REASONING = {
    "default": "enrich",
    "modes": [],
    "prompts": {},
    "listen": True,
    "stages": {
        "question": (
            "Somebody wants a sound of: {words}\n"
            "Ask one short question whose answer would help most to make it. Write the question alone."
        ),
        "plan": (
            "Plan a sound of at most ten seconds for: {words}\n"
            "{question} {answer}\n"
            "Name the sounds, say when each begins and ends in seconds, and describe the whole in one sentence. "
            "Answer in one line of this form:\n"
            "Keywords: dog bark, bell. Layout: 0.0-1.5 dog bark; 1.5-3.0 bell. Description: A dog barks, then a bell rings."
        ),
        "draft": "{caption}",
        "description": "What do you hear? Name all sounds in the order in which they occur, and say how each of them sounds.",
        "critique": (
            "A sound was to be made after this plan:\n{plan}\n"
            "A listener heard this:\n{heard}\n"
            "Say what is missing, what is wrong and what is out of order. Then write a better caption for the sound, one "
            "sentence, in a last line of this form:\n"
            "Caption: A dog barks twice, then a bell rings."
        ),
        "final": "{caption}",
    },
}
