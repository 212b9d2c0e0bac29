"""TensorBoard files for `--save_logs` (dfc.md G.11), in the event file of dfc.measures.events."""

from core.backend import to_host

ANGLE_TAGS = {  # table of dfc.measures.watchers -> tag within "layer i/"
    "bp_angles": "weight_bp_angle",
    "bp_bias_angles": "bias_bp_angle",
    "gn_angles": "weight_gn_angle",
    "gn_bias_angles": "bias_gn_angle",
    "gnt_angles": "weight_gnt_angle",
    "gnt_bias_angles": "bias_gnt_angle",
    "ndi_angles": "weight_ndi_angle",
    "ndi_bias_angles": "bias_ndi_angle",
    "gnt_bp_angles": "weight_gnt_bp_angle",
    "gnt_gn_angles": "weight_gnt_gn_angle",
    "gnt_ss_no_ss_angles": "weight_gnt_ss_no_ss_angle",
    "nullspace_relative_norm_angles": "nullspace_relative_norm",
}
NETWORK_TAGS = {
    "gn_angles_network": "total_alignment/gn_angle",
    "gnt_angles_network": "total_alignment/gnt_angle",
    "ndi_angles_network": "total_alignment/ndi_angle",
    "jac_transpose_angles": "feedback_training/jacobian_transpose_angle",
    "jac_pinv_angles": "feedback_training/jacobian_pinv_angle",
    "condition_gn_angles": "feedback_training/condition_2",
    "jac_transpose_angles_init": "feedback_training/jacobian_transpose_angle_init",
    "jac_pinv_angles_init": "feedback_training/jacobian_pinv_angle_init",
    "condition_gn_angles_init": "feedback_training/condition_2_init",
}
COUNTS = {"converged": "converged_samples", "diverged": "diverged_samples", "not_converged": "not_converged_samples"}


class Log:
    """What a run writes for TensorBoard.

    writer    dfc.measures.events.EventFile
    watchers  dfc.measures.watchers.Watchers; their last rows are written after every logged batch
    steps     dfc.measures.events.Steps
    """

    def __init__(self, writer, watchers, steps):
        self.writer, self.watchers, self.steps = writer, watchers, steps
        self._written, self._epoch = {}, 0

    def write_epoch(self, series):
        """The last row of the series, at step epoch + 1, if it is a new one."""
        step = series["epoch"][-1] if series["epoch"] else 0
        if step <= self._epoch:
            return
        self._epoch = step
        for name, values in series.items():
            if name in COUNTS:
                self._scalar(f"sample_convergence/{COUNTS[name]}", values[-1], step)
            elif name == "dist_to_NDI":
                self._scalar("sample_convergence/rel_dist_to_NDI", values[-1], step)
            elif name.startswith(("loss_lu", "lu_angle", "ratio_ff_fb", "gn_condition")):
                self._scalar(f"surrogate/{name}", values[-1], step)
            elif name.startswith(("loss_", "acc_")):
                self._scalar(f"training_metrics/{_metric(name)}", values[-1], step)
        before = series["seconds"][-2] if len(series["seconds"]) > 1 else 0.0
        self._scalar("training_metrics/epoch_time", series["seconds"][-1] - before, step)
        self.writer.flush()

    def watch_forward(self, learner):
        """A watcher for the learner of the forward weights: norms of weights and gradients, and what was measured."""
        def watch(batch):
            step = self.steps.of(batch.place)
            if step:
                names = [f"forward_{kind}" for kind in (("weights", "bias") if learner.net.biases else ("weights",))]
                for index, (p, gradient) in enumerate(zip(learner.net.parameters, batch.gradients, strict=True)):
                    layer, which = divmod(index, len(names))
                    self._norm(f"layer {layer + 1}/{names[which]}_norm", p, step)
                    self._norm(f"layer {layer + 1}/{names[which]}_gradients_norm", gradient, step)
                self._write_tables()

        return watch

    def watch_feedback(self, learner):
        """A watcher for a learner of the feedback weights."""
        def watch(batch):
            step = self.steps.of(batch.place)
            if step:
                for layer, (q, gradient) in enumerate(zip(learner.net.feedback, batch.gradients, strict=True)):
                    self._norm(f"layer {layer + 1}/feedback_weights_norm", q, step)
                    self._norm(f"layer {layer + 1}/feedback_weights_gradient_norm", gradient, step)
                self._write_tables()

        return watch

    def _write_tables(self):
        """The rows of the watchers' tables that are not written yet."""
        for watcher in self.watchers.all:
            for name, table in watcher.tables.items():
                start = self._written.get(name, 0)
                for step, row in zip(table.steps[start:], table.rows[start:], strict=True):
                    self._write_row(name, table.columns, row, step)
                self._written[name] = len(table.steps)

    def _write_row(self, name, columns, row, step):
        if name in ANGLE_TAGS:
            for layer, value in zip(columns, row, strict=True):
                self._scalar(f"layer {layer + 1}/{ANGLE_TAGS[name]}", value, step)
        elif name in NETWORK_TAGS:
            self._scalar(NETWORK_TAGS[name], row[0], step)
        elif name.endswith("_mean"):
            suffix = "" if name == "max_eig_mean" else "_mean"
            for key, value in zip(columns, row, strict=True):
                tag = "norm_r/dev_r" if name == "dev_r_mean" else f"{name[:-5]}/{key}"
                self._scalar(tag + suffix, value, step)

    def _norm(self, tag, array, step):
        self._scalar(tag, float(to_host((array * array).sum())) ** 0.5, step)

    def _scalar(self, tag, value, step):
        self.writer.add_scalar(tag, value, step)


def _metric(name):
    """The published tag of a column: loss_train -> loss, acc_test -> test_accuracy."""
    quantity, part = name.split("_")
    word = {"loss": "loss", "acc": "accuracy"}[quantity]
    return word if part == "train" else f"{part}_{word}"
