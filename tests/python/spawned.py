"""What the processes of a pool run."""


def frames(package):
    """The frames of a sound, made by a model of the process's own."""
    import ualm

    with ualm.Model(package) as model:
        return model.session().generate("a dog", model.options("audio", seed=1)).segments[0].frames.tolist()
