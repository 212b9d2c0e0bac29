"""Draws random numbers on the host: one seed per run, one independent stream per purpose and layer."""

import numpy as np

from core.normals import noise_generator

# Append only: the position of a purpose is part of the key of its stream.
PURPOSES = ("init", "feedback", "data", "shuffle", "noise", "device noise")


def stream(seed, purpose, *index):
    """Returns the generator of one purpose and layer of a run.

    Streams with different (seed, purpose, index) are independent, so that a new layer or purpose changes no other draw, and
    neighbouring seeds share nothing.  Drawn on the host: CPU and GPU start from the same numbers.

    seed     whole number >= 0
    purpose  one of PURPOSES
    index    layer, or other counters, each >= 0; 0 if left out
    """
    return np.random.default_rng(_sequence(seed, purpose, index))


def noise_stream(seed, *index):
    """Returns the generator of a run's noise at one place: it is quick to create, and the fastest one for
    core.normals.fill_normals.
    """
    return noise_generator(_sequence(seed, "noise", index))


def noise_key(seed):
    """Returns what stands for a run's seed where noise is drawn on a GPU (core.device_kernels.NORMALS): a numpy.uint64."""
    return _sequence(seed, "device noise", ()).generate_state(1, np.uint64)[0]


def _sequence(seed, purpose, index):
    return np.random.SeedSequence(seed, spawn_key=(PURPOSES.index(purpose), *(index or (0,))))
