"""Repetitions of whole recorded runs of Strong-DFC, which keep every gradient, weight and loss."""

import json
from types import SimpleNamespace

import numpy as np

import main
import run_strong
from core.angles import angle, joint_angle
from core.backend import Workers, select_backend
from core.roles import Watcher
from datasets.samples import Arrays
from dfc.measures.feedback_diagnostics import feedback_fit
from dfc.measures.observation import Observation
from dfc.measures.summary import DONE, NOT_YET, summarise
from dfc.tasks import Task
from tests.reference.strong_cases import FOLDER
from tests.reference.strong_draws import PublishedDraws
from tests.reference.test_replay import Memory, close

FILES = [np.load(FOLDER / f"{name}.npz") for name in ("runs", "baselines")]
RUNS = {str(case): file for file in FILES for case in file["cases"]}
PROGRAMS = {"DFC_single_phase": "dfc_single_phase", "DFC": "dfc", "BP": "bp", "DFA": "dfa"}
SMALL_DIFFERENCES = 1e-9
# measured quantities, which this program keeps under other names or as series
OTHER_NAMES = (
    "gn_condition_init", "gn_condition", "lu_angle", "lu_angle_last", "lu_angle_best",
    "dist_to_ndi", "loss_lu_train_last", "loss_lu_train_best", "avg_time_per_epoch",
)  # fmt: skip
BACKEND = select_backend("numpy")


class Labels(Arrays):
    """Inputs with labels, which stay whole numbers."""

    def __init__(self, x, y, backend):
        super().__init__(x, y, backend)
        self.y = y


class Kept(Watcher):
    """A run that keeps the gradients, weights and losses of its batches; `loop` and `phase` are its subclass's."""

    def __init__(self):
        self.steps, self.losses, self.accuracies, self.conditions, self.folder = {}, [], [], [], Memory()

    @staticmethod
    def arrays_of(net):
        """{"W0": copy of the first weights, …}, and of b and Q."""
        groups = {"W": net.weights, "b": net.biases, "Q": net.feedback}
        return {f"{name}{l}": array.copy() for name, arrays in groups.items() for l, array in enumerate(arrays)}

    def run(self):
        """Train, and keep everything."""
        self.net = self.loop.learner.net
        self.loop.watchers.append(self)
        for learner in self.loop.plan.learners:
            self.listen(learner)
        self.loop.run()

    def listen(self, learner):
        """Keep gradients and weights of every step of a learner."""
        step = learner.step
        for mover in (learner, getattr(learner, "feedback", None)):
            if hasattr(mover, "update") and not hasattr(mover.update, "kept"):
                mover.update = self.keeping(mover.update)

        def kept(inputs, target, place, watch):
            if learner is self.loop.learner:
                output = self.net.forward(inputs).r[-1]
                self.losses.append(float(self.net.loss.value(output, target)))
                if self.loop.learner.correct:
                    self.accuracies.append(int(self.loop.learner.correct(output, target)) / len(output))
            self.now = self.phase(place[0])[0]
            step(inputs, target, place, watch)
            self.keep(self.now)
            if self.now == "pre" and place[1] == self.loop.batches - 1:
                fit = feedback_fit(self.net, self.net.forward(inputs), measures=("condition_gn",))
                self.conditions.append(float(fit["condition_gn"]))

        learner.step = kept

    def keeping(self, update):
        """The update of Q, which also keeps the gradients that it has clipped."""

        def kept(gradients):
            update(gradients)
            for l, gradient in enumerate(gradients):
                self.steps.setdefault(f"{self.now}_dQ{l}", []).append(gradient.copy())

        kept.kept = True
        return kept

    def moved(self, report):
        for index, gradient in enumerate(report.gradients):
            self.steps.setdefault(f"forward_d{'Wb'[index % 2]}{index // 2}", []).append(gradient.copy())

    def keep(self, phase):
        for name, array in self.arrays_of(self.net).items():
            self.steps.setdefault(f"{phase}_{name}", []).append(array)


class Analytical(Watcher):
    """What is recorded of the analytical steady state during a run, with a published slip.

    The angle compares the update of an epoch's first batch with the gradient of its last one.
    """

    def __init__(self, run):
        self.run, self.angles, self.of_network = run, [], []

    def watch(self):
        if "ndi_angles" in self.run:
            self.run.loop.watchers.append(self)

    def batch(self, report):
        if report.phase != "forward":
            return
        number = report.place[1]
        if number == 0:
            self.first = Observation(self.run.measurements, self.run.loop.learner, report).ndi
        if number == self.run.batches - 1:
            self.angles.append([angle(a, b) for a, b in zip(report.gradients[::2], self.first[::2], strict=True)])
            self.of_network.append(joint_angle(report.gradients, self.first))


class Run(Kept):
    """One recorded run and its repetition."""

    def __init__(self, case):
        super().__init__()
        self.case, self.file = case, RUNS[case]
        meta = json.loads(str(self["meta"]))
        self.program, self.resolved, self.summary = PROGRAMS[meta["network_type"]], meta["resolved"], meta["summary"]
        argv = [self.program, *meta["flags"], "--no_cuda", "--loglevel_info", "--defects=all", "--nan_test=published"]
        settings = main.parse(run_strong.command(argv))
        inputs, outputs = self["train_x"].shape[1], self["test_y"].shape[1] if self["test_y"].ndim == 2 else 5
        hidden = settings.flags["size_hidden"]
        settings = settings.change(sizes=(inputs, *hidden, outputs))
        self.settings, self.measurements = SimpleNamespace(**settings.flags), settings.watchers.measurements
        self.layers = len(hidden) + 1
        self.batches = -(-len(self["train_x"]) // self.settings.batch_size)
        self.analytical = Analytical(self)
        self.draws = PublishedDraws(self.settings, (inputs, *hidden, outputs), self.phase, self.begins_another_epoch)
        self.loop = main.build_loop(settings, BACKEND, self.task(), Workers(1), self.draws, self.folder)
        self.start = self.arrays_of(self.loop.learner.net)
        self.analytical.watch()
        self.run()

    def __getitem__(self, name):
        return self.file[f"{self.case}__{name}"]

    def __contains__(self, name):
        return f"{self.case}__{name}" in self.file

    def task(self):
        """The recorded data; label vectors stand for labels, of which the network's loss makes vectors again."""
        sets = {}
        for name in ("train", "val", "test"):
            if f"{name}_x" in self and not (name == "val" and self.settings.no_val_set):
                y = self[f"{name}_y"]
                labels = self.settings.task == "classification"
                y = y.argmax(axis=-1) if labels and y.ndim == 2 else y
                sets[name] = (Labels if labels else Arrays)(self[f"{name}_x"], y, BACKEND)
        return Task(sets["train"], sets.get("val"), sets["test"], *self.settings.sizes[:: len(self.settings.sizes) - 1])

    def begins_another_epoch(self, passed):
        """Whether a pass is the first of an epoch but the first one."""
        prelude, epoch = len(self.loop.plan.prelude), len(self.loop.plan.epoch)
        return passed > prelude and (passed - prelude) % epoch == 0

    def phase(self, passed):
        """(name, passes of this name before) of a pass."""
        prelude, epoch = len(self.loop.plan.prelude), self.loop.plan.epoch
        if passed < prelude:
            return "pre", passed
        number, within = divmod(passed - prelude, len(epoch))
        main_pass = epoch.index(self.loop.learner)
        if within == main_pass:
            return "forward", number
        if within < main_pass:
            return "feedback", number
        return "extra", number * (len(epoch) - main_pass - 1) + within - main_pass - 1


def compare_summary(run):
    """Every number of the published summary, from the series of this program."""
    series = run.folder.series
    epochs = len(series["loss_train"])
    found = summarise({"epoch": list(range(epochs)), "seconds": [0.0] * epochs} | series, DONE)
    for name, value in run.summary.items():
        if name not in OTHER_NAMES:
            close(found.get(name, NOT_YET), value)
