"""Configures figures S2 to S4: where the feedback weights of a 20-10-5 network converge in 25 passes."""

from configs import _shared

LEARN_FEEDBACK = _shared.TOY | {
    "epochs": 1,
    "epochs_fb": 25,
    "size_input": 20,
    "num_hidden": 1,
    "size_output": 5,
    "learning_rule": "voltage_difference",
    "dt_di": 0.001,
    # The epoch itself is not used.
    "tmax_di": 3,
    "tmax_di_fb": 300,
    "time_constant_ratio": 0.005,
    "time_constant_ratio_fb": 0.005,
    "apical_time_constant": 0.5,
    # Idle.
    "fb_activation": "tanh",
    "no_cuda": True,
    "log_interval": 5,
    "save_condition_gn": True,
    "save_jac_t_angle": True,
    "save_jac_pinv_angle": True,
    "save_eigenvalues_bcn": True,
    # Idle.
    "save_fb_statistics_init": True,
}

# Each figure varies one flag; the name of an entry is the label in the legend.
DAMPINGS = {rf"$\gamma={gamma:g}$": {"gn_damping": gamma} for gamma in (0.0, 0.1, 1.0, 5.0, 10.0, 100.0, 1000.0)}
LEAKS = {rf"$\alpha={alpha:g}$": {"alpha_fb": alpha} for alpha in (0.0, 0.001, 0.01, 0.1, 0.5, 1.0)}
GAINS = {f"$k_p={label}$": {"k_p_fb": float(label)} for label in ("0", "0.01", "0.1", "0.5", "1.")}

RESULT_KEYS = [
    "loss_test", "loss_train", "bp_angles", "gnt_angles", "gn_angles", "condition_gn_angles",
    "condition_gn_angles_init", "jac_transpose_angles", "jac_transpose_angles_init", "jac_pinv_angles",
    "jac_pinv_angles_init", "nullspace_relative_norm_angles", "converged", "not_converged", "diverged",
    "max_eig_mean", "max_eig_std", "max_eig_bcn_mean", "max_eig_bcn_std", "max_eig_keys",
]  # fmt: skip
STATISTICS_KEYS = [
    "avg_time_per_epoch", "loss_test_val_best", "loss_test_best", "loss_train_best", "loss_test_last",
    "loss_train_last", "epoch_best_loss",
]  # fmt: skip
