"""The small world: the kinds of sound, the scenes made of them, and the sentences about them."""
