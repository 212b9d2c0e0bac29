"""Small networks and batches that several tests need; no expectations."""

import numpy as np

from core.backend import Workers
from core.optimisers import Adam
from core.streams import INITIALISERS, stream
from gait.gradients import OrthogonalRegulariser
from gait.learner import Learner
from inv_net import TowerInvNet
from utils import LEAKY_RELU, one_hot

SQUARE = (9, 9, 9)
TOWER = (12, 7, 4)


def make_net(sizes=SQUARE, transfer=LEAKY_RELU, classes=4, init="orthogonal", dtype="float64", seed=3, gram_solve=True):
    draw = INITIALISERS[init]
    weights = [draw(stream(seed, "init", l), n, n).astype(dtype) for l, n in enumerate(sizes)]
    biases = [0.1 * stream(seed, "init", 100 + l).standard_normal(n).astype(dtype) for l, n in enumerate(sizes)]
    return TowerInvNet(weights, biases, transfer, classes, gram_solve)


def make_batch(net, samples=6, seed=5):
    """(inputs, one-hot targets) of the network's float type."""
    random = stream(seed, "data")
    dtype = net.layers[0].weights.dtype
    inputs = random.standard_normal((samples, net.layers[0].size)).astype(dtype)
    return inputs, one_hot(random.integers(0, net.classes, samples), net.classes, dtype)


def make_learner(net, rule, options=None, strength=0.0, learning_rate=1e-3, workers=None):
    optimiser = Adam(net.parameters, learning_rate)
    workers = workers or Workers()
    return Learner(net, rule, options or rule.Options(), OrthogonalRegulariser(strength), optimiser, workers)


def difference(found, expected):
    """Largest difference relative to the largest expected entry."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())
