#!/usr/bin/env python3
"""Makes a sound from text, and asks about it."""
import ualm

model = ualm.Model()
sound = model.generate("a dog barking", seed=1)
sound.write("dog.wav")
print(model.ask(sound, "What sound is this?"))
