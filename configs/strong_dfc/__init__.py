"""Holds the eight published command lines of Strong-DFC, under module names of this suite.

Flags have their published names; `translate` turns them into those of main.py. Common parts are defined here.
"""

# Flags of all eight commands.
NET = {
    "epochs": 40, "clip_grad_norm": 1.0, "optimizer": "Adam", "size_hidden": "256,256,256",
    "hidden_activation": "tanh", "initialization": "xavier_normal",
}  # fmt: skip
# Flags of the commands with a controller.
CONTROL = NET | {
    "double_precision": True, "optimizer_fb": "Adam", "initialization_fb": "xavier_normal",
    "learning_rule": "nonlinear_difference", "proactive_controller": True, "tmax_di": 500, "inst_transmission": True,
    "k_p": 2.0, "apical_time_constant": -1.0, "inst_transmission_fb": True,
}  # fmt: skip
# Strong-DFC.
SINGLE_PHASE = CONTROL | {
    "target_class_value": 0.99, "adam_beta2_fb": 0.999, "strong_feedback": True, "error_as_loss_grad": True,
    "scaling_fb_updates": True, "tau_f": 0.5, "dt_di": 0.001, "tmax_di_fb": 500, "save_df": True,
    "save_condition_fb": True, "noisy_dynamics": True,
}  # fmt: skip
# Strong-DFC (2-phase).
TWO_PHASES = CONTROL | {
    "adam_beta1": 0.9, "ss": True, "tau_noise": 0.05, "target_stepsize": 0.5, "error_as_loss_grad": True,
    "init_fb_epochs": 1, "tau_f": 0.5, "dt_di": 0.001, "sigma": 0.15, "tmax_di_fb": 500, "strong_feedback": True,
}  # fmt: skip
