"""Several training steps end to end, against train_trace.npz and the traces of extra.npz: learners,
clipping, optimisers together.

The traces `…_accumulated` let the gradient of a frozen last Q pile up, as published; this program starts from zero in
every batch (docs/deviations.md, 16), so that it must meet `…_reset` and must not meet the others.
"""

import numpy as np
import pytest

from core.backend import Workers
from core.clipping import joint_norm
from core.optimisers import SGD, Adam
from dfc.feedback_learning import Q_RULES, FeedbackSettings
from dfc.learners import FeedbackLearner, ForwardLearner
from dfc.network import FeedbackNetwork
from rules import dfc_ssa
from tests.feedback_nets_for_tests import LOSSES, GivenNoise
from tests.reference.dfc_cases import Case, assert_close, every, feedback_controller, network, read, update_options
from utils import count_correct

ABSENT = {"momentum": 0.0, "forward_wd": 0.0, "fb_learning_rule": "normal_controller", "train_forward": True}
PILED_UP = ("trace_special_frozen_accumulated", "trace_old_frozen_accumulated")
TRACES = [case for case in (*read("train_trace.npz"), *read("extra.npz", "trace")) if case.name not in PILED_UP]


class Trace:
    """The learners of a case, at work on its batches."""

    def __init__(self, case):
        self.case, self.meta = case, ABSENT | case.meta
        start = {key.removesuffix("_init"): a for key, a in case.arrays.items() if key.endswith("_init")}
        recorded = network(Case(case.name, self.meta, start))
        copies = [[a.copy() for a in arrays] for arrays in (recorded.weights, recorded.biases, recorded.feedback)]
        self.net = FeedbackNetwork(*copies, recorded.activations, LOSSES[self.meta["loss"]])
        self.seen = []
        shared = {"workers": Workers()}
        self.forward, self.feedback = self._forward(shared), self._feedback(shared)

    def see(self, report, moved=False):
        if not moved:
            self.seen.append(report)

    def _forward(self, shared):
        meta = self.meta
        if meta["method"] == "ssa":
            rule = dfc_ssa.RULE
            options = dfc_ssa.Options(meta["target_stepsize"], meta["alpha"], meta["learning_rule"])
        else:
            module, options = update_options(meta | {"epsilon": meta["epsilon_di"]})
            rule = module.RULE
        constants = (meta["beta1"], meta["beta2"], meta["epsilon"])
        optimiser = self._optimiser(
            "", self.net.parameters, meta["lr"], meta["forward_wd"], meta["momentum"], constants
        )
        correct = count_correct if meta["loss"] == "ce" else None
        owned = range(len(self.net.parameters))
        return ForwardLearner(
            self.net, rule, options, optimiser, owned=owned, clip=meta["clip_grad_norm"], correct=correct, **shared
        )

    def _feedback(self, shared):
        meta = self.meta
        owned = range(len(self.net.feedback) - meta["freeze_fb_weights_output"])
        constants = (meta["beta1_fb"], meta["beta2_fb"], meta["epsilon_fb"])
        parameters = [self.net.feedback[index] for index in owned]
        optimiser = self._optimiser("_fb", parameters, meta["lr_fb"], meta["feedback_wd"], 0.0, constants)
        strength = meta["homeostatic_wd_fb"]
        return FeedbackLearner(
            self.net,
            Q_RULES[meta["fb_learning_rule"]],
            FeedbackSettings(feedback_controller(meta), meta["sigma_fb"], meta["alpha"]),
            optimiser,
            owned=owned,
            clip=meta["clip_grad_norm"],
            homeostatic=(strength, meta["homeostatic_constant"]) if strength > 0.0 else None,
            noise=self._noise,
            part=None,
            **shared,
        )

    def _optimiser(self, phase, parameters, rate, decay, momentum, constants):
        if self.meta[f"optimizer{phase}"] == "SGD":
            return SGD(parameters, rate, momentum, decay)
        beta1, beta2, epsilon = constants
        return Adam(parameters, rate, beta1, beta2, epsilon, bias_correction=True, weight_decay=decay)

    def _noise(self, place, part):
        layers = [layer[place[1]] for layer in self.case.layers("noise")]
        return GivenNoise([layer if layer.ndim == 3 else layer[None] for layer in layers])

    def go(self):
        """One step after the other; yields (step, the batches watched, and the norm of the feedback
        gradients before clipping)."""
        for step, batch in enumerate(zip(self.case["x"], self.case["target"], strict=True)):
            seen = {}
            if self.meta["train_feedback"]:
                seen["norm"] = joint_norm(self.feedback.gradients(self.net.forward(batch[0]), (0, step), batch[1]))
            for name, learner in (("train_feedback", self.feedback), ("train_forward", self.forward)):
                if self.meta[name]:
                    learner.step(*batch, (0, step), self.see)
                    seen[name] = self.seen.pop()
            yield step, seen


@every(*TRACES)
def test_every_step_of_a_trace(case):
    trace = Trace(case)
    for step, seen in trace.go():
        for name, arrays in (("W", trace.net.weights), ("b", trace.net.biases), ("Q", trace.net.feedback)):
            for l, array in enumerate(arrays):
                if f"traj_{name}{l}" in case:
                    assert_close(array, case[f"traj_{name}{l}"][step], 1e-9)
        if "train_forward" in seen:
            compare_forward(case, step, trace.net, seen["train_forward"])
        if "fb_grad_norm" in case:
            assert_close(seen["norm"], case["fb_grad_norm"][step], 1e-9)
        if "train_feedback" in seen and "dQ0" in case:
            for l, gradient in enumerate(seen["train_feedback"].gradients):
                if f"dQ{l}" in case:
                    assert_close(gradient, case[f"dQ{l}"][step], 1e-9)


def compare_forward(case, step, net, batch):
    """Loss, accuracy, gradients after clipping, and flags of one batch."""
    assert_close(net.loss.value(batch.activities.r[-1], batch.target), case["loss"][step], 1e-9)
    if "accuracy" in case:
        assert count_correct(batch.activities.r[-1], batch.target) / len(batch.target) == case["accuracy"][step]
    names = [f"{kind}{l}" for l in range(len(net.weights)) for kind in "Wb"]
    if "dW0" in case:
        for name, gradient in zip(names, batch.gradients, strict=True):
            assert_close(gradient, case[f"d{name}"][step], 1e-8)
    for flag in ("converged", "diverged"):
        if flag in case:
            np.testing.assert_array_equal(getattr(batch.results[0], flag), case[flag][step])


@pytest.mark.parametrize("name", PILED_UP)
def test_gradients_of_a_frozen_output_do_not_pile_up(name):
    """The first step is the published one, later ones are not: nothing is left of the gradient before."""
    (case,) = (case for case in read("extra.npz", "trace") if case.name == name)
    last = f"dQ{len(case.layers('dQ')) - 1}"
    for step, seen in Trace(case).go():
        found = seen["train_feedback"].gradients[-1]
        same = np.allclose(found, case[last][step], rtol=1e-9, atol=0.0)
        assert same == (step == 0)
