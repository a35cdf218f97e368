"""What the default model talks about: the classes of sound, the digits, and how people ask for and about them."""

from __future__ import annotations

import random
import re

from recordings import DIGITS

# Class → how to name it in an answer, how people ask whether it is there, how they ask for it.
SOUNDS: dict[str, tuple[str, list[str], list[str]]] = {
    "dog bark": (
        "a dog barking",
        ["a dog", "a dog barking", "a barking dog", "a bark"],
        ["a dog barking", "dog bark", "dog barking", "a dog barks", "a barking dog", "a dog", "dog", "the bark of a dog", "dogs barking"],
    ),
    "rain": (
        "rain",
        ["rain", "rain falling", "any rain"],
        ["rain", "rain falling", "falling rain", "heavy rain", "the rain", "rainfall", "it is raining", "raining", "raindrops"],
    ),
    "sea waves": (
        "sea waves",
        ["the sea", "waves", "sea waves", "the ocean"],
        ["sea waves", "waves", "ocean waves", "waves on the beach", "the sea", "the ocean", "waves crashing on the shore", "waves crashing", "sea"],
    ),
    "baby cry": (
        "a baby crying",
        ["a baby", "a baby crying", "a crying baby", "an infant"],
        ["a baby crying", "baby cry", "a crying baby", "crying baby", "a baby cries", "a baby", "baby crying", "an infant crying", "a baby is crying"],
    ),
    "clock tick": (
        "a clock ticking",
        ["a clock", "a clock ticking", "a ticking clock", "ticking"],
        ["a clock ticking", "clock tick", "a ticking clock", "ticking clock", "a clock", "clock ticking", "clock", "the ticking of a clock", "tick tock"],
    ),
    "person sneeze": (
        "a person sneezing",
        ["a sneeze", "a person sneezing", "someone sneezing", "sneezing"],
        ["a person sneezing", "person sneeze", "a sneeze", "sneeze", "someone sneezing", "sneezing", "a person sneezes", "a man sneezing", "a woman sneezing"],
    ),
    "helicopter": (
        "a helicopter",
        ["a helicopter", "a helicopter flying", "helicopter"],
        ["a helicopter", "helicopter", "a helicopter flying", "a helicopter flying overhead", "helicopter rotor", "a flying helicopter", "helicopter noise"],
    ),
    "chainsaw": (
        "a chainsaw",
        ["a chainsaw", "a chainsaw running", "a saw"],
        ["a chainsaw", "chainsaw", "a chainsaw running", "a chainsaw cutting wood", "a running chainsaw", "chainsaw noise", "a chainsaw cutting a tree"],
    ),
    "rooster": (
        "a rooster crowing",
        ["a rooster", "a rooster crowing", "a crowing rooster"],
        ["a rooster crowing", "rooster", "a rooster", "rooster crow", "a crowing rooster", "a rooster crows", "rooster crowing", "a cock crowing"],
    ),
    "fire crackling": (
        "a fire crackling",
        ["a fire", "a fire crackling", "a crackling fire", "crackling"],
        ["a fire crackling", "fire crackling", "crackling fire", "a crackling fire", "fire", "a campfire", "a fire burning", "a burning fire", "a fireplace"],
    ),
}
SPEECH_NAME = "a person speaking"
SPEECH_ASKED = ["a person speaking", "speech", "a voice", "someone speaking"]

REQUESTS = [
    "{}", "{}", "{}", "{}", "the sound of {}", "Generate the sound of {}", "generate {}", "Make the sound of {}",
    "make a sound of {}", "make {}", "play {}", "Play the sound of {}", "I want to hear {}", "create the sound of {}",
    "Create an audio clip of {}", "sound of {}", "a recording of {}", "{}, please", "Can you make the sound of {}?",
    "Generate audio of {}", "produce the sound of {}", "let me hear {}",
]  # fmt: skip
SETTINGS = ["outside", "in the distance", "nearby", "loudly", "at night", "in the garden", "in a room", "for a few seconds"]

# Question → answer; {} is the name of what is heard.
QUESTIONS = [
    ("What sound is this?", "This is the sound of {}."),
    ("What sound is this?", "This is the sound of {}."),
    ("What is this sound?", "This is the sound of {}."),
    ("Which sound is this?", "This is the sound of {}."),
    ("Name the sound.", "This is the sound of {}."),
    ("What do you hear?", "I hear {}."),
    ("What can you hear?", "I hear {}."),
    ("What do you hear in this recording?", "I hear {}."),
    ("What sounds can you hear?", "I hear {}."),
    ("What is it?", "It is the sound of {}."),
    ("What is this?", "This is the sound of {}."),
    ("What made this sound?", "This is the sound of {}."),
    ("Describe the audio.", "The sound of {}."),
    ("Describe the sound.", "The sound of {}."),
    ("Describe the audio in detail.", "The sound of {}."),
    ("Caption the audio.", "The sound of {}."),
]
PRESENCE = [
    "Is there {} in the recording?", "Is there {}?", "Do you hear {}?", "Can you hear {}?", "Is this {}?", "Is this the sound of {}?",
]  # fmt: skip
TRANSCRIBE = [
    "Transcribe the speech.", "Transcribe the speech.", "Transcribe the speech.", "Transcribe the audio.", "Transcribe.",
    "Please transcribe.", "What is said?", "What does the person say?", "Write down what is said.", "Which digits do you hear?",
]  # fmt: skip
SAY = [
    "{}", "{}", "{}", "Say: {}", "Say {}", "Speak: {}", "Speak {}", "Say the digits: {}", "Say the digits {}", "Say the number {}",
    "Read aloud: {}", "Please say {}", "Pronounce {}", "the spoken digits {}", "a person saying {}",
]  # fmt: skip
TALK = [
    (["Hello.", "Hi.", "Hello there.", "Good morning.", "Hey."], "Hello. Ask me for a sound, or give me one to name."),
    (["Who are you?", "What are you?", "What is your name?", "Tell me about yourself."], "I am a small audio language model. I make sounds, name sounds, and speak and hear digits."),
    (["What can you do?", "Help.", "How can you help me?", "What do you do?"], "I can make and name ten kinds of sound, and I can say and hear the digits."),
    (
        ["What sounds do you know?", "Which sounds can you make?", "What sounds can you make?", "Which sounds do you know?"],
        "I know a dog, rain, sea waves, a baby, a clock, a sneeze, a helicopter, a chainsaw, a rooster and a fire.",
    ),
    (["Can you speak?", "Can you talk?", "What can you say?"], "I can say the digits from zero to nine."),
    (["Can you hear?", "Can you listen?", "What can you hear?", "Do you understand speech?"], "I can hear ten kinds of sound and the spoken digits."),
    (["Thank you.", "Thanks.", "Thank you very much."], "You are welcome."),
    (["Goodbye.", "Bye.", "See you."], "Goodbye."),
    (["Can you sing?", "Sing a song.", "Play some music.", "Play a guitar.", "What is the weather?", "Tell me a story.", "Tell me a joke."], "I have not learned that. I know ten kinds of sound and the digits."),
]


def worded(text: str) -> str:
    """The same request as another person may type it: capital or not, with or without the final stop."""
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


def request(label: str) -> str:
    """Someone asks for a sound."""
    wanted = random.choice(SOUNDS[label][2])
    if random.random() < 0.1:
        wanted += " " + random.choice(SETTINGS)
    return worded(random.choice(REQUESTS).format(wanted))


def name(label: str) -> str:
    return SOUNDS[label][0] if label in SOUNDS else SPEECH_NAME


def question(label: str) -> tuple[str, str]:
    """A question about a recording of this class, and its true answer."""
    if random.random() < 0.2:
        present = random.random() < 0.5
        other = random.choice([c for c in [*SOUNDS, "speech"] if c != label])
        asked = label if present else other
        thing = random.choice(SOUNDS[asked][1] if asked in SOUNDS else SPEECH_ASKED)
        answer = ("Yes, this is the sound of {}." if present else "No, this is the sound of {}.").format(name(label))
        return worded(random.choice(PRESENCE).format(thing)), answer
    asked, answer = random.choice(QUESTIONS)
    return worded(asked), answer.format(name(label))


def say(words: list[str]) -> str:
    """Someone asks for spoken digits."""
    spelled = words if random.random() < 0.85 else [str(DIGITS.index(w)) for w in words]
    return worded(random.choice(SAY).format((", " if random.random() < 0.15 else " ").join(spelled)))


def transcribe() -> str:
    return worded(random.choice(TRANSCRIBE))


def talk() -> tuple[str, str]:
    asked, answer = random.choice(TALK)
    return worded(random.choice(asked)), answer


def corpus(count: int = 20_000) -> list[str]:
    """Texts for the tokenizer."""
    texts = []
    for _ in range(count // 5):
        label = random.choice([*SOUNDS])
        words = random.choices(DIGITS, k=random.randint(1, 4))
        texts += [request(label), *question(label), say(words), " ".join(words), transcribe(), *talk()]
    return texts


def known_words() -> list[str]:
    """Every word that a request for sound or speech may hold."""
    texts = [wanted for _, _, wants in SOUNDS.values() for wanted in wants] + list(DIGITS)
    return sorted({w for text in texts for w in re.findall(r"[a-z]+", text.lower())} - FUNCTION_WORDS)


FUNCTION_WORDS = {"a", "an", "the", "of", "on", "it", "is"}
