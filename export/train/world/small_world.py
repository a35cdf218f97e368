"""The domain of the default model: kinds of sound, digits and a few phrases, with the wordings of requests and questions."""

from __future__ import annotations

import random
import re

from ..sounds.concept import Concept
from ..sounds.concepts import CONCEPTS as MADE
from ..sounds.voices import DIGITS, PHRASES

# Recorded sounds (the classes of ESC-10).
RECORDED = {
    concept.label: concept
    for concept in (
        Concept(
            "dog bark",
            "a dog barking",
            ["a dog", "a dog barking", "a barking dog", "a bark"],
            ["a dog barking", "dog bark", "dog barking", "a dog barks", "a barking dog", "a dog", "dog", "the bark of a dog", "dogs barking"],
            {"Bark", "Bow-wow", "Dog", "Growling", "Howl", "Yip"},
            event=True,
        ),
        Concept(
            "rain",
            "rain",
            ["rain", "rain falling", "any rain"],
            ["rain", "rain falling", "falling rain", "heavy rain", "the rain", "rainfall", "it is raining", "raining", "raindrops"],
            {"Rain", "Rain on surface", "Raindrop"},
        ),
        Concept(
            "sea waves",
            "sea waves",
            ["the sea", "waves", "sea waves", "the ocean"],
            ["sea waves", "waves", "ocean waves", "waves on the beach", "the sea", "the ocean", "waves crashing on the shore", "waves crashing", "sea"],
            {"Ocean", "Waves, surf"},
        ),
        Concept(
            "baby cry",
            "a baby crying",
            ["a baby", "a baby crying", "a crying baby", "an infant"],
            ["a baby crying", "baby cry", "a crying baby", "crying baby", "a baby cries", "a baby", "baby crying", "an infant crying", "a baby is crying"],
            {"Baby cry, infant cry", "Crying, sobbing"},
        ),
        Concept(
            "clock tick",
            "a clock ticking",
            ["a clock", "a clock ticking", "a ticking clock", "ticking"],
            ["a clock ticking", "clock tick", "a ticking clock", "ticking clock", "a clock", "clock ticking", "clock", "the ticking of a clock", "tick tock"],
            {"Clock", "Tick", "Tick-tock"},
        ),
        Concept(
            "person sneeze",
            "a person sneezing",
            ["a sneeze", "a person sneezing", "someone sneezing", "sneezing"],
            ["a person sneezing", "person sneeze", "a sneeze", "sneeze", "someone sneezing", "sneezing", "a person sneezes", "a man sneezing", "a woman sneezing"],
            {"Sneeze"},
            event=True,
        ),
        Concept(
            "helicopter",
            "a helicopter",
            ["a helicopter", "a helicopter flying", "helicopter"],
            ["a helicopter", "helicopter", "a helicopter flying", "a helicopter flying overhead", "helicopter rotor", "a flying helicopter", "helicopter noise"],
            {"Helicopter"},
        ),
        Concept(
            "chainsaw",
            "a chainsaw",
            ["a chainsaw", "a chainsaw running", "a saw"],
            ["a chainsaw", "chainsaw", "a chainsaw running", "a chainsaw cutting wood", "a running chainsaw", "chainsaw noise", "a chainsaw cutting a tree"],
            {"Chainsaw"},
        ),
        Concept(
            "rooster",
            "a rooster crowing",
            ["a rooster", "a rooster crowing", "a crowing rooster"],
            ["a rooster crowing", "rooster", "a rooster", "rooster crow", "a crowing rooster", "a rooster crows", "rooster crowing", "a cock crowing"],
            {"Chicken, rooster", "Crowing, cock-a-doodle-doo"},
        ),
        Concept(
            "fire crackling",
            "a fire crackling",
            ["a fire", "a fire crackling", "a crackling fire", "crackling"],
            ["a fire crackling", "fire crackling", "crackling fire", "a crackling fire", "fire", "a campfire", "a fire burning", "a burning fire", "a fireplace"],
            {"Crackle", "Fire"},
        ),
    )
}
# Rendered sounds that are excluded: too similar to another one for so small a model, or lost by its codec.
LEFT_OUT = {
    "harpsichord", "glockenspiel", "electric guitar", "cello", "trombone", "french horn", "clarinet", "banjo", "synthesizer",
    "saxophone", "accordion", "wood block", "timpani", "steam", "busy signal", "dial tone", "phone dialing", "machine gun",
    "singing bowl", "engine idling", "engine revving", "fireworks", "chopping", "whoosh", "harmonica", "hi-hat", "laser",
    "harp", "cymbal", "cowbell", "doorbell", "hammering",
}  # fmt: skip
CONCEPTS: dict[str, Concept] = RECORDED | {
    label: concept for label, concept in MADE.items() if label not in LEFT_OUT
}
# True for the kinds of sound that are events, false for those that last.
IS_EVENT = {label: concept.event for label, concept in CONCEPTS.items()}
# Groups of kinds that are easily confused: questions ask for one of them while another is heard.
ALIKE_GROUPS = (
    ("rain", "sea waves", "stream", "wind", "fire crackling", "applause"), ("helicopter", "chainsaw", "train whistle", "thunder"),
    ("church bell", "desk bell", "church organ", "telephone ringing", "sleigh bells"), ("dog bark", "rooster", "baby cry", "bird", "cricket"),
    ("clock tick", "knocking", "typing", "heartbeat", "snare drum", "drum roll"), ("siren", "smoke alarm", "beep", "car horn", "police whistle"),
    ("piano", "xylophone", "acoustic guitar", "church organ"), ("violin", "trumpet", "flute", "whistling"),
    ("explosion", "thunder", "glass breaking", "plop", "person sneeze"),
)  # fmt: skip
ALIKE: dict[str, tuple[str, ...]] = {
    label: tuple(other for group in ALIKE_GROUPS if label in group for other in group if other != label and other in CONCEPTS)
    for label in CONCEPTS
}
SPEECH_NAME = "a person speaking"

REQUESTS = [
    "{}", "{}", "{}", "{}", "the sound of {}", "Generate the sound of {}", "generate {}", "Make the sound of {}",
    "make a sound of {}", "make {}", "play {}", "Play the sound of {}", "I want to hear {}", "create the sound of {}",
    "Create an audio clip of {}", "sound of {}", "a recording of {}", "{}, please", "Can you make the sound of {}?",
    "Generate audio of {}", "produce the sound of {}", "let me hear {}",
]  # fmt: skip
SETTINGS = ["outside", "in the distance", "nearby", "loudly", "at night", "in the garden", "in a room", "for a few seconds"]

# Question about a single sound → answer; {} is the name of what is heard.
QUESTIONS = [
    ("What sound is this?", "This is the sound of {}."),
    ("What sound is this?", "This is the sound of {}."),
    ("What is this sound?", "This is the sound of {}."),
    ("Which sound is this?", "This is the sound of {}."),
    ("Name the sound.", "This is the sound of {}."),
    ("What is it?", "This is the sound of {}."),
    ("What is this?", "This is the sound of {}."),
    ("What made this sound?", "This is the sound of {}."),
]
# Questions about the whole recording.
DESCRIBE = [
    "What do you hear?", "What do you hear?", "What can you hear?", "What do you hear in this recording?", "What sounds can you hear?",
    "Describe the audio.", "Describe the sound.", "Describe the audio in detail.", "Caption the audio.", "What happens in this recording?",
    "Which sounds do you hear, in order?",
]  # fmt: skip
PRESENCE = [
    "Is there {} in the recording?", "Is there {}?", "Do you hear {}?", "Can you hear {}?", "Is there {} in this clip?",
    "Is there {} in it?", "Is there {} in it?", "Do you hear {} in it?", "Is it {}?", "Is {} in the recording?",
]  # fmt: skip
HOW_MANY = ["How many times do you hear {}?", "How often do you hear {}?", "How many times is there {}?", "Count {}."]
WHAT_FIRST = ["What do you hear first?", "What comes first?", "Which sound comes first?", "What is the first sound?"]
WHAT_LAST = ["What do you hear last?", "What comes last?", "Which sound comes last?", "What is the last sound?"]
BEFORE = ["Do you hear {} before {}?", "Does {} come before {}?", "Is {} heard before {}?"]
TRANSCRIBE = [
    "Transcribe the speech.", "Transcribe the speech.", "Transcribe the speech.", "Transcribe the audio.", "Transcribe.",
    "Please transcribe.", "What is said?", "What does the person say?", "Write down what is said.", "Which digits do you hear?",
]  # fmt: skip
SAY = [
    "{}", "{}", "{}", "Say: {}", "Say {}", "Speak: {}", "Speak {}", "Say the digits: {}", "Say the digits {}", "Say the number {}",
    "Read aloud: {}", "Please say {}", "Pronounce {}", "the spoken digits {}", "a person saying {}",
]  # fmt: skip
SAY_PHRASE = ["{}", "{}", "Say: {}", "Say {}", "Speak: {}", "Read aloud: {}", "Please say {}", "a person saying {}"]

# Reasoning: the wording around a request.
ENRICH = "Plan, then make: {}"
REFLECT = "Plan, make and check: {}"
DIALOGUE = "Ask me, then make: {}"
COUNTED = "How many times: once, twice or three times?"
CHOSEN = {1: ["once", "one time", "one", "Once."], 2: ["twice", "two times", "two", "Twice."], 3: ["three times", "three", "Three times."]}
CONTINUED = "Shall something follow it?"
NOTHING_FOLLOWS = ["no", "No.", "nothing", "no, thank you", "only that"]
FOLLOWS = ["{}", "yes, {}", "Yes, {}.", "then {}", "{} should follow"]

TALK = [
    (["Hello.", "Hi.", "Hello there.", "Good morning.", "Hey."], "Hello. Ask me for a sound, or give me one to name."),
    (
        ["Who are you?", "What are you?", "What is your name?", "Tell me about yourself."],
        "I am a small audio language model. I make sounds, name sounds, and speak and hear digits.",
    ),
    (
        ["What can you do?", "Help.", "How can you help me?", "What do you do?"],
        "I can make and name some forty kinds of sound, and I can say and hear the digits.",
    ),
    (
        ["What sounds do you know?", "Which sounds can you make?", "What sounds can you make?", "Which sounds do you know?"],
        "I know animals, weather, bells, horns, alarms, instruments, drums, a clock, a helicopter, a chainsaw, and more.",
    ),
    (["Can you speak?", "Can you talk?", "What can you say?"], "I can say the digits from zero to nine and a few phrases."),
    (
        ["Can you hear?", "Can you listen?", "What can you hear?", "Do you understand speech?"],
        "I can hear some forty kinds of sound and the spoken digits.",
    ),
    (["Thank you.", "Thanks.", "Thank you very much."], "You are welcome."),
    (["Goodbye.", "Bye.", "See you."], "Goodbye."),
    (
        ["Can you sing?", "Sing a song.", "What is the weather?", "Tell me a story.", "Tell me a joke.", "Translate this.", "Who is the king?"],
        "I have not learned that. I know some forty kinds of sound and the digits.",
    ),
]  # fmt: skip


def worded(text: str) -> str:
    """Varies the capital letter and the final stop of a request, as different people type it."""
    if random.random() < 0.3:
        text = text[0].upper() + text[1:]
    elif random.random() < 0.2:
        text = text[0].lower() + text[1:]
    if text[-1].isalnum():
        if random.random() < 0.25:
            text += "."
    elif text[-1] in ".?" and random.random() < 0.2:
        text = text[:-1]
    return text


def request(wanted: str) -> str:
    """Words a request for a sound, from the words of a concept or a scene."""
    if random.random() < 0.05:
        wanted += " " + random.choice(SETTINGS)
    return worded(random.choice(REQUESTS).format(wanted))


def say(words: list[str]) -> str:
    """Words a request for a phrase or for spoken digits."""
    if words[0] not in DIGITS:
        return worded(random.choice(SAY_PHRASE).format(words[0]))
    spelled = words if random.random() < 0.85 else [str(DIGITS.index(w)) for w in words]
    return worded(random.choice(SAY).format((", " if random.random() < 0.15 else " ").join(spelled)))


def transcribe() -> str:
    return worded(random.choice(TRANSCRIBE))


def talk() -> tuple[str, str]:
    asked, answer = random.choice(TALK)
    return worded(random.choice(asked)), answer


def known_words() -> list[str]:
    """Returns every word that a request for sound or speech may contain."""
    texts = [wanted for concept in CONCEPTS.values() for wanted in [concept.name, *concept.requests]]
    texts += [*DIGITS, *PHRASES]
    return sorted({w for text in texts for w in re.findall(r"[a-z]+", text.lower())} - FUNCTION_WORDS)


FUNCTION_WORDS = {"a", "an", "the", "of", "on", "it", "is", "am", "i", "are", "you", "how", "no", "being", "in", "to"}
