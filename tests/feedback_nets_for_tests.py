"""Small networks with feedback weights, batches, settings and noise that several tests need; no expectations."""

import numpy as np

from core.streams import stream, xavier_normal
from dfc.controller import Controller
from dfc.functions import ACTIVATIONS, CROSS_ENTROPY, SQUARED_ERROR
from dfc.gradients import empty_gradients, layer_gradients
from dfc.network import FeedbackNetwork

LOSSES = {"ce": CROSS_ENTROPY, "mse": SQUARED_ERROR}
# The input comes first.
SIZES = (7, 6, 5, 3)
# The loops Jbar Qbar of the networks below have eigenvalues from 1 to 8: 25 units of time are enough to come to rest,
# steps of 1/20 and this gain small enough not to oscillate.
STABLE = Controller(
    alpha=0.1, dt=0.05, steps=500, k_p=0.1, tau_v=0.1, tau_a=0.05, inst_transmission=True, proactive=True
)


def weight_products(weights):
    """[W_{L-1} … W_{l+1} transposed, …, identity]: the feedback weights that are J^T in a linear network."""
    products = [np.eye(len(weights[-1]), dtype=weights[-1].dtype)]
    for w in weights[:0:-1]:
        products.insert(0, w.T @ products[0])
    return products


def make_net(sizes=SIZES, hidden="tanh", output="linear", loss="mse", bias=True, noise=0.2, dtype="float64", seed=1):
    """A network whose feedback weights are the products of its forward weights, plus Gaussian
    `noise` in hidden layers."""
    pairs = list(zip(sizes[1:], sizes[:-1], strict=True))
    weights = [xavier_normal(stream(seed, "init", l), *pair) for l, pair in enumerate(pairs)]
    biases = [0.2 * stream(seed, "init", 100 + l).standard_normal(n) for l, (n, _) in enumerate(pairs)] if bias else []
    feedback = weight_products(weights)
    for l, q in enumerate(feedback[:-1]):
        q += noise * stream(seed, "feedback", l).standard_normal(q.shape)
    hidden = [hidden] * (len(pairs) - 1) if isinstance(hidden, str) else hidden
    activations = [ACTIVATIONS[name] for name in (*hidden, output)]
    groups = [[array.astype(dtype) for array in arrays] for arrays in (weights, biases, feedback)]
    return FeedbackNetwork(*groups, activations, LOSSES[loss])


def make_batch(net, samples=6, seed=5):
    """(inputs, targets) of the network's float type; targets are labels for the cross-entropy."""
    random = stream(seed, "data")
    dtype = net.weights[0].dtype
    inputs = random.standard_normal((samples, net.weights[0].shape[1])).astype(dtype)
    if net.loss is CROSS_ENTROPY:
        return inputs, random.integers(0, net.sizes[-1], samples)
    return inputs, random.uniform(0.1, 0.9, (samples, net.sizes[-1])).astype(dtype)


def gradients_of(net, activities, errors):
    """The mean over the batch of delta_l^T r_{l-1} and of delta_l, as for every rule that only has errors."""
    gradients = empty_gradients(net)
    for l, delta in enumerate(errors):
        layer_gradients(activities.presynaptic(l), delta, 1.0 / activities.batch_size, *net.of_layer(gradients, l))
    return gradients


def result_of(rule, net, activities, target, options, noise=None):
    """The RuleResult of a rule that has one, written over what is not a number."""
    gradients = [np.full_like(p, np.nan) for p in net.parameters]
    return rule.gradients(net, activities, target, options, gradients, noise)


def gradients_from(rule, net, activities, target, options, noise=None):
    """The gradients of any rule."""
    if rule.gradients:
        return result_of(rule, net, activities, target, options, noise).gradients
    return gradients_of(net, activities, rule.layer_errors(net, activities, target, options))


def central_differences(function, array, step):
    """d function() / d array, one entry after the other, last axes those of `array`; `array` is varied
    in place and restored."""
    slopes = []
    for entry in np.ndindex(array.shape):
        kept = array[entry]
        array[entry] = kept + step
        above = np.array(function())
        array[entry] = kept - step
        slopes.append((above - np.array(function())) / (2.0 * step))
        array[entry] = kept
    return np.stack(slopes, axis=-1).reshape(*slopes[0].shape, *array.shape)


class GivenNoise:
    """Noise for simulate: rows of given arrays (steps, n, n_l), one per layer, handed out step after step."""

    def __init__(self, layers):
        self.layers, self.position, self.asked = layers, 0, []

    def fill(self, count, like):
        self.asked.append(count)
        start, self.position = self.position, self.position + count
        return [layer[start : self.position] for layer in self.layers]

    def again(self, rows):
        return GivenNoise([layer[:, rows] for layer in self.layers])


def draw_noise(net, steps, samples, seed=9):
    """GivenNoise for so many steps, of the network's float type."""
    dtype = net.weights[0].dtype
    shapes = enumerate((steps, samples, n) for n in net.sizes)
    return GivenNoise([stream(seed, "noise", l).standard_normal(shape).astype(dtype) for l, shape in shapes])
