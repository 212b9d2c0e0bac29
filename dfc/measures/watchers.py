"""Holds the watchers of a run of system 2: its counts, its measurements, and the list of all watchers.

The measurements are those of docs/published/dfc.md G.5 to G.9 and B.9.
"""

from dataclasses import dataclass, field

import numpy as np

from core.backend import to_host
from core.drawing import require_matplotlib
from core.program import complain
from core.roles import Watcher
from core.training import Schedule
from dfc.evaluation import Evaluation, StopCondition
from dfc.measures.observation import Observation, to_floats
from dfc.measures.pass_ends import BY_PROTOCOL, PassEnds
from dfc.measures.summary import NOT_YET, Frame
from dfc.measures.table import (
    COLUMN,
    FEEDBACK,
    FORWARD,
    FRAME,
    LAST_PRETRAINING,
    LOG,
    MEAN,
    MEASUREMENTS,
    PRETRAINING,
    VECTOR,
)


def build_watchers(settings, system, task, workers, folder):
    """Returns the watchers that the settings ask for, in the order in which the loop calls them.

    settings  dfc.settings.records.WatcherSettings
    system    dfc.build.System
    task      dfc.tasks.Task
    workers   core.backend.Workers
    folder    path of the run folder, for pictures and logs
    Raises    UsageError if a flag cannot be obeyed
    """
    about, learner = settings.measurements, system.learner
    rule, on = about.rule, about.switches
    batches = Schedule(0, about.batch_size, first_batches=about.first_batches).batches(task.train)
    measurements = Measurements(about, learner)
    watchers = [measurements]
    if rule.controlled and not on.isdisjoint(BY_PROTOCOL[about.protocol]):
        watchers.append(PassEnds(learner.net, about, batches))
    if "save_logs" in on:
        from dfc.measures.tensorboard import Log

        watchers.append(Log(folder, system, measurements, batches, about.log_interval))
    if _needs_convergence(rule, on):
        watchers.append(ConvergenceNote(settings.who))
    if "make_dynamics_plot" in on and rule.simulates:
        from dfc.measures.pictures import DynamicsPlot

        watchers.append(DynamicsPlot(about, learner, folder, system.plan))
    watchers.append(Evaluation(settings.evaluation, task, workers))
    if "plot_autoencoder_images" in on:
        from dfc.measures.pictures import Reconstructions

        watchers.append(Reconstructions(task, folder))
    if "gn_damping_hpsearch" in on and not rule.reference:
        from dfc.measures.damping import SearchThenStop

        watchers.append(SearchThenStop(about, system, task.train, batches, folder))
    return [*watchers, StopCondition(settings.stopping, learner.net)]


def _needs_convergence(rule, on):
    """Returns whether W learns from converged samples alone, in a run whose samples may converge."""
    # Noise, or labels as targets, keep the output from coming to rest in any case.
    restless = rule.joint or "strong_feedback" in on
    # The memory-saving DFC drops diverged samples alone (docs/published/dfc.md C.3).
    from_all = not on.isdisjoint(("include_non_converged_samples", "use_bp_updates"))
    from_all |= rule.averages and "efficient_controller" in on
    return rule.simulates and not (restless or from_all)


def check_packages(settings):
    """Raises UsageError if a flag needs a package that is not installed; see MeasurementSettings."""
    if "save_logs" in settings.switches:
        from dfc.measures.events import require_tensorboard

        require_tensorboard()
    if "make_dynamics_plot" in settings.switches and settings.rule.simulates:
        require_matplotlib("--make_dynamics_plot:")
    if "plot_autoencoder_images" in settings.switches:
        require_matplotlib("--plot_autoencoder_images:")


class ConvergenceNote(Watcher):
    """Prints one note about the first epoch in which no sample converged, so that nothing was learned.

    who  the beginning of the sentence
    """

    def __init__(self, who=""):
        self.who, self.told = who, False

    def written(self, series):
        if not self.told and series.get("converged", [1])[-1:] == [0]:
            self.told = True
            complain(
                f"note: {self.who}no sample converged in epoch {series['epoch'][-1]}, so that nothing was learned: "
                "the controller did not come to rest "
                "(--tmax_di, --dt_di, --k_p, --alpha_di and --epsilon_di determine that)"
            )


@dataclass
class Table:
    """Holds rows of numbers, and the step of each row: measured batches, counted from 1."""

    columns: tuple
    steps: list = field(default_factory=list)
    rows: list = field(default_factory=list)

    @property
    def array(self):
        """Returns the rows as one array (rows, columns)."""
        return np.array(self.rows, dtype=float).reshape(len(self.rows), len(self.columns))


class Measurements(Watcher):
    """Measures the rows of dfc.measures.table that the settings ask for, and keeps their numbers.

    settings  dfc.settings.records.MeasurementSettings
    learner   dfc.learners.ForwardLearner
    Raises    UsageError if save_nullspace_norm_ratio cannot be measured
    """

    def __init__(self, settings, learner):
        self.settings, self.learner = settings, learner
        rows, layers = chosen(settings), len(learner.net.weights)
        self.rows = [row for row in rows if row.kept != COLUMN]
        self.tables = {
            row.key: Table(row.columns(layers) if callable(row.columns) else row.columns) for row in self.rows
        }
        self.averaged = [row for row in rows if row.kept == COLUMN]
        self._totals, self._batches = dict.fromkeys((row.key for row in self.averaged), 0.0), 0

    def wants(self, place):
        return bool(self.averaged or (self.rows and self._logged(place)))

    def _logged(self, place):
        return place[1] % self.settings.log_interval == 0

    def batch(self, report):
        due = [row for row in self.rows if self._logged(report.place) and is_due(row.when, report, self.settings)]
        averaged = self.averaged if report.phase == FORWARD else []
        if not (due or averaged):
            return
        seen = Observation(self.settings, self.learner, report)
        for row in averaged:
            # The sum stays on the device, so that nothing waits for it before the epoch ends.
            self._totals[row.key] = self._totals[row.key] + row.measure(seen)[0]
        self._batches += bool(averaged)
        if due:
            steps = {when: self._steps(when) + 1 for when in {row.when for row in due}}
            found = to_floats({row.key: row.measure(seen) for row in due})
            for row in due:
                self.tables[row.key].steps.append(steps[row.when])
                self.tables[row.key].rows.append(found[row.key])

    def _steps(self, when):
        """Returns the number of batches that were measured `when` so far."""
        steps = [self.tables[row.key].steps for row in self.rows if row.when == when]
        return max(each[-1] if each else 0 for each in steps)

    def row(self, net, epoch):
        row = {name: float(to_host(total)) / self._batches for name, total in self._totals.items()}
        self._totals, self._batches = dict.fromkeys(self._totals, 0.0), 0
        return row

    def summary(self):
        """Returns the measurements' part of the published summary (docs/published/dfc.md I.7)."""
        settings = self.settings
        entries = {"log_interval": settings.log_interval}
        if settings.rule.controlled:
            entries |= {row.key: np.zeros(1) for row in MEASUREMENTS if row.kept in (VECTOR, COLUMN)}
        for row, table in self._kept(VECTOR):
            entries[row.key] = table.array.ravel()
            if row.listed:
                entries[row.listed] = list(table.columns)
        if settings.rule.learns_feedback and settings.epochs_fb and "freeze_fb_weights" not in settings.switches:
            entries |= {row.key: NOT_YET for row in MEASUREMENTS if row.kept == MEAN}
        entries |= {row.key: float(np.mean(table.array)) if table.rows else NOT_YET for row, table in self._kept(MEAN)}
        if "save_df" in settings.switches:
            entries |= {row.key: Frame(list(t.steps), list(t.columns), t.array) for row, t in self._kept(FRAME)}
        return entries

    def _kept(self, kept):
        return [(row, self.tables[row.key]) for row in self.rows if row.kept == kept]

    def state(self):
        state = {
            f"seen_{name}": np.array([float(to_host(total)), self._batches]) for name, total in self._totals.items()
        }
        for name, table in self.tables.items():
            state |= {f"seen_{name}": table.array, f"seen_{name}_steps": np.array(table.steps, dtype=int)}
        return state

    def restore(self, named):
        for name, table in self.tables.items():
            rows = named.get(f"seen_{name}", np.empty((0, len(table.columns))))
            if rows.shape[1:] != (len(table.columns),):
                raise ValueError(f"seen_{name} has shape {rows.shape}")
            table.rows, table.steps = rows.tolist(), named.get(f"seen_{name}_steps", np.empty(0, dtype=int)).tolist()
        for name in self._totals:
            total, batches = named.get(f"seen_{name}", (0.0, 0))
            self._totals[name], self._batches = float(total), int(batches)


def chosen(settings):
    """Lists the rows that the MeasurementSettings ask for and that can be measured.

    Raises  UsageError where save_nullspace_norm_ratio cannot be measured
    """
    if settings.rule.reference:
        return []
    logs = "save_logs" in settings.switches
    somewhere = {FRAME: logs or "save_df" in settings.switches, LOG: logs}
    asked = [row for row in MEASUREMENTS if row.flag in settings.switches and somewhere.get(row.kept, True)]
    return [row for row in asked if row.needs(settings)]


def is_due(when, report, settings):
    """Returns whether rows that are measured `when` are measured in the pass of this BatchReport."""
    passed, prelude, epoch = report.place[0], settings.epochs_fb, 2 + settings.extra_fb_epochs
    if when == LAST_PRETRAINING:
        return report.phase == PRETRAINING and passed == prelude - 1
    if when == FEEDBACK and ("freeze_fb_weights" in settings.switches or settings.rule.joint):
        return report.phase == FORWARD
    return report.phase == when and (when != FEEDBACK or (passed - prelude) % epoch == 0)
