"""Configures pipelines that compare the updates of four rules with those of other rules (figures S5 to S12).

DFC and DFC-SS are simulated with smaller steps than for Table 1 and learn from all samples, so that their angles
are those of the rule and not of its fall-back.
"""

from configs import _shared

ALIGNMENT = {
    "log_interval": 50,
    "save_df": True,
    "save_logs": True,
    "save_BP_angle": True,
    "save_GNT_angle": True,
    "gn_damping": 1.0,
}
_FEEDBACK = {"save_condition_gn": True, "save_jac_t_angle": True, "save_jac_pinv_angle": True, "save_norm_r": True}
_SIMULATED = _FEEDBACK | _shared.ALL_SAMPLES | {"save_NDI_angle": True, "dt_di": 0.005, "tmax_di": 1000}
DFC = _shared.DFC | _SIMULATED
DFC_SS = _shared.DFC_SS | _SIMULATED
# The last two are idle.
DFC_SSA = _shared.DFC_SSA | _FEEDBACK | {"dt_di": 0.001, "simulate_layerwise": False}

RESULT_KEYS = [
    "loss_test", "loss_train", "bp_angles", "gnt_angles", "ndi_angles", "condition_gn_angles",
    "condition_gn_angles_init", "jac_transpose_angles", "jac_transpose_angles_init", "jac_pinv_angles",
    "jac_pinv_angles_init", "converged", "not_converged", "diverged",
]  # fmt: skip
RESULT_KEYS_DFA = ["loss_test", "loss_train", "bp_angles", "gnt_angles"]
STATISTICS_KEYS = [
    "avg_time_per_epoch", "loss_test_val_best", "loss_train_best", "loss_val_best", "loss_test_best",
    "loss_train_last", "loss_val_last", "loss_test_last", "acc_test_val_best", "acc_train_best", "acc_val_best",
    "acc_test_best", "epoch_best_loss",
]  # fmt: skip
