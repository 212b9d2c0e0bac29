"""Configures the student-teacher experiments of figures 1D and 3.

A small tanh network learns from a wide ReLU one.
"""

from configs import _shared

TOY = _shared.TOY | {
    # A plateau must not end the curves.
    "evaluate": True,
    "size_input": 15,
    "num_hidden": 2,
    "lr": 0.05,
    "target_stepsize": 0.05,
    "alpha_di": 0.0015,
    "dt_di": 0.005,
    "time_constant_ratio": 0.2,
    "include_non_converged_samples": True,
    "lr_fb": 0.002,
    "feedback_wd": 0.025,
    "extra_fb_epochs": 2,
    "alpha_fb": 0.25,
    "k_p_fb": 0.1,
    "dt_di_fb": 0.002,
    "tmax_di_fb": 50,
    "time_constant_ratio_fb": 0.01,
    # Idle.
    "fb_activation": "linear",
    # Idle.
    "make_dynamics_plot_interval": 10,
    "log_interval": 100,
    "save_GN_angle": True,
    "save_nullspace_norm_ratio": True,
}
# Measurements that only a controlled network has.
MEASURED = {
    "compare_with_ndi": True,
    "save_NDI_angle": True,
    "save_condition_gn": True,
    "save_jac_t_angle": True,
    "save_jac_pinv_angle": True,
    "save_eigenvalues_bcn": True,
    "save_norm_r": True,
}
