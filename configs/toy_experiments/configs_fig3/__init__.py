"""Configures figures 3 and S1: alignment and stability of a 15-10-10-5 network over 300 epochs.

Its feedback weights are fixed or learnt.
"""

from configs import toy_experiments

TOY = toy_experiments.TOY | {"epochs": 300, "size_output": 5, "k_p": 1.5}
CONTROLLED = TOY | toy_experiments.MEASURED | {"gn_damping": 0.1}

FEEDBACK = {
    "FreezeFB_WeightProduct": {"freeze_fb_weights": True, "initialization_K": "weight_product"},
    "TrainFB_RandomInit_Pretrain": {"freeze_fb_weights": False, "initialization_K": "xavier_normal", "epochs_fb": 50},
}

RESULT_KEYS_DFA = [
    "loss_test", "loss_train", "bp_angles", "gnt_angles", "gn_angles", "gn_angles_network", "gnt_angles_network",
    "nullspace_relative_norm_angles", "log_interval",
]  # fmt: skip
RESULT_KEYS = [
    "loss_test", "loss_train", "bp_angles", "gnt_angles", "gn_angles", "gn_angles_network", "gnt_angles_network",
    "ndi_angles", "ndi_angles_network", "condition_gn_angles", "condition_gn_angles_init", "jac_transpose_angles",
    "jac_transpose_angles_init", "jac_pinv_angles", "jac_pinv_angles_init", "nullspace_relative_norm_angles",
    "max_eig_mean", "max_eig_std", "max_eig_bcn_mean", "max_eig_bcn_std", "max_eig_keys", "norm_r_mean", "norm_r_std",
    "norm_r_keys", "dev_r_mean", "dev_r_std", "log_interval",
]  # fmt: skip
STATISTICS_KEYS = [
    "loss_test_val_best", "loss_test_best", "loss_train_best", "loss_test_last", "loss_train_last", "loss_val_last",
    "loss_val_best",
]  # fmt: skip
