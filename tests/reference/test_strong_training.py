"""Random command lines of Strong-DFC, trained for whole epochs, against the equations of
strong_dfc.md (strong_training.py).

Every gradient, clipping, optimiser and pass of a run is in its last weights; losses and accuracies of each
epoch are compared too.
"""

import random

import numpy as np
import pytest

import dfc.build
import main
import run_strong
from core.backend import Workers, select_backend
from datasets.samples import Arrays
from dfc.draws import Draws
from dfc.tasks import Task
from tests.reference import strong_oracle as oracle
from tests.reference import strong_training as training
from tests.reference.strong_runs import Labels
from tests.reference.test_replay import Memory
from tests.reference.test_strong_oracle import command_of, drawn, settled

BACKEND = select_backend("numpy")
INPUTS, OUTPUTS, COUNTS = 6, 3, {"train": 23, "test": 9, "val": 7}
PROGRAMS = ("dfc", "dfc_single_phase", "bp", "dfa")
CASES = range(104)
EXACT = 1e-10
WORDS = ("momentum", "weight_decay", "adam_beta1", "adam_beta2")


def run_flags(number):
    """Flags of optimisers, passes and what is frozen, of all four programs."""
    choose = random.Random(1000 + number)
    flags = {"program": PROGRAMS[2 + number % 16 // 8] if number % 8 > 5 else PROGRAMS[number % 2]}
    flags |= {
        "epochs": choose.randint(1, 3),
        "batch_size": choose.choice((1, 4, 8, 23, 50)),
        "clip": choose.choice((-1.0, 0.02, 1.0)),
    }
    flags |= {
        "optimizer": choose.choice(("SGD", "RMSprop", "Adam")),
        "optimizer_fb": choose.choice(("SGD", "RMSprop", "Adam", None)),
    }
    for name in WORDS:
        low, high = (0.5, 0.99) if "beta" in name else (0.0, 0.6)
        flags[name], flags[f"{name}_fb"] = (round(choose.uniform(low, high), 3) for _ in range(2))
    flags["momentum"] *= choose.random() < 0.7
    flags["momentum_fb"] = choose.choice((None, 0.0, flags["momentum_fb"]))
    flags |= {"adam_epsilon": choose.choice((1e-8, 1e-3)), "adam_epsilon_fb": choose.choice((1e-8, 1e-3))}
    flags |= {
        "lr": choose.choice((1e-3, 0.01)),
        "lr_fb": choose.choice((1e-4, 1e-3)),
        "lr_fb_init": choose.choice((None, 2e-3)),
    }
    flags |= {
        "init_fb_epochs": choose.randint(0, 2),
        "extra_fb_epochs": choose.choice((0, 0, 1, 2)),
        "list": choose.random() < 0.25,
    }
    for name in (
        "no_val_set",
        "freeze_fw_weights",
        "freeze_fb_weights",
        "freeze_fb_weights_output",
        "normalize_lr",
        "use_bp_updates",
    ):
        flags[name] = choose.random() < 0.15
    flags["only"] = choose.choice(("first", "last", None)) if flags["program"] == "bp" else None
    return flags


class Case:
    """Flags and command line, the program's run, and the oracle's."""

    def __init__(self, number):
        self.flags, self.f = run_flags(number), drawn(number)
        f, flags = self.f, self.flags
        f["single"] = flags["program"] == "dfc_single_phase"
        self.controlled = flags["program"].startswith("dfc")
        self.rates = [flags["lr"]] * (1 + len(f["size_hidden"].split(",")))
        if flags["list"] and flags["optimizer"] != "RMSprop":
            self.rates = [flags["lr"] * (1 + l) for l in range(len(self.rates))]
        # steps of weights that grow without bounds would drown all others in rounding
        f["tmax_di"], f["tmax_di_fb"] = min(f["tmax_di"], 20), min(f["tmax_di_fb"], 20)
        self.typed, self.f = f, settled(f)
        self.random = np.random.default_rng(number)
        self.sets = {name: self.samples(count) for name, count in COUNTS.items()}
        self.blocks = {}

    def samples(self, count):
        x = self.random.standard_normal((count, INPUTS))
        if not self.f["classification"]:
            return x, self.random.standard_normal((count, OUTPUTS))
        labels, worth = self.random.integers(0, OUTPUTS, count), self.f["target_class_value"]
        worth = 0.99 if worth == 1.0 and self.f["strong_feedback"] and self.controlled else worth
        y = np.full((count, OUTPUTS), (1.0 - worth) / (OUTPUTS - 1))
        y[range(count), labels] = worth
        return x, y

    def words(self):
        flags, f, program = self.flags, self.f, self.flags["program"]
        if self.controlled:
            words = command_of(self.typed)
        else:
            words = [
                program,
                "--double_precision",
                f"--hidden_activation={f['hidden']}",
                f"--size_hidden={f['size_hidden']}",
            ]
            words += ["--dataset=mnist" if f["classification"] else "--dataset=student_teacher"]
            words += [f"--target_class_value={f['target_class_value']}"] + ["--no_bias"] * f["no_bias"]
        given = {"clip_grad_norm": flags["clip"], "lr": ",".join(map(str, self.rates))}
        given |= {name: flags[name] for name in ("epochs", "batch_size", "optimizer", "adam_epsilon", *WORDS)}
        switches = ["no_val_set", "freeze_fw_weights"]
        if self.controlled:
            fed = ("lr_fb", "lr_fb_init", "optimizer_fb", "adam_epsilon_fb", "init_fb_epochs", "extra_fb_epochs")
            given |= {
                name: flags[name] for name in (*fed, *(f"{name}_fb" for name in WORDS)) if flags[name] is not None
            }
            switches += ["freeze_fb_weights", "freeze_fb_weights_output", "normalize_lr", "use_bp_updates"]
        words += [f"--{name}={value}" for name, value in given.items()] + [
            f"--{name}" for name in switches if flags[name]
        ]
        return words + ([f"--only_train_{flags['only']}_layer"] if flags["only"] else [])

    # ---- the program

    def order(self, passed, count=COUNTS["train"]):
        return np.random.default_rng([3, passed]).permutation(count)

    def noise_source(self, place, part):
        return Drawn(self.blocks.setdefault(place, {}).setdefault(part, []), [4, *place, part])

    def run(self):
        settings = main.parse(run_strong.command(self.words()))
        hidden = settings.flags["size_hidden"]
        settings = settings.change(sizes=(INPUTS, *hidden, OUTPUTS), quiet=True)
        draws = Draws(7, BACKEND)
        draws.order, draws.noise = self.order, self.noise_source
        sets = {}
        for name, (x, y) in self.sets.items():
            sets[name] = Labels(x, y.argmax(axis=1), BACKEND) if self.f["classification"] else Arrays(x, y, BACKEND)
        task = Task(sets["train"], None if self.flags["no_val_set"] else sets["val"], sets["test"], INPUTS, OUTPUTS)
        folder = Memory()
        # A run does so, too.
        with np.errstate(all="ignore"):
            loop = main.build_loop(settings, BACKEND, task, Workers(1), draws, folder)
            net = loop.learner.net
            hidden_only = [*net.feedback, np.eye(OUTPUTS)] if len(net.feedback) < len(net.weights) else net.feedback
            biases = net.biases or [np.zeros(n) for n in net.sizes]
            self.other = oracle.Net(
                *([a.copy() for a in arrays] for arrays in (net.weights, biases, hidden_only)), self.f["hidden"]
            )
            loop.run()
        self.net, self.series = net, folder.series

    # ---- the equations

    def about(self):
        flags, f = self.flags, self.f
        learns = self.controlled and not (flags["freeze_fb_weights"] or f["use_jacobian_as_fb"])
        divisor = f["target_stepsize"] if flags["normalize_lr"] and self.controlled else 1.0
        of_w = self.optimiser("", lambda name: self.rates[name[1]] / divisor)
        about = {"before": flags["init_fb_epochs"] * learns, "learns_q": learns, "optimisers": {"W": of_w}}
        if learns:
            first = flags["lr_fb"] if flags["lr_fb_init"] is None else flags["lr_fb_init"]
            for name, rate in (("Q", flags["lr_fb"]), ("before", first)):
                about["optimisers"][name] = self.optimiser("_fb", lambda _, rate=rate: rate)
        extra = ["extra"] * (flags["extra_fb_epochs"] * learns)
        about["phases"] = ["feedback"] * (learns and not f["single"]) + ["forward", *extra]
        layers = {"first": [0], "last": [self.other.L - 1], None: range(self.other.L)}[flags["only"]]
        about |= {"layers": layers, "bias": not f["no_bias"], "by_bp": flags["use_bp_updates"] and self.controlled}
        about |= {"frozen_w": flags["freeze_fw_weights"], "frozen_output": flags["freeze_fb_weights_output"]}
        return (
            about
            | {name: flags[name] for name in ("epochs", "batch_size", "clip")}
            | {"classification": f["classification"]}
        )

    def optimiser(self, suffix, rate):
        flags = self.flags
        kind = flags[f"optimizer{suffix}"] or flags["optimizer"]
        momentum = flags["momentum"] if flags[f"momentum{suffix}"] is None else flags[f"momentum{suffix}"]
        epsilon = flags[f"adam_epsilon{suffix}"]
        about = {"kind": kind, "rate": rate, "momentum": momentum, "epsilon": lambda name: epsilon}
        about["decay"] = flags[f"weight_decay{suffix}"]
        return about | {name: flags[f"adam_{name}{suffix}"] for name in ("beta1", "beta2")}

    def expected(self):
        about = self.about()
        return training.Training(self.other, about, self.sets, self.gradients, self.order, self.noise).run()

    def noise(self, passed, number):
        """The normals of a batch, L arrays (T - 1, n, n_l): those of its parts side by side."""
        of_parts = self.blocks.get((passed, number), {}).values()
        parts = [[np.concatenate(layer) for layer in zip(*blocks, strict=True)] for blocks in of_parts]
        return [np.concatenate(layer, axis=1) for layer in zip(*parts, strict=True)]

    def gradients(self, net, x, y, xi, phase):
        f, classification = self.f, self.f["classification"]
        if not self.controlled:
            rule = training.bp_gradients if self.flags["program"] == "bp" else training.dfa_gradients
            return *rule(net, x, y, classification), None
        joint = f["single"] and phase != "before"
        suffix = "" if joint or phase == "forward" else "_fb"
        spread = [f[f"sigma{suffix}"]] * (net.L - 1) + [f[f"sigma_output{suffix}"]]
        noisy = phase != "forward" or f["noisy_dynamics"]
        held = phase != "forward" and not f["strong_feedback"]
        if f["single"]:
            held = phase == "before" and f["pretrain_without_controller"]
        target = oracle.output_target(net, x, y, f["strong_feedback"], classification, f["target_stepsize"])
        target = net.forward(x)[1][-1] if held else target
        found = oracle.simulate(
            net, x, target, oracle.phase(f, suffix, spread if noisy else None, phase == "before"), xi
        )
        dW = db = dQ = None
        if phase == "forward":
            form = oracle.gradients_at_the_end if f["ss"] else oracle.gradients_over_time
            dW, db = form(net, x, found, f["learning_rule"])
            if self.flags["use_bp_updates"]:
                dW, db = training.bp_gradients(net, x, y, classification)
        if phase != "forward" or (f["single"] and self.about()["learns_q"]):
            own = "" if phase == "forward" else "_fb"
            scale = [f[f"sigma{own}"]] * (net.L - 1) + [f[f"sigma_output{own}"]]
            tau = f["time_constant_ratio" if f["single"] else "time_constant_ratio_fb"]
            growth = 1.0 + tau / f["tau_noise"] if f["scaling_fb_updates"] else 1.0
            dQ = oracle.feedback_gradients(net, found, scale, growth, f["dt_di"] / f["tau_f"] if f["single"] else None)
        return dW, db, dQ


class Drawn:
    """Normals of one part of a batch, which are kept."""

    def __init__(self, kept, key):
        self.kept, self.random = kept, np.random.default_rng(key)

    def fill(self, steps, like):
        self.kept.append([self.random.standard_normal((steps, *each.shape)) for each in like])
        return self.kept[-1]


def close(found, expected, least=1e-3):
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=EXACT * max(np.abs(expected).max(), least))


@pytest.mark.parametrize("number", CASES)
def test_a_whole_run(number, monkeypatch):
    """Parts of few rows have noise of their own, and are joined again."""
    monkeypatch.setattr(dfc.build, "SMALL_PART", 3 if number % 3 == 0 else 64)
    case = Case(number)
    case.run()
    expected = case.expected()
    close(case.series["loss_train"], [row["train"][0] for row in expected.epochs])
    close(case.series["loss_test"], [row["test"][0] for row in expected.epochs])
    assert ("loss_val" in case.series) != case.flags["no_val_set"]
    if "loss_val" in case.series:
        close(case.series["loss_val"], [row["val"][0] for row in expected.epochs])
    if case.f["classification"]:
        close(case.series["acc_train"], [row["train"][1] for row in expected.epochs])
        close(case.series["acc_test"], [row["test"][1] for row in expected.epochs])
    for own, other in (
        (case.net.weights, case.other.W),
        (case.net.biases, case.other.b),
        (case.net.feedback, case.other.Q),
    ):
        for one, array in zip(own, other, strict=False):
            close(one, array)
