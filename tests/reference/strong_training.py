"""Whole runs of Strong-DFC and its companions, written down once more from strong_dfc.md 5 to 7
and dfc.md E: plain numpy.

A run is a dict: program, epochs, before and extra (passes of Q alone), clip, optimisers {"W", "Q", "before"} of
Optimiser settings, frozen_w, learns_q, frozen_output, layers (those whose W move), by_bp, and functions that the
caller knows the phases by.
"""

import numpy as np

from tests.reference import strong_oracle as oracle


class Optimiser:
    """SGD, RMSprop or Adam of some arrays, {name: array}, each with its own step size and epsilon (dfc.md E).

    about  dict: kind, rate and epsilon (functions of the name), decay, momentum, beta1, beta2
    """

    def __init__(self, about):
        self.about, self.kept, self.steps = about, {}, {}

    def step(self, arrays, gradients):
        for name, p in arrays.items():
            self._move(name, p, gradients[name] + self.about["decay"] * p)

    def _move(self, name, p, g):
        a, rate = self.about, self.about["rate"](name)
        k = self.steps[name] = self.steps.get(name, 0) + 1
        first, second, third = self.kept.get(name, (0.0 * g, 0.0 * g, None))
        if a["kind"] == "Adam":
            first = a["beta1"] * first + (1.0 - a["beta1"]) * g
            second = a["beta2"] * second + (1.0 - a["beta2"]) * g * g
            shown = np.sqrt(second) / np.sqrt(1.0 - a["beta2"] ** k) + a["epsilon"](name)
            p -= rate / (1.0 - a["beta1"] ** k) * first / shown
        else:
            if a["kind"] == "RMSprop":
                second = 0.95 * second + 0.05 * g * g
                first = 0.95 * first + 0.05 * g
                g = g / (np.sqrt(second - first * first) + 0.03)
            if a["momentum"] > 0.0:
                third = g if third is None else a["momentum"] * third + g
                g = third
            p -= rate * g
        self.kept[name] = first, second, third


def clipped(arrays, bound):
    """Arrays that share a norm, shortened to the bound; -1: as they are."""
    if bound == -1.0:
        return arrays
    k = bound / (np.sqrt(sum((g * g).sum() for g in arrays)) + 1e-6)
    return [g * min(k, 1.0) for g in arrays]


def loss(output, y, classification):
    if not classification:
        return ((output - y) ** 2).mean()
    return -(y * np.log(oracle.softmax(output))).sum(axis=1).mean()


def output_error(output, y, classification):
    """dLoss/dr_L, the mean over the batch included."""
    return (oracle.softmax(output) - y if classification else 2.0 * (output - y) / y.shape[1]) / len(y)


def bp_gradients(net, x, y, classification):
    v, r = net.forward(x)
    d, dW, db = output_error(r[-1], y, classification), [], []
    for i in range(net.L - 1, -1, -1):
        dW.insert(0, d.T @ (r[i - 1] if i else x))
        db.insert(0, d.sum(axis=0))
        if i:
            d = d @ net.W[i] * net.slope(i - 1, v[i - 1])
    return dW, db


def dfa_gradients(net, x, y, classification):
    """Without phi', as published."""
    _, r = net.forward(x)
    e = output_error(r[-1], y, classification)
    errors = [e @ q.T for q in net.Q[: net.L - 1]] + [e]
    return [d.T @ (r[i - 1] if i else x) for i, d in enumerate(errors)], [d.sum(axis=0) for d in errors]


class Training:
    """A run of `about`, a dict as above, on (x, y) of three sets; `order` and `noise` are functions of
    passes and batches before.

    gradients  function (net, x, y, xi, phase) -> (dW, db, dQ), None for what the phase does not teach; phase "before",
               "feedback", "forward" or "extra"
    """

    def __init__(self, net, about, sets, gradients, order, noise):
        self.net, self.about, self.sets = net, about, sets
        self.gradients, self.order, self.noise = gradients, order, noise
        self.optimisers = {name: Optimiser(settings) for name, settings in about["optimisers"].items()}
        self.passed, self.batch_losses, self.epochs = 0, [], []

    def run(self):
        about = self.about
        for _ in range(about["before"]):
            self.one_pass("before")
        for _ in range(about["epochs"]):
            losses = [each for phase in about["phases"] for each in self.one_pass(phase)]
            row = {"train": [np.mean([each[0] for each in losses]), np.mean([each[1] for each in losses])]}
            for name in ("test", "val"):
                row[name] = self.measured(*self.sets[name])
            self.epochs.append(row)
        return self

    def measured(self, x, y):
        output = self.net.forward(x)[1][-1]
        right = (output.argmax(axis=1) == y.argmax(axis=1)).mean()
        return [loss(output, y, self.about["classification"]), right]

    def one_pass(self, phase):
        x, y = self.sets["train"]
        order, size, found = self.order(self.passed), self.about["batch_size"], []
        for number, start in enumerate(range(0, len(order), size)):
            rows = order[start : start + size]
            if phase == "forward":
                found.append(self.measured(x[rows], y[rows]))
            dW, db, dQ = self.gradients(self.net, x[rows], y[rows], self.noise(self.passed, number), phase)
            if dW is not None and not self.about["frozen_w"]:
                self.move_w(dW, db)
            if dQ is not None:
                self.move_q(dQ, "before" if phase == "before" else "Q")
        self.passed += 1
        return found

    def move_w(self, dW, db):
        arrays, gradients, bound = {}, {}, -1.0 if self.about["by_bp"] else self.about["clip"]
        for i in self.about["layers"]:
            pair = [dW[i], db[i]] if self.about["bias"] else [dW[i]]
            for kind, own, g in zip("Wb", (self.net.W[i], self.net.b[i]), clipped(pair, bound), strict=False):
                arrays[kind, i], gradients[kind, i] = own, g
        self.optimisers["W"].step(arrays, gradients)

    def move_q(self, dQ, optimiser):
        moving = range(self.net.L - self.about["frozen_output"])
        gradients = {("Q", i): clipped([dQ[i]], self.about["clip"])[0] for i in moving}
        self.optimisers[optimiser].step({("Q", i): self.net.Q[i] for i in moving}, gradients)
