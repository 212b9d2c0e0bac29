"""Writes TensorBoard files for --save_logs (docs/published/dfc.md G.11), by dfc.measures.events."""

from core.backend import to_host
from core.roles import Watcher
from dfc.measures.events import EventFile, Steps
from dfc.measures.table import FORWARD

COUNTS = {"converged": "converged_samples", "diverged": "diverged_samples", "not_converged": "not_converged_samples"}


class Log(Watcher):
    """Writes norms of weights and gradients, measurements and the series for TensorBoard.

    folder        where the files go
    system        dfc.build.System
    measurements  dfc.measures.watchers.Measurements, which must see a batch first: its new rows are written with it
    batches       number of batches in a pass
    every         --log_interval
    """

    def __init__(self, folder, system, measurements, batches, every):
        self.writer, self.net, self.measurements = EventFile(folder), system.learner.net, measurements
        self.steps = Steps(lambda passed: system.plan.learner(passed) is system.learner, batches, every)
        self._columns = {row.key: row.tag for row in measurements.averaged if row.tag}
        self._written, self._epoch = {}, 0

    def wants(self, place):
        return bool(self.steps.of(place))

    def batch(self, report):
        step = self.steps.of(report.place)
        if not step:
            return
        if report.phase == FORWARD:
            kinds = ("weights", "bias") if self.net.biases else ("weights",)
            names = [f"layer {l + 1}/forward_{kind}" for l in range(len(self.net.weights)) for kind in kinds]
            self._norms(names, self.net.parameters, report.gradients, "_gradients_norm", step)
        else:
            names = [f"layer {l + 1}/feedback_weights" for l in range(len(self.net.feedback))]
            self._norms(names, self.net.feedback, report.gradients, "_gradient_norm", step)
        self._write_tables()

    def _norms(self, names, parameters, gradients, ending, step):
        for name, p, gradient in zip(names, parameters, gradients, strict=True):
            self._norm(f"{name}_norm", p, step)
            self._norm(name + ending, gradient, step)

    def written(self, series):
        """Writes the last row of the series, at step epoch + 1, if it is new."""
        step = series["epoch"][-1] if series["epoch"] else 0
        if step <= self._epoch:
            return
        self._epoch = step
        for name, values in series.items():
            if name in COUNTS:
                self._scalar(f"sample_convergence/{COUNTS[name]}", values[-1], step)
            elif name in self._columns:
                self._scalar(self._columns[name], values[-1], step)
            elif name.startswith(("loss_lu", "lu_angle", "ratio_ff_fb", "gn_condition")):
                self._scalar(f"surrogate/{name}", values[-1], step)
            elif name.startswith(("loss_", "acc_")):
                self._scalar(f"training_metrics/{_metric(name)}", values[-1], step)
        before = series["seconds"][-2] if len(series["seconds"]) > 1 else 0.0
        self._scalar("training_metrics/epoch_time", series["seconds"][-1] - before, step)
        self.writer.flush()

    def flush(self):
        self.writer.flush()

    def close(self):
        self.writer.close()

    def _write_tables(self):
        """Writes the rows of the measurements that are not yet written."""
        for row in self.measurements.rows:
            table = self.measurements.tables[row.key]
            start = self._written.get(row.key, 0)
            for step, numbers in zip(table.steps[start:], table.rows[start:], strict=True):
                for column, number in zip(table.columns, numbers, strict=True):
                    if row.tag:
                        self._scalar(row.tag.format(column + 1 if isinstance(column, int) else column), number, step)
            self._written[row.key] = len(table.steps)

    def _norm(self, tag, array, step):
        self._scalar(tag, float(to_host((array * array).sum())) ** 0.5, step)

    def _scalar(self, tag, value, step):
        self.writer.add_scalar(tag, value, step)


def _metric(name):
    """Returns the published tag of a column: loss_train -> loss, acc_test -> test_accuracy."""
    quantity, part = name.split("_")
    word = {"loss": "loss", "acc": "accuracy"}[quantity]
    return word if part == "train" else f"{part}_{word}"
