"""Command lines of Strong-DFC of other sizes, activations and flags against the equations of
strong_dfc.md (strong_oracle.py)."""

import random

import numpy as np
import pytest

import main
import run_strong
from core.backend import select_backend
from dfc.build import build_network
from dfc.draws import Draws
from dfc.feedback_learning import normal_controller
from dfc.gradients import empty_gradients
from tests.feedback_nets_for_tests import GivenNoise
from tests.reference import strong_oracle as oracle

SAMPLES = 5
CORNERS = (
    # -1 stands for another flag
    dict.fromkeys(("sigma_output", "sigma_fb", "sigma_output_fb", "k_p_fb", "dt_di_fb", "tmax_di_fb"), -1)
    | dict.fromkeys(("time_constant_ratio_fb", "apical_time_constant", "apical_time_constant_fb"), -1),
    # steps longer than tau_v are shortened, tau_A keeps them as typed
    {"dt_di": 0.4, "dt_di_fb": 0.35, "apical_time_constant": -1, "apical_time_constant_fb": -1},
    {"tau_f": 0.1, "tau_noise": 0.7, "time_constant_ratio": 0.5, "time_constant_ratio_fb": 0.6},
    {"time_constant_ratio": 0.04, "dt_di": 0.04, "time_constant_ratio_fb": 0.03, "dt_di_fb": 0.03},
    {"apical_time_constant": 0.02, "dt_di": 0.02, "apical_time_constant_fb": 0.03, "dt_di_fb": 0.03},
    {"tau_noise": 0.04, "dt_di": 0.04, "dt_di_fb": 0.04},
    {"tau_f": 0.05, "dt_di": 0.05, "time_constant_ratio": 0.05, "low_pass_filter_u": True},
    {"sigma": 0.0, "sigma_output": 0.0, "sigma_fb": 0.0, "sigma_output_fb": 0.0},
    {"tmax_di": 2, "tmax_di_fb": 2},
    {"alpha_di": 0.0, "alpha_di_fb": 0.0, "k_p": 0.0, "k_p_fb": 0.0},
    {"alpha_di": 0.0, "alpha_di_fb": 0.0, "k_p": 1.5, "k_p_fb": 0.7, "target_class_value": 0.5},
)
CASES = range(60 + 4 * len(CORNERS))
EXACT = 1e-10
SWITCHES = (
    "strong_feedback", "proactive_controller", "inst_transmission", "inst_transmission_fb", "inst_system_dynamics",
    "low_pass_filter_u", "low_pass_filter_noise", "noisy_dynamics", "scaling_fb_updates",
    "no_bias", "use_jacobian_as_fb", "ss", "classification", "pretrain_without_controller",
)  # fmt: skip


def drawn(number):
    """A program and values of its flags, every activation, number of layers and switch among them."""
    choose = random.Random(number)
    flags = {
        name: choose.random() < (0.15 if name in ("use_jacobian_as_fb", "inst_system_dynamics") else 0.5)
        for name in SWITCHES
    }
    single = flags["single"] = bool(number % 2)
    flags["hidden"] = list(oracle.PHI)[number % len(oracle.PHI)]
    flags["size_hidden"] = choose.choice(("6", "5,1", "1", "4,7,3", "2,3,4,5"))
    flags["learning_rule"] = choose.choice(("nonlinear_difference", "voltage_difference"))
    flags["target_class_value"] = choose.choice((1.0, 0.99, 0.8))
    for name, low, high in (
        ("tau_f", 0.3, 0.9), ("tau_noise", 0.05, 0.29), ("dt_di", 0.005, 0.05), ("dt_di_fb", 0.005, 0.05),
        ("sigma", 0.0, 0.2), ("time_constant_ratio", 0.05, 0.29), ("time_constant_ratio_fb", 0.05, 0.29),
        ("sigma_output", 0.0, 0.2), ("sigma_fb", 0.0, 0.2), ("sigma_output_fb", 0.0, 0.2),
        ("alpha_di", 0.0, 0.5), ("alpha_di_fb", 0.0, 0.5), ("apical_time_constant", 0.06, 0.3),
        ("apical_time_constant_fb", 0.06, 0.3), ("target_stepsize", 0.01, 1.0),
    ):  # fmt: skip
        flags[name] = round(choose.uniform(low, high), 4)
    flags |= {"k_p": choose.choice((0.0, 1.5)), "k_p_fb": choose.choice((0.0, 0.7))}
    flags |= {"tmax_di": choose.randint(2, 40), "tmax_di_fb": choose.randint(2, 40)}
    if flags["use_jacobian_as_fb"]:
        flags["noisy_dynamics"] = False
    if single:
        flags["ss"], flags["noisy_dynamics"] = False, not flags["use_jacobian_as_fb"]
    else:
        flags["pretrain_without_controller"] = False
    return flags if number < 60 else flags | CORNERS[(number - 60) % len(CORNERS)]


def settled(flags):
    """What the published program computes with (strong_dfc.md 9), of flags as they are typed."""
    f = dict(flags)
    for name in ("k_p", "dt_di", "tmax_di", "time_constant_ratio", "sigma"):
        f[f"{name}_fb"] = f[name] if f[f"{name}_fb"] == -1 else f[f"{name}_fb"]
    f["sigma_output"] = f["sigma"] if f["sigma_output"] == -1 else f["sigma_output"]
    f["sigma_output_fb"] = f["sigma_fb"] if f["sigma_output_fb"] == -1 else f["sigma_output_fb"]
    for phase in ("", "_fb"):
        if f[f"apical_time_constant{phase}"] == -1:
            f[f"apical_time_constant{phase}"] = f[f"dt_di{phase}"]
    for name in ("tau_noise", "time_constant_ratio", "time_constant_ratio_fb"):
        f[name] = min(f[name], f["tau_f"])
    for phase in ("", "_fb"):
        f[f"dt_di{phase}"] = min(f[f"dt_di{phase}"], f[f"time_constant_ratio{phase}"])
    return f


def command_of(flags):
    words = [
        "dfc_single_phase" if flags["single"] else "dfc",
        "--double_precision",
        f"--hidden_activation={flags['hidden']}",
    ]
    words += [
        f"--{name}" for name, value in flags.items() if value is True and name not in ("single", "classification")
    ]
    if flags["single"] and flags["noisy_dynamics"]:
        words.remove("--noisy_dynamics")
    words += [
        "--dataset=mnist" if flags["classification"] else "--dataset=student_teacher --teacher_n_in=9 --teacher_n_out=3"
    ]
    only_two = ("apical_time_constant_fb",)
    for name, value in flags.items():
        if not isinstance(value, bool) and name != "hidden" and not (flags["single"] and name in only_two):
            words.append(f"--{name}={value}")
    return " ".join(words).split()


class Both:
    """The program's network and the oracle's, and a batch."""

    def __init__(self, number):
        typed = drawn(number)
        self.flags = flags = settled(typed)
        self.settings = main.parse(run_strong.command(command_of(typed)))
        backend = select_backend("numpy")
        self.net = build_network(self.settings.system.network, backend, Draws(number, backend))
        self.random = np.random.default_rng(number)
        for array in (*self.net.biases, *self.net.feedback):
            array += 0.3 * self.random.standard_normal(array.shape)
        biases = self.net.biases or [np.zeros(n) for n in self.net.sizes]
        self.other = oracle.Net(self.net.weights, biases, self.net.feedback, flags["hidden"])
        self.x = self.random.standard_normal((SAMPLES, self.net.weights[0].shape[1])) / 3.0
        outputs = self.net.sizes[-1]
        if flags["classification"]:
            self.target = self.random.integers(0, outputs, SAMPLES)
            worth = flags["target_class_value"]
            worth = 0.99 if worth == 1.0 and flags["strong_feedback"] else worth
            self.y = np.full((SAMPLES, outputs), (1.0 - worth) / (outputs - 1))
            self.y[range(SAMPLES), self.target] = worth
        else:
            self.target = self.y = self.random.standard_normal((SAMPLES, outputs))

    def noise(self, steps):
        return [self.random.standard_normal((steps - 1, SAMPLES, n)) for n in self.net.sizes]

    def phase(self, suffix, s, before=False):
        return oracle.phase(self.flags, suffix, s, before)

    def spread(self, hidden, output):
        return [self.flags[hidden]] * (self.other.L - 1) + [self.flags[output]]

    def wanted(self, held=False):
        f = self.flags
        if held:
            return self.other.forward(self.x)[1][-1]
        return oracle.output_target(
            self.other, self.x, self.y, f["strong_feedback"], f["classification"], f["target_stepsize"]
        )

    def growth(self, tau):
        return 1.0 + self.flags[tau] / self.flags["tau_noise"] if self.flags["scaling_fb_updates"] else 1.0


def close(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert np.isfinite(other).all()
        np.testing.assert_allclose(one, other, rtol=0.0, atol=EXACT * max(np.abs(other).max(), 1e-3))


@pytest.mark.parametrize("number", CASES)
def test_gradients_of_w_and_of_a_single_phase(number):
    both = Both(number)
    f, net = both.flags, both.net
    s = both.spread("sigma", "sigma_output")
    xi = both.noise(f["tmax_di"])
    expected = oracle.simulate(
        both.other, both.x, both.wanted(), both.phase("", s if f["noisy_dynamics"] else None), xi
    )
    system = both.settings.system
    given = GivenNoise(xi) if f["noisy_dynamics"] else None
    # as in a run: the test of convergence divides by the output, which dead units make zero
    with np.errstate(all="ignore"):
        result = system.rule.gradients(
            net, net.forward(both.x), both.target, system.rule_options, empty_gradients(net), given
        )
    form = oracle.gradients_at_the_end if f["ss"] else oracle.gradients_over_time
    dW, db = form(both.other, both.x, expected, f["learning_rule"])
    step = 1 if f["no_bias"] else 2
    close(result.gradients[::step], dW)
    if not f["no_bias"]:
        close(result.gradients[1::2], db)
    assert (result.feedback is not None) == (f["single"] and not f["use_jacobian_as_fb"])
    if result.feedback:
        dQ = oracle.feedback_gradients(
            both.other, expected, s, both.growth("time_constant_ratio"), f["dt_di"] / f["tau_f"]
        )
        close(result.feedback, dQ)


@pytest.mark.parametrize("before", (True, False))
@pytest.mark.parametrize("number", [number for number in CASES if not drawn(number)["use_jacobian_as_fb"]])
def test_gradients_of_q_in_passes_of_its_own(number, before):
    """Before the first epoch, and in it: the first of two phases, or further passes by the forward
    controller of a single one."""
    both = Both(number)
    f, net, phase = both.flags, both.net, both.settings.system.feedback
    extra = f["single"] and not before
    suffix = "" if extra else "_fb"
    p = both.phase(suffix, both.spread(f"sigma{suffix}", f"sigma_output{suffix}"), before)
    held = f["pretrain_without_controller"] and before if f["single"] else not f["strong_feedback"]
    xi = both.noise(p["T"])
    expected = oracle.simulate(both.other, both.x, both.wanted(held), p, xi)
    tau, share = ("time_constant_ratio", f["dt_di"] / f["tau_f"]) if f["single"] else ("time_constant_ratio_fb", None)
    dQ = oracle.feedback_gradients(
        both.other, expected, both.spread("sigma_fb", "sigma_output_fb"), both.growth(tau), share
    )
    settings = phase.first_settings if before else phase.rule_settings
    close(normal_controller(net, net.forward(both.x), settings, GivenNoise(xi), both.target), dQ)
