"""The kinds of sound that are rendered: their names, the judge's accepted names, and the functions that make them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from . import actions, animals, bells, instruments, machines, signals, weather
from .concept import Concept

Maker = Callable[[np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class MadeConcept(Concept):
    make: Maker = field(kw_only=True)


CONCEPTS: dict[str, MadeConcept] = {}


def render(label: str, rng: np.random.Generator) -> np.ndarray:
    """Makes one variation: float32, mono, 16 kHz, peak at most 0.9. The state of `rng` determines the result."""
    return CONCEPTS[label].make(rng)


def _add(label: str, name: str, presence: str, requests: str, accepted: str, make: Maker, event: bool = False) -> None:
    """Adds a kind of sound. Lists are separated by semicolons, because names of AudioSet classes contain commas."""
    split = lambda text: [part.strip() for part in text.split(";")]  # noqa: E731
    CONCEPTS[label] = MadeConcept(label, name, split(presence), split(requests), set(split(accepted)), event, make=make)


def _plays(label: str, accepted: str, also: str = "", article: str = "a") -> None:
    """Adds a musical instrument that plays a phrase."""
    presence = f"{article} {label}; {article} {label} playing; {label} music"
    requests = (
        f"{article} {label}; {label}; {article} {label} playing; {label} music; someone playing the {label}; "
        f"{article} {label} melody"
    )
    requests += f"; {also}" if also else ""
    _add(label, f"{article} {label}", presence, requests, accepted, partial(instruments.phrase, label))


def _struck(label: str, accepted: str, make: Maker, also: str = "") -> None:
    """Adds a percussion instrument that is hit once."""
    presence = f"a {label}; a {label} hit; a {label} being hit"
    requests = f"a {label}; {label}; a {label} hit; {label} hit; a hit on a {label}; someone hitting a {label}"
    _add(label, f"a {label}", presence, requests + (f"; {also}" if also else ""), accepted, make, event=True)


def _stroke(label: str, accepted: str, also: str = "") -> None:
    _struck(label, accepted, partial(instruments.stroke, label), also)


# Musical instruments
_plays("piano", "Piano; Electric piano; Keyboard (musical)", "piano keys; piano chords")
_plays("harpsichord", "Harpsichord")
_plays("glockenspiel", "Glockenspiel")
_plays("xylophone", "Marimba, xylophone", "a marimba")
_plays("church organ", "Organ; Hammond organ", "an organ; organ; a pipe organ")
_plays("accordion", "Accordion", article="an")
_plays("harmonica", "Harmonica", "a mouth organ")
_plays("acoustic guitar", "Acoustic guitar; Guitar; Strum", "a guitar; strumming a guitar; guitar chords", "an")
_plays("electric guitar", "Electric guitar; Guitar; Distortion", "a distorted guitar; a rock guitar", "an")
_plays("violin", "Violin, fiddle; Bowed string instrument", "a fiddle")
_plays("cello", "Cello; Bowed string instrument")
_plays("harp", "Harp")
_plays("trumpet", "Trumpet; Brass instrument")
_plays("trombone", "Trombone; Brass instrument")
_plays("french horn", "French horn; Brass instrument")
_plays("saxophone", "Saxophone; Wind instrument, woodwind instrument", "a sax; sax")
_plays("clarinet", "Clarinet; Wind instrument, woodwind instrument")
_plays("flute", "Flute; Wind instrument, woodwind instrument")
_plays("banjo", "Banjo")
_plays("synthesizer", "Synthesizer; Electronic music; Techno", "a synth; synth")

# Percussion
_stroke("snare drum", "Snare drum; Drum; Rimshot", "a drum hit; a drum")
_stroke("cymbal", "Cymbal", "a crash cymbal; a cymbal crash; a ride cymbal")
_stroke("hi-hat", "Hi-hat; Cymbal", "a closed hi-hat")
_stroke("cowbell", "Cowbell")
_stroke("wood block", "Wood block")
_struck("timpani", "Timpani; Drum", instruments.timpani, "a kettledrum; timpani drums")
_add(
    "drum roll", "a drum roll", "a drum roll; a roll on a drum; drums",
    "a drum roll; drum roll; a roll on a snare drum; drumming; a drummer playing a roll; drums; a snare drum roll",
    "Drum roll; Snare drum; Drum", partial(instruments.roll, "snare drum"),
)  # fmt: skip
_add(
    "sleigh bells", "sleigh bells", "sleigh bells; jingle bells; jingling bells",
    "sleigh bells; jingle bells; jingling bells; small bells jingling; the jingle of bells; sleigh bells ringing",
    "Jingle bell; Jingle, tinkle", partial(instruments.stroke, "sleigh bells"), True,
)  # fmt: skip

# Signals
_add(
    "siren", "a siren", "a siren; a police siren; an ambulance",
    "a siren; siren; a police siren; an ambulance siren; a fire engine siren; a wailing siren; sirens; emergency siren",
    "Siren; Police car (siren); Ambulance (siren); Fire engine, fire truck (siren); Civil defense siren; Emergency vehicle",
    signals.siren,
)  # fmt: skip
_add(
    "smoke alarm", "a smoke alarm", "a smoke alarm; a fire alarm; an alarm beeping",
    "a smoke alarm; smoke alarm; a fire alarm; a smoke detector; smoke alarm beeping; an alarm going off; fire alarm",
    "Smoke detector, smoke alarm; Fire alarm", signals.smoke_alarm,
)  # fmt: skip
_add(
    "telephone ringing", "a telephone ringing", "a telephone; a phone; a telephone ringing; a ringing phone",
    "a telephone ringing; a phone ringing; telephone ringing; a ringing phone; phone ringing;"
    " an old telephone; a telephone; the phone rings",
    "Telephone; Telephone bell ringing; Ringtone", signals.telephone_ring,
)  # fmt: skip
_add(
    "busy signal", "a busy signal", "a busy signal; a busy tone; an engaged line",
    "a busy signal; busy signal; a busy tone; a telephone busy signal; a busy line; an engaged line; busy tone",
    "Busy signal", signals.busy_signal,
)  # fmt: skip
_add(
    "phone dialing", "a phone being dialed", "a phone being dialed; touch tones; someone dialing a phone",
    "a phone being dialed; dialing a phone; phone dialing; someone dialing a number; touch tones; dialing a number",
    "Telephone dialing, DTMF", signals.phone_dialing,
)  # fmt: skip
_add(
    "beep", "a beep", "a beep; beeping; an electronic beep",
    "a beep; beep; an electronic beep; a short beep; a computer beep; beeping; a bleep",
    "Beep, bleep; Sine wave", signals.beep, True,
)  # fmt: skip
_add(
    "car horn", "a car horn", "a car horn; a horn; a car honking",
    "a car horn; car horn; a car honking; honking; a horn honking; a car honks; the horn of a car",
    "Vehicle horn, car horn, honking; Toot", signals.car_horn, True,
)  # fmt: skip

_add(
    "dial tone", "a dial tone", "a dial tone; a telephone line; a telephone",
    "a dial tone; dial tone; a telephone dial tone; the tone of a phone line; a phone off the hook; the dial tone of a phone",
    "Dial tone", signals.dial_tone,
)  # fmt: skip
_add(
    "laser", "a laser zap", "a laser; a laser zap; a laser gun",
    "a laser zap; laser; a laser; a laser gun; a ray gun; a laser shot; a zap; a space gun",
    "Sound effect; Chirp tone", signals.laser, True,
)  # fmt: skip

# Bells and glass
_add(
    "glass breaking", "glass breaking", "glass; breaking glass; glass breaking; a window breaking",
    "glass breaking; breaking glass; a window breaking; glass shattering; shattering glass; a glass breaks; a broken window",
    "Shatter; Breaking; Glass; Smash, crash", bells.glass_breaking, True,
)  # fmt: skip
_add(
    "singing bowl", "a singing bowl", "a singing bowl; a bowl ringing; a Tibetan bowl",
    "a singing bowl; singing bowl; a Tibetan bowl; a ringing bowl; a meditation bowl; a bowl ringing",
    "Singing bowl; Tuning fork", bells.singing_bowl,
)  # fmt: skip

_add(
    "church bell", "a church bell ringing", "a bell; a church bell; a ringing bell",
    "a church bell ringing; church bell; a church bell; a bell ringing; a bell; church bells; a bell rings; the bell of a church",
    "Church bell; Bell; Change ringing (campanology); Tubular bells", bells.tower_bell, True,
)  # fmt: skip
_add(
    "desk bell", "a desk bell", "a desk bell; a hotel bell; a ding",
    "a desk bell; desk bell; a hotel bell; a ding; a service bell; the bell on a counter; a reception bell; ding",
    "Ding; Bell", bells.desk_bell, True,
)  # fmt: skip

_add(
    "doorbell", "a doorbell", "a doorbell; a doorbell ringing; a ding-dong",
    "a doorbell; doorbell; a doorbell ringing; the doorbell; ding dong; the doorbell rings; someone ringing the doorbell",
    "Doorbell; Ding-dong; Chime", bells.doorbell, True,
)  # fmt: skip

# Animals
_add(
    "bird", "a bird singing", "a bird; a bird singing; birds; a bird chirping",
    "a bird singing; bird; a bird; a bird chirping; birds chirping; bird song; birdsong; a chirping bird; birds singing",
    "Bird; Bird vocalization, bird call, bird song; Chirp, tweet", animals.bird,
)  # fmt: skip
_add(
    "cricket", "a cricket chirping", "a cricket; crickets; an insect",
    "a cricket chirping; cricket; a cricket; crickets; crickets chirping; crickets at night; chirping crickets",
    "Cricket; Insect", animals.cricket,
)  # fmt: skip

# Weather and water
_add(
    "steam", "steam hissing", "steam; hissing steam; a hiss",
    "steam hissing; steam; hissing steam; a hiss; hissing; the hiss of steam; steam escaping; a steam hiss",
    "Steam; Hiss", weather.steam,
)  # fmt: skip

_add(
    "wind", "wind howling", "wind; howling wind; a storm",
    "wind howling; wind; howling wind; the wind; wind blowing; a windy day; strong wind; the howling of the wind",
    "Wind; Wind noise (microphone)", weather.wind,
)  # fmt: skip
_add(
    "thunder", "thunder", "thunder; a thunderstorm; rolling thunder",
    "thunder; a thunderstorm; rolling thunder; thunder rumbling; the rumble of thunder; a thunder clap; thunder and lightning",
    "Thunder; Thunderstorm", weather.thunder,
)  # fmt: skip
_add(
    "stream", "a stream flowing", "a stream; a brook; flowing water; running water",
    "a stream flowing; stream; a stream; a brook; flowing water; running water; a small river; water flowing; a babbling brook",
    "Stream; Gurgling; Waterfall", weather.stream,
)  # fmt: skip
_add(
    "plop", "something plopping into water", "a plop; something falling into water; a splash",
    "a plop; plop; something plopping into water; a stone falling into water; a splash; a small splash",
    "Plop; Splash, splatter", weather.splash, True,
)  # fmt: skip

# Machines
_add(
    "machine gun", "a machine gun", "a machine gun; gunfire; shots",
    "a machine gun; machine gun; machine gun fire; automatic gunfire; a machine gun firing; gunfire; a burst of shots",
    "Machine gun; Gunshot, gunfire", machines.machine_gun,
)  # fmt: skip

_add(
    "engine revving", "a car engine revving", "an engine; a car; an engine revving; a car accelerating",
    "a car engine revving; engine revving; an engine; a car accelerating; a revving engine; a car engine; vroom",
    "Accelerating, revving, vroom; Engine; Light engine (high frequency); Medium engine (mid frequency)", machines.revving,
)  # fmt: skip
_add(
    "train whistle", "a train whistle", "a train; a train whistle; a steam train",
    "a train whistle; train whistle; a steam whistle; a train; the whistle of a train; a steam train; a train whistling",
    "Train whistle; Steam whistle; Train horn; Train", machines.steam_whistle,
)  # fmt: skip
_add(
    "explosion", "an explosion", "an explosion; a blast; something exploding",
    "an explosion; explosion; a blast; something exploding; a bomb; an explosion nearby; a bomb exploding; boom",
    "Explosion; Burst, pop; Eruption", machines.explosion, True,
)  # fmt: skip
_add(
    "fireworks", "fireworks", "fireworks; firecrackers; a firework",
    "fireworks; a firework; firecrackers; fireworks exploding; a fireworks display; fireworks in the sky; New Year fireworks",
    "Fireworks; Firecracker", machines.fireworks,
)  # fmt: skip
_add(
    "hammering", "hammering", "hammering; a hammer; someone hammering",
    "hammering; a hammer; someone hammering; a hammer on wood; hammering a nail; a carpenter hammering; hammer blows",
    "Hammer", actions.hammering,
)  # fmt: skip
_add(
    "chopping", "chopping on a board", "chopping; a knife on a board; someone chopping vegetables",
    "chopping on a board; chopping; chopping vegetables; a knife on a board; someone chopping; chopping food; cutting vegetables",
    "Chop; Chopping (food)", actions.chopping,
)  # fmt: skip
_add(
    "whoosh", "a whoosh", "a whoosh; a swish; something flying past",
    "a whoosh; whoosh; a swish; something flying past; a swoosh; something swinging through the air; a fast whoosh",
    "Whoosh, swoosh, swish", actions.whoosh, True,
)  # fmt: skip

_add(
    "engine idling", "an engine idling", "an engine; an engine idling; a motor; a car",
    "an engine idling; engine idling; an idling engine; a motor running; an idling car; a diesel engine; a motor",
    "Idling; Engine; Heavy engine (low frequency); Medium engine (mid frequency)", machines.engine,
)  # fmt: skip

# People
_add(
    "applause", "applause", "applause; clapping; people clapping; an audience",
    "applause; clapping; people clapping; an audience clapping; a crowd clapping; an applauding audience; clapping hands",
    "Applause; Clapping", instruments.applause,
)  # fmt: skip
_add(
    "typing", "typing on a keyboard", "typing; a keyboard; someone typing",
    "typing on a keyboard; typing; a computer keyboard; someone typing; a person typing; keyboard clicks; typing a letter",
    "Typing; Computer keyboard; Typewriter", actions.typing,
)  # fmt: skip
_add(
    "knocking", "knocking on a door", "knocking; a knock; someone knocking on a door",
    "knocking on a door; knocking; a knock; a knock on the door; someone knocking; someone at the door; knock knock",
    "Knock; Door", actions.knock, True,
)  # fmt: skip
_add(
    "heartbeat", "a heartbeat", "a heartbeat; a heart; a beating heart",
    "a heartbeat; heartbeat; a beating heart; a heart beating; heart; the beat of a heart; a human heart",
    "Heart sounds, heartbeat; Heart murmur", actions.heartbeat,
)  # fmt: skip
_add(
    "whistling", "a person whistling", "a person whistling; whistling; someone whistling; a whistled tune",
    "a person whistling; whistling; someone whistling; a man whistling; a whistled tune; whistling a tune; a person whistles",
    "Whistling", actions.whistling,
)  # fmt: skip
_add(
    "police whistle", "a police whistle", "a police whistle; a whistle; a referee's whistle",
    "a police whistle; police whistle; a whistle; a referee's whistle; a whistle blowing; a whistle being blown",
    "Whistle", actions.police_whistle, True,
)  # fmt: skip
