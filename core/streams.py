"""Random numbers: one seed a run, one independent stream a purpose and a layer, drawn on the host."""

import numpy as np

PURPOSES = ("init", "feedback", "data", "shuffle", "noise")  # append only: the position is part of the key


def stream(seed, purpose, index=0):
    """The generator of one purpose and layer of a run.

    Streams with different (seed, purpose, index) are independent, so that a new layer or purpose changes no other draw, and
    neighbouring seeds share nothing.  Drawn on the host: CPU and GPU start from the same numbers.

    seed     whole number >= 0
    purpose  one of PURPOSES
    index    layer or other counter, >= 0
    """
    key = (PURPOSES.index(purpose), index)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
