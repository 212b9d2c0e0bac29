"""Small networks and batches on any backend, made from the same host arrays."""

import dataclasses

import numpy as np

from core.backend import Workers
from core.optimisers import Adam
from core.streams import xavier_normal
from datasets.samples import Images, divided_table
from gait.gradients import OrthogonalRegulariser
from gait.learner import Learner
from inv_net import TowerInvNet
from rules import RULES
from utils import LEAKY_RELU, LINEAR

SIZES = {"square": [12, 12, 12], "tower": [12, 9, 6]}
CLASSES = 4
# It is large so that the absolute form of GAIT, which loses a digit per layer, can be compared in float32.
GAMMA = 0.1


def variants():
    """{name: (rule, options)}: every registered rule, once for each choice of each of its options that are words."""
    found = {}
    for name, rule in RULES.items():
        found[name] = rule, rule.Options()
        for field in dataclasses.fields(rule.Options):
            for choice in field.metadata.get("choices") or ():
                if choice != field.default:
                    found[f"{name}-{choice}"] = rule, rule.Options(**{field.name: choice})
    return found


VARIANTS = variants()


def command(variant):
    """The command-line options that ask for one of VARIANTS."""
    rule, options = VARIANTS[variant]
    changed = [field for field in dataclasses.fields(options) if getattr(options, field.name) != field.default]
    return [f"--algorithm={rule.name}"] + [f"--{field.name}={getattr(options, field.name)}" for field in changed]


def host_weights(structure):
    """Matrices far from orthogonal, of condition around 10."""
    random = np.random.default_rng(3)
    return [xavier_normal(random, size, size) + np.eye(size) for size in SIZES[structure]]


def build_learner(backend, variant="BP", structure="square", linear=False, strength=0.0, learning_rate=1e-2):
    """A Learner as run.py builds it for a GPU, that is with direct solves, of a small network."""
    weights = [backend.floats(w) for w in host_weights(structure)]
    biases = [backend.floats(np.linspace(-0.2, 0.2, len(w))) for w in weights]
    net = TowerInvNet(weights, biases, LINEAR if linear else LEAKY_RELU, CLASSES, gram_solve=False)
    rule, options = VARIANTS[variant]
    if hasattr(options, "gamma"):
        options = dataclasses.replace(options, gamma=GAMMA)
    regulariser = OrthogonalRegulariser(strength)
    return Learner(net, rule, options, regulariser, Adam(net.parameters, learning_rate), Workers(), backend.block)


def host_images(count):
    """Random images of bytes (count, 12) and their labels (count,)."""
    random = np.random.default_rng(4)
    return random.integers(0, 256, (count, 12), dtype=np.uint8), random.integers(0, CLASSES, count)


def samples(backend, count=20):
    return Images(*host_images(count), divided_table(255, backend.dtype), backend, "one_hot", CLASSES)
