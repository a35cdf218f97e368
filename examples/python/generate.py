#!/usr/bin/env python3
"""Words to sound, and sound to words."""
import ualm

model = ualm.Model()
sound = model.generate("a dog barking", seed=1)
sound.write("dog.wav")
print(model.ask(sound, "What sound is this?"))
