"""Stage `speakers`: measures digit recognition for unheard speakers, leaving one speaker out at a time.

Every fold starts from the weights of stage `speech`, which heard synthetic voices only, and trains on all recorded speakers
but one, so that no training has heard the tested speaker. The digits are read from the audio tower's own head: the measure
is of the recipe, not of a package.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..data.recordings import Recording
from ..evaluation.intervals import percent
from ..files import write_atomically
from ..storage import finished
from . import train_encoder


def without_speakers(recordings: list[Recording]) -> list[Recording]:
    return [r for r in recordings if r.kind != "digit"]


def measure(recordings: list[Recording], start: Path, folder: Path, minutes: float) -> dict[str, list[int]]:
    """Returns, for each speaker, the number of correct digits and of all; trains `minutes` for each."""
    finished(start)
    speakers = sorted({r.split for r in recordings if r.kind == "digit"})
    results = {}
    for speaker in speakers:
        unheard = [r for r in recordings if r.kind == "digit" and r.split == speaker]
        heard = [r for r in recordings if r.kind != "digit" or r.split != speaker]
        model = train_encoder.train(heard, [], folder / f"{speaker}.pt", minutes, train_encoder.SPEAKERS, start)
        share = train_encoder.validate(model, unheard)["digit"]
        results[speaker] = [round(share * len(unheard)), len(unheard)]
        print(f"speaker {speaker}, unheard: {percent(*results[speaker])}", flush=True)
    write_atomically(folder / "results.json", lambda file: file.write(json.dumps(results).encode()))
    shares = [hits / count for hits, count in results.values()]
    print(f"speakers left out one by one: mean {100 * np.mean(shares):.1f} %, worst {100 * min(shares):.1f} %", flush=True)
    return results
