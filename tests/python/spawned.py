"""The work of a pool's processes."""


def frames(package):
    """Returns the frames of a sound, made by the process's own model."""
    import ualm

    with ualm.Model(package) as model:
        return model.session().generate("a dog", model.options("audio", seed=1)).segments[0].frames.tolist()
