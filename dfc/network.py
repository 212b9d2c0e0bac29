"""Defines the multi-layer perceptron with direct feedback weights from the output to every layer.

Rows are samples. Layers are numbered from 0 to L-1 (in docs/published/dfc.md A from 1 to L); W_l (n_l, n_{l-1}),
b_l (n_l,), Q_l (n_l, n_L), with n_{-1} inputs. Every array may have a leading axis of seeds: then W_l is (S, n_l,
n_{l-1}), the rates are (S, n, n_l) and labels (S, n), and each seed gets the same bits as if it were alone.
"""

import copy
import io
import math
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from core.backend import BLOCK, array_module, matmul, shares, to_host
from core.files import FileError, read_bytes
from utils import join

# Units of all layers.
SMALL = 128
# So many arrays of voltages and rates that a simulation reads and writes at every time point.
LARGE = 8


@dataclass
class Activities:
    """Holds the results of a feedforward pass; controllers never overwrite it.

    x             inputs (n, n_{-1})
    v             pre-activations, L arrays (n, n_l)
    r             rates phi(v), L arrays (n, n_l)
    batch_size    number of samples of the whole batch; these rows may be a part of it
    first_output  rates of the output layer for the first sample of the whole batch (n_L,)
    """

    x: Any
    v: list
    r: list
    batch_size: int
    first_output: Any

    def presynaptic(self, l):
        """Returns the rates (n, n_{l-1}) that layer l reads."""
        return self.r[l - 1] if l else self.x

    def part(self, rows):
        """Returns the Activities of some rows: views for a slice, copies for indices."""
        x, *layers = (array[..., rows, :] for array in (self.x, *self.v, *self.r))
        return Activities(x, layers[: len(self.v)], layers[len(self.v) :], self.batch_size, self.first_output)

    def of(self, seed):
        """Returns the Activities of one seed for (s,), or the whole for ()."""
        if not seed:
            return self
        v, r = ([array[seed] for array in arrays] for arrays in (self.v, self.r))
        return Activities(self.x[seed], v, r, self.batch_size, self.first_output[seed])


def of_seed(part, seed):
    """Returns the part of one seed, (s,), of an array with an axis of seeds, or of a list; None of None.

    For () it returns the whole.
    """
    if not seed:
        return part
    if isinstance(part, list):
        return [array[seed] for array in part]
    return None if part is None else part[seed]


class FeedbackNetwork:
    """Holds forward weights, feedback weights and activation functions, and computes what rules ask of them.

    weights      list of L arrays (n_l, n_{l-1}), updated in place during training
    biases       list of L arrays (n_l,), or an empty list
    feedback     list of arrays Q_l (n_l, n_L): all layers (DFC), hidden ones (DFA), or none (BP)
    activations  list of L dfc.functions.Activation
    loss         dfc.functions.Loss
    identity     whether Q_{L-1} is known to be the identity, and to stay it
    kinks        "derivative" or "slope": which of the two `derivative` returns
    block        entries that a pass over memory should handle at a time (core/backend.py)
    """

    def __init__(self, weights, biases, feedback, activations, loss, identity=False, block=BLOCK, kinks="derivative"):
        self.weights, self.biases, self.feedback = weights, biases, feedback
        self.activations = activations
        self.loss = loss
        self.identity = identity
        self.kinks = kinks
        self.block = block

    @staticmethod
    def together(nets):
        """Returns one network of copies of the arrays of `nets`, with a leading axis of seeds.

        Everything but the arrays is that of the first network.
        """
        whole, xp = copy.copy(nets[0]), array_module(*nets[0].weights)
        for name in ("weights", "biases", "feedback"):
            groups = zip(*(getattr(net, name) for net in nets), strict=True)
            setattr(whole, name, [xp.stack(arrays) for arrays in groups])
        return whole

    def of(self, seed):
        """Returns the network of one seed, whose arrays are views, for (s,), or the network itself for ()."""
        if not seed:
            return self
        one = copy.copy(self)
        one.weights, one.biases, one.feedback = (
            [array[seed] for array in arrays] for arrays in (self.weights, self.biases, self.feedback)
        )
        return one

    @property
    def seeds(self):
        """Returns the shape of the leading axis of seeds: (S,), or () for a single network."""
        return self.weights[0].shape[:-2]

    def apart(self, rows):
        """Returns the seeds, [(0,), (1,), …], if a rule does better to compute one after the other; else [].

        That is so on a CPU if the network is so large that the state of all seeds, each with `rows` samples, leaves the
        cache.
        """
        return list(np.ndindex(self.seeds)) if self.seeds and LARGE * rows * sum(self.sizes) > self.block else []

    def of_samples(self, array, rows):
        """Returns some samples of labels (n,) or targets (n, k), or of those of all seeds."""
        return array[(*(slice(None) for _ in self.seeds), rows)]

    @property
    def sizes(self):
        """Returns [n_0 … n_{L-1}], the sizes of the layers without the input."""
        return [w.shape[-2] for w in self.weights]

    def operations(self, rows):
        """Returns how many multiplications and additions a pass of `rows` samples through one network takes."""
        return 2 * rows * sum(math.prod(w.shape[-2:]) for w in self.weights)

    @property
    def small(self):
        """Returns whether a time step of its simulation costs calls rather than arithmetic."""
        return sum(self.sizes) <= SMALL

    @property
    def slices(self):
        """Returns the slice of each layer's rows in an array (N, k) with a row for every unit."""
        return [slice(*pair) for pair in pairwise(accumulate(self.sizes, initial=0))]

    def split(self, rows):
        """Returns views (n_l, k) of each layer's rows of an array (N, k) with a row for every unit."""
        return [rows[..., each, :] for each in self.slices]

    @property
    def parameters(self):
        """Returns the forward parameters [W_0, b_0, W_1, b_1, …], or without biases [W_0, W_1, …].

        They are the arrays themselves.
        """
        if not self.biases:
            return list(self.weights)
        return [array for pair in zip(self.weights, self.biases, strict=True) for array in pair]

    @property
    def layers_of_parameters(self):
        """Returns the layer that each of `parameters` belongs to."""
        return [l for l in range(len(self.weights)) for _ in range(2 if self.biases else 1)]

    def weights_of(self, arrays):
        """Returns the entries of the weights, one per layer, of a list like `parameters`."""
        return arrays[::2] if self.biases else arrays

    def biases_of(self, arrays):
        """Returns the entries of the biases, one per layer, of a list like `parameters`; [] without biases."""
        return arrays[1::2] if self.biases else []

    def of_layer(self, arrays, l):
        """Returns the entries of layer l of a list like `parameters`: weights and, if there are any, biases."""
        return arrays[2 * l : 2 * l + 2] if self.biases else arrays[l : l + 1]

    @property
    def arrays(self):
        """Returns everything that is trained: forward parameters, then feedback weights."""
        return [*self.parameters, *self.feedback]

    @property
    def named_arrays(self):
        """Returns {name: array} of everything that a run saves, with names such as 0Lweights."""
        groups = {"weights": self.weights, "biases": self.biases, "feedback": self.feedback}
        return {f"{l}L{name}": array for name, arrays in groups.items() for l, array in enumerate(arrays)}

    def weights_changed(self):
        """Does nothing: the network keeps nothing that follows from the weights."""

    def check_solved(self):
        """Does nothing: no weight matrix is inverted here."""

    def hand_marks_to(self, nets):
        """Does nothing: the network keeps no marks while it learns."""

    def blocks(self, count, entries):
        """Returns slices of `count` samples, each of as many samples as fill a block.

        entries  numbers that each sample stands for
        """
        return shares(count, -(-count * entries // self.block))

    def drive(self, l, rates, out=None):
        """Returns the basal voltage r W_l^T + b_l of layer l: (n, n_{l-1}) -> (n, n_l)."""
        v = matmul(rates, self.weights[l].swapaxes(-1, -2), out=out)
        if self.biases:
            v += self.biases[l][..., None, :]
        return v

    def forward(self, x):
        """Returns the Activities of a feedforward pass of inputs x (n, n_{-1}).

            v_l = r_{l-1} W_l^T + b_l,   r_l = phi_l(v_l)
        """
        v, r = [], []
        for l, activation in enumerate(self.activations):
            v.append(self.drive(l, r[-1] if l else x))
            r.append(activation.apply(v[-1]))
        return Activities(x, v, r, x.shape[-2], r[-1][..., 0, :])

    def output_error(self, activities, target):
        """Returns n dLoss/dr_L (n, n_L) of a feedforward pass, with n the samples of the batch."""
        return self.loss.error(activities.r[-1], target)

    def slope(self, activities, l):
        """Returns phi'_l (n, n_l) at the feedforward pre-activations, 1 at a kink."""
        return self.activations[l].slope(activities.v[l], activities.r[l])

    def derivative(self, activities, l):
        """Returns phi'_l (n, n_l), at a kink as `kinks` says: by default as automatic differentiation."""
        return getattr(self.activations[l], self.kinks)(activities.v[l], activities.r[l])

    def transpose_product(self, l, delta):
        """Returns delta W_l: errors on layer l (n, n_l) -> errors on the rates below (n, n_{l-1})."""
        return matmul(delta, self.weights[l])


def forward(net, inputs, workers, times=1):
    """Returns the Activities of a batch of inputs (n, n_{-1}); the workers divide the rows among themselves.

    times  how many passes count as one, see `Workers.pieces`
    """
    count = inputs.shape[-2]
    pieces = workers.pieces(times * net.operations(count))
    if pieces == 1:
        return net.forward(inputs)
    parts = workers.map(lambda rows: net.forward(inputs[..., rows, :]), shares(count, pieces))
    v, r = (
        [join(arrays, axis=-2) for arrays in zip(*each, strict=True)]
        for each in ([p.v for p in parts], [p.r for p in parts])
    )
    return Activities(inputs, v, r, count, r[-1][..., 0, :])


def rows_product(stack, matrix):
    """Returns the product of every matrix of a stack (n, k, m) with one matrix (m, p): (n, k, p).

    It is computed as a single product.
    """
    *seeds, n, k, m = stack.shape
    return matmul(stack.reshape(*seeds, n * k, m), matrix).reshape(*seeds, n, k, -1)


def load_weights(net, folder):
    """Overwrites the arrays of a network with those in a finished run's folder, such as 0Lweights.npy.

    Afterwards `identity` says whether the Q of the output layer that was read is the identity.

    Raises  FileError where one is missing, damaged, or that of another network
    """
    for name, array in net.named_arrays.items():
        path = Path(folder) / f"{name}.npy"
        try:
            found = np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise FileError(f"--start_from={folder}: {path} cannot be read ({reason})") from None
        if found.shape != array.shape or found.dtype.kind != "f":
            raise FileError(
                f"--start_from={folder}: {path} has shape {found.shape}, where this network has {array.shape}"
            )
        array[...] = array_module(array).asarray(found, dtype=array.dtype)
    if net.identity:
        last = to_host(net.feedback[-1])
        net.identity = bool((last == np.eye(*last.shape)).all())
