"""What a run of system 2 measures while it trains (dfc.md G.5 to G.9, B.9).

A watcher is called with every Batch of a learner; it measures every `--log_interval`-th of a pass and keeps the numbers until the
run writes them.  All of them offer
    frames()   {name: (steps, columns, rows)}: tables, a row a logged batch; steps count logged batches from 1
    vectors()  {name: list}: the published flat vectors and the keys that their entries belong to
    numbers()  {name: number} for the summary
    end_epoch()       {column: number} of the series
    state(), restore  what a checkpoint keeps: {name: host array}; all names begin with "seen_", shapes grow
"""

from dataclasses import dataclass, field

import numpy as np

from core.backend import to_host
from dfc.measures.measures import FIT, AngleMeasure, before_correction, eigenvalue_measure, fit_measure, joined, norm_measure
from dfc.measures.pass_ends import PassEnds
from dfc.measures.stability import MATRICES, distance_to_ssa, norm_names

NOT_MEASURED = -1


@dataclass
class Table:
    """Rows of numbers, and the step that each belongs to."""

    columns: tuple
    steps: list = field(default_factory=list)
    rows: list = field(default_factory=list)

    @property
    def array(self):
        return np.array(self.rows, dtype=float).reshape(len(self.rows), len(self.columns))


class Watcher:
    """Measures every `every`-th batch of some passes.

    measure  function of a Batch -> {table: numbers, one a column}
    tables   {table: columns}
    every    --log_interval
    watches  function of the number of passes before -> whether this pass is one of them
    """

    def __init__(self, measure, tables, every, watches=lambda passed: True):
        self.measure, self.every, self.watches = measure, every, watches
        self.tables = {name: Table(columns) for name, columns in tables.items()}

    def __call__(self, batch):
        passed, index = batch.place
        if index % self.every or not self.watches(passed):
            return
        step = 1 + max(table.steps[-1] if table.steps else 0 for table in self.tables.values())
        for name, row in self.measure(batch).items():
            self.tables[name].steps.append(step)
            self.tables[name].rows.append(row)

    def frames(self):
        return {}

    def vectors(self):
        return {}

    def numbers(self):
        return {}

    def end_epoch(self):
        return {}

    def state(self):
        rows = {f"seen_{name}": table.array for name, table in self.tables.items()}
        return rows | {f"seen_{name}_steps": np.array(table.steps, dtype=int) for name, table in self.tables.items()}

    def restore(self, named):
        """Go on from a `state`; what it does not know, because the flags were others, starts empty."""
        for name, table in self.tables.items():
            rows = named.get(f"seen_{name}", np.empty((0, len(table.columns))))
            if rows.shape[1:] != (len(table.columns),):
                raise ValueError(f"seen_{name} has shape {rows.shape}")
            table.rows, table.steps = rows.tolist(), named.get(f"seen_{name}_steps", np.empty(0, dtype=int)).tolist()


class FrameWatcher(Watcher):
    """Its tables are frames."""

    def frames(self):
        return {name: (list(table.steps), list(table.columns), table.array) for name, table in self.tables.items()}


class VectorWatcher(Watcher):
    """Its tables are published as vectors, event after event, key after key; `keys` names the lists of keys."""

    def __init__(self, measure, tables, every, keys):
        super().__init__(measure, tables, every)
        self.keys = keys

    def vectors(self):
        return {name: table.array.ravel().tolist() for name, table in self.tables.items()} | self.keys


class MeanWatcher(Watcher):
    """Its one column of each table is published as a mean."""

    def numbers(self):
        return {name: float(np.mean(table.array)) if table.rows else NOT_MEASURED for name, table in self.tables.items()}


class DistanceWatcher(Watcher):
    """The mean of dfc.measures.stability.distance_to_ssa over all batches of an epoch: column dist_to_NDI of the series."""

    def __init__(self, net, options, alpha):
        super().__init__(self._distance, {}, 1)
        self.net, self.options, self.alpha = net, options, alpha
        self._total, self._batches = 0.0, 0

    def __call__(self, batch):
        self._total = self._total + self.measure(batch)  # on the device: nobody waits for it before the epoch ends
        self._batches += 1

    def _distance(self, batch):
        output = joined(batch.results, lambda steady: steady.r[-1:])[0]
        return distance_to_ssa(self.net, batch.activities, batch.target, output, self.options, self.alpha)

    def end_epoch(self):
        mean = float(to_host(self._total)) / self._batches
        self._total, self._batches = 0.0, 0
        return {"dist_to_NDI": mean}

    def state(self):
        return {"seen_dist_to_NDI": np.array([float(to_host(self._total)), self._batches])}

    def restore(self, named):
        total, batches = named.get("seen_dist_to_NDI", (0.0, 0))
        self._total, self._batches = float(total), int(batches)


@dataclass
class Watchers:
    """The watchers of each learner of a run, and what they have collected; `after` see batches of W after their update."""

    forward: list
    feedback: list
    pretraining: list
    after: list = field(default_factory=list)

    @property
    def all(self):
        return [*self.pretraining, *self.feedback, *self.forward, *self.after]

    def frames(self):
        return {name: frame for watcher in self.all for name, frame in watcher.frames().items()}

    def vectors(self):
        return {name: vector for watcher in self.all for name, vector in watcher.vectors().items()}

    def numbers(self):
        return {name: number for watcher in self.all for name, number in watcher.numbers().items()}


def build_watchers(settings, net, options, noise=None):
    """The Watchers that the save_… flags ask for.

    settings  dfc.settings.Settings
    net       FeedbackNetwork
    options   the rule's Options
    noise     that of the ForwardLearner: function (place, part) -> noise for dfc.simulation.simulate
    Raises    UsageError where save_nullspace_norm_ratio cannot be measured
    """
    watchers = Watchers([], [], [])
    rule = settings.rule
    if rule.reference:
        return watchers
    kept = settings.save_df or settings.save_logs
    if kept and (angles := AngleMeasure(settings, net)).tables:
        watchers.forward.append(FrameWatcher(angles, angles.tables, settings.log_interval))
    if rule.feedback == "all":
        _watch_feedback(watchers, settings, net, [name for flag, name in FIT.items() if kept and getattr(settings, flag)])
    if rule.controlled:
        watchers.forward += _vector_watchers(settings, net, options, noise)
        if settings.compare_with_ndi and rule.simulates:
            watchers.forward.append(DistanceWatcher(net, options, settings.alpha_di))
        if (ends := PassEnds(net, settings)).wanted:
            watchers.after.append(ends)
    return watchers


def _watch_feedback(watchers, settings, net, measures):
    """Watchers of the feedback weights: in the forward passes where those are frozen, else in the first pass of each epoch."""
    every, first, epoch = settings.log_interval, settings.epochs_fb, 2 + settings.extra_fb_epochs
    if settings.freeze_fb_weights:
        if measures:
            watchers.forward.append(FrameWatcher(*fit_measure(net, settings, measures, "{}_angles".format), every))
        return
    if measures and settings.rule.joint:
        watchers.forward.append(FrameWatcher(*fit_measure(net, settings, measures, "{}_angles".format), every))
    if measures:
        watchers.pretraining.append(FrameWatcher(*fit_measure(net, settings, measures, "{}_angles_init".format), every))
    if measures and not settings.rule.joint:
        fit = fit_measure(net, settings, measures, "{}_angles".format)
        watchers.feedback.append(FrameWatcher(*fit, every, lambda passed: (passed - first) % epoch == 0))
    if settings.compute_gn_condition_init:
        condition = fit_measure(net, settings, ["condition_gn"], lambda measure: "gn_condition_init")
        watchers.pretraining.append(MeanWatcher(*condition, every, lambda passed: passed == first - 1))


def _vector_watchers(settings, net, options, noise):
    """Watchers of the eigenvalues and of the activities."""
    every, chosen = settings.log_interval, []
    if settings.save_eigenvalues:
        chosen.append(("max_eig", lambda batch: joined(batch.results, lambda steady: steady.v)))
    if settings.save_eigenvalues_bcn:
        chosen.append(("max_eig_bcn", lambda batch: before_correction(net, batch, options, noise)))
    for name, voltages in chosen:
        measured = eigenvalue_measure(net, settings, voltages, name)
        yield VectorWatcher(*measured, every, {"max_eig_keys": list(MATRICES)})
    if settings.save_norm_r:
        yield VectorWatcher(*norm_measure(net), every, {"norm_r_keys": list(norm_names(len(net.weights)))})
