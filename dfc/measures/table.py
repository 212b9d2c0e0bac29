"""Lists everything that main.py can measure while it trains, with one row per measurement.

The measurements are those of docs/published/dfc.md G.5 to G.9 and B.9. A new one is a row here, a function of an
Observation (dfc.measures.observation) and a flag (dfc/settings/flags.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

from core.options import UsageError
from dfc.measures.observation import (
    bias_angles,
    distance,
    fit,
    means,
    network_angle,
    nullspace_shares,
    spreads,
    weight_angles,
)
from dfc.measures.stability import MATRICES, norm_names

# When a row is measured: in every --log_interval-th batch of these passes.
# Passes that train W.
FORWARD = "forward"
# The first pass of each epoch that trains Q; or the passes that train W, if Q is frozen or learns there.
FEEDBACK = "feedback"
# Passes before the first epoch.
PRETRAINING = "pretraining"
# The last pass before the first epoch.
LAST_PRETRAINING = "last pretraining"

# Where its numbers go.
# With --save_df a table in the summary and in <key>.csv; with --save_logs TensorBoard.
FRAME = "frame"
# TensorBoard alone, measured only with --save_logs.
LOG = "log"
# A flat array in the summary, whose entry `listed` contains the columns; TensorBoard.
VECTOR = "vector"
# One number in the summary, the mean over the measured batches.
MEAN = "mean"
# A column of metrics.csv: the mean over all batches of an epoch, for any --log_interval.
COLUMN = "column"

# The most entries, 2 GiB, of a matrix for save_nullspace_norm_ratio.
LARGEST_MATRIX = 1 << 28

# Its columns, where they are not names of its own.
# One number for the whole network.
WHOLE = (0,)


def per_layer(layers):
    """Returns the columns of a measurement with one number per layer, counted from 0."""
    return tuple(range(layers))


def always(settings):
    """Returns True: every rule allows the measurement, except for backpropagation, which is never measured."""
    return True


def with_biases(settings):
    """Returns whether the network has biases."""
    return "no_bias" not in settings.switches


def controlled(settings):
    """Returns whether the rule controls the network through Q."""
    return settings.rule.controlled


def controlled_with_biases(settings):
    """Returns whether the rule controls the network through Q, and the network has biases."""
    return controlled(settings) and with_biases(settings)


def feeds_back(settings):
    """Returns whether every layer has feedback weights Q."""
    return settings.rule.feedback == "all"


def learned_feedback(settings):
    """Returns whether every layer has feedback weights Q that are not frozen."""
    return feeds_back(settings) and "freeze_fb_weights" not in settings.switches


def simulated(settings):
    """Returns whether the rule simulates the controlled network."""
    return controlled(settings) and settings.rule.simulates


def nullspace_fits(settings):
    """Returns True; raises UsageError if a matrix of save_nullspace_norm_ratio would be too large."""
    rows = settings.batch_size * settings.sizes[-1]
    columns = max(n * m for n, m in zip(settings.sizes[1:], settings.sizes[:-1], strict=True))
    if rows * min(rows, columns) > LARGEST_MATRIX:
        raise UsageError(
            "--save_nullspace_norm_ratio: needs "
            "batch_size * size_output * min(batch_size * size_output, largest layer) "
            f"<= {LARGEST_MATRIX}, the entries of its matrix; here it is {rows * min(rows, columns)}"
        )
    return True


@dataclass(frozen=True)
class Measurement:
    """Describes one measurement, a row of the table.

    flag      the option of main.py that asks for it
    key       its name in the summary and in file names, which contains _angles for a FRAME; checkpoints keep it as
              seen_<key>
    columns   names of its numbers, or a function of the number of layers that returns them
    measure   function of an Observation -> its numbers, one per column: 0-d arrays or floats
    when      FORWARD, FEEDBACK, PRETRAINING or LAST_PRETRAINING
    kept      FRAME, LOG, VECTOR, MEAN or COLUMN
    tag       its TensorBoard tag; {} stands for the column, with layers counted from 1; "": not logged
    label     the label of its axis in figures; "": the key
    needs     function of the MeasurementSettings -> whether it can be measured
    listed    VECTOR: the summary entry that lists the columns; "": there is one column
    """

    flag: str
    key: str
    columns: tuple | Callable
    measure: Callable
    when: str
    kept: str
    tag: str = ""
    label: str = ""
    needs: Callable = always
    listed: str = ""


def _angle_label(update, reference):
    return rf"${update} \; \angle \; {update}^\mathrm{{{reference}}}$ [deg]"


W, ALL = r"\Delta W_i", r"\Delta \theta"
CONDITION = r"$\|P_{J^T}\,%s\|_F \,/\, \|%s\|_F$"
TRANSPOSE = r"$%s \; \angle \; J^T$ [deg]"
INVERSE = r"$%s \; \angle \; J^T (J J^T + \gamma I)^{-1}$ [deg]"
Q, INITIAL_Q = r"\bar{Q}", r"\bar{Q}_\mathrm{init}"
EIGENVALUE = r"$\lambda_\mathrm{max}$"
NORM = r"$(\|r_i\|_2 - \overline{\|r\|}) \,/\, \overline{\|r\|}$"


M = Measurement
MEASUREMENTS = (
    M("save_BP_angle", "bp_angles", per_layer, weight_angles("own", "bp"), FORWARD, FRAME,
      "layer {}/weight_bp_angle", _angle_label(W, "BP")),
    M("save_BP_angle", "bp_bias_angles", per_layer, bias_angles("own", "bp"), FORWARD, LOG,
      "layer {}/bias_bp_angle", needs=with_biases),
    M("save_GN_angle", "gn_angles", per_layer, weight_angles("own", "gn"), FORWARD, FRAME,
      "layer {}/weight_gn_angle", _angle_label(W, "GN")),
    M("save_GN_angle", "gn_angles_network", WHOLE, network_angle("own", "gn"), FORWARD, FRAME,
      "total_alignment/gn_angle", _angle_label(ALL, "GN")),
    M("save_GN_angle", "gn_bias_angles", per_layer, bias_angles("own", "gn"), FORWARD, LOG,
      "layer {}/bias_gn_angle", needs=with_biases),
    M("save_GNT_angle", "gnt_angles", per_layer, weight_angles("own", "gnt"), FORWARD, FRAME,
      "layer {}/weight_gnt_angle", _angle_label(W, "MN")),
    M("save_GNT_angle", "gnt_angles_network", WHOLE, network_angle("own", "gnt"), FORWARD, FRAME,
      "total_alignment/gnt_angle", _angle_label(ALL, "MN")),
    M("save_GNT_angle", "gnt_bias_angles", per_layer, bias_angles("own", "gnt"), FORWARD, LOG,
      "layer {}/bias_gnt_angle", needs=with_biases),
    M("save_NDI_angle", "ndi_angles", per_layer, weight_angles("own", "ndi"), FORWARD, FRAME,
      "layer {}/weight_ndi_angle", _angle_label(W, "SSA"), controlled),
    M("save_NDI_angle", "ndi_angles_network", WHOLE, network_angle("own", "ndi"), FORWARD, FRAME,
      "total_alignment/ndi_angle", _angle_label(ALL, "SSA"), controlled),
    M("save_NDI_angle", "ndi_bias_angles", per_layer, bias_angles("own", "ndi"), FORWARD, LOG,
      "layer {}/bias_ndi_angle", needs=controlled_with_biases),
    M("save_BP_GNT_angle", "gnt_bp_angles", per_layer, weight_angles("gnt", "bp"), FORWARD, LOG,
      "layer {}/weight_gnt_bp_angle"),
    M("save_GN_GNT_angle", "gnt_gn_angles", per_layer, weight_angles("gnt", "gn"), FORWARD, LOG,
      "layer {}/weight_gnt_gn_angle"),
    M("save_GNT_ss_no_ss_angle", "gnt_ss_no_ss_angles", per_layer, weight_angles("gnt_at_rest", "gnt_feedforward"),
      FORWARD, LOG, "layer {}/weight_gnt_ss_no_ss_angle", needs=controlled),
    M("save_nullspace_norm_ratio", "nullspace_relative_norm_angles", per_layer, nullspace_shares, FORWARD, FRAME,
      "layer {}/nullspace_relative_norm", r"$\|\Delta W^\mathrm{null}\| \,/\, \|\Delta W\|$", nullspace_fits),

    M("save_condition_gn", "condition_gn_angles_init", WHOLE, fit("condition_gn"), PRETRAINING, FRAME,
      "feedback_training/condition_2_init", CONDITION % (INITIAL_Q, INITIAL_Q), learned_feedback),
    M("save_jac_t_angle", "jac_transpose_angles_init", WHOLE, fit("jac_transpose"), PRETRAINING, FRAME,
      "feedback_training/jacobian_transpose_angle_init", TRANSPOSE % INITIAL_Q, learned_feedback),
    M("save_jac_pinv_angle", "jac_pinv_angles_init", WHOLE, fit("jac_pinv"), PRETRAINING, FRAME,
      "feedback_training/jacobian_pinv_angle_init", INVERSE % INITIAL_Q, learned_feedback),
    M("save_condition_gn", "condition_gn_angles", WHOLE, fit("condition_gn"), FEEDBACK, FRAME,
      "feedback_training/condition_2", CONDITION % (Q, Q), feeds_back),
    M("save_jac_t_angle", "jac_transpose_angles", WHOLE, fit("jac_transpose"), FEEDBACK, FRAME,
      "feedback_training/jacobian_transpose_angle", TRANSPOSE % Q, feeds_back),
    M("save_jac_pinv_angle", "jac_pinv_angles", WHOLE, fit("jac_pinv"), FEEDBACK, FRAME,
      "feedback_training/jacobian_pinv_angle", INVERSE % Q, feeds_back),
    M("compute_gn_condition_init", "gn_condition_init", WHOLE, fit("condition_gn"), LAST_PRETRAINING, MEAN,
      needs=learned_feedback),

    M("save_eigenvalues", "max_eig_mean", MATRICES, means("eigenvalues"), FORWARD, VECTOR,
      "max_eig/{}", EIGENVALUE, controlled, "max_eig_keys"),
    M("save_eigenvalues", "max_eig_std", MATRICES, spreads("eigenvalues"), FORWARD, VECTOR,
      needs=controlled, listed="max_eig_keys"),
    M("save_eigenvalues_bcn", "max_eig_bcn_mean", MATRICES, means("eigenvalues_before_correction"), FORWARD, VECTOR,
      "max_eig_bcn/{}_mean", EIGENVALUE, controlled, "max_eig_keys"),
    M("save_eigenvalues_bcn", "max_eig_bcn_std", MATRICES, spreads("eigenvalues_before_correction"), FORWARD, VECTOR,
      needs=controlled, listed="max_eig_keys"),
    M("save_norm_r", "norm_r_mean", norm_names, means("norms"), FORWARD, VECTOR,
      "norm_r/{}_mean", NORM, controlled, "norm_r_keys"),
    M("save_norm_r", "norm_r_std", norm_names, spreads("norms"), FORWARD, VECTOR,
      needs=controlled, listed="norm_r_keys"),
    M("save_norm_r", "dev_r_mean", ("dev_r",), means("deviations"), FORWARD, VECTOR,
      "norm_r/dev_r_mean", "condition 1", controlled),
    M("save_norm_r", "dev_r_std", ("dev_r",), spreads("deviations"), FORWARD, VECTOR, needs=controlled),
    M("compare_with_ndi", "dist_to_NDI", WHOLE, distance, FORWARD, COLUMN,
      "sample_convergence/rel_dist_to_NDI", needs=simulated),
)  # fmt: skip
