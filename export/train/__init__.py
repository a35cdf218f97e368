"""The recipe of the default model: recordings in, a checkpoint out. Each package imports only those above it.

    audio/           log-mel spectra and augmentation
    sounds/          rendered sounds and synthetic voices
    world/           the kinds of sound, the scenes, and the sentences about them
    data/            recordings, and units and scenes cut from and mixed of them
    evaluation/      judges that are not part of the model, and the measures of export/evaluate.py
    codec/           the spectral codec and its training
    encoder/         the audio tower and its training
    language_model/  the language model, its examples and its training

`recipe.py` holds a run's settings, `stages.py` its stages, `checkpoint.py` writes the result, `recover.py` reads a package back.
"""
