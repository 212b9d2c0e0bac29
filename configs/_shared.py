"""Holds what the published experiments have in common; a module of configs names what it changes, and why.

Dictionaries are merged from left to right: in a | b, b wins. A flag that is not named keeps its default
(dfc/settings/published.py). Many values are results of a random search, which explains their digits. Those marked
idle have no effect there; they are kept so that an experiment resolves to the published flags, value by value
(tests/core/test_configs.py).
"""

ALL = {
    "clip_grad_norm": 1.0,
    # The step lr is per nudge: the target is target_stepsize away from the output.
    "normalize_lr": True,
    # The rule of the paper, which is not the flag's default.
    "fb_learning_rule": "normal_controller",
    "inst_transmission_fb": True,
}

# ---- image experiments

IMAGES = ALL | {"optimizer": "Adam", "optimizer_fb": "Adam", "log_interval": 30, "size_input": 784}
MNIST = IMAGES | {"dataset": "mnist", "output_activation": "softmax", "size_hidden": 256, "size_output": 10}
FMNIST = MNIST | {"dataset": "fashion_mnist"}
AUTOENCODER = IMAGES | {
    "dataset": "mnist_autoencoder",
    "epochs": 25,
    "size_hidden": [256, 32, 256],
    # The code in the middle layer is linear.
    "hidden_activation": ["tanh", "linear", "tanh"],
    "size_output": 784,
}

# DFC on images, by the three rules of the paper.
# The last two are idle.
CONTROLLED = {"inst_transmission": True, "simulate_layerwise": True, "fb_activation": "tanh"}
DFC = CONTROLLED | {"grad_deltav_cont": True, "k_p": 2.0, "time_constant_ratio": 0.2}
DFC_SS = CONTROLLED | {"efficient_controller": True, "k_p": 2.0, "time_constant_ratio": 0.2}
# The last two are idle.
DFC_SSA = CONTROLLED | {"ndi": True, "efficient_controller": True, "time_constant_ratio": 0.005}
ALL_SAMPLES = {"include_non_converged_samples": True}

# Feedback: learnt from a random start, or the product of the forward weights at the start, for good.
LEARNT = {"initialization_K": "xavier_normal", "epochs_fb": 10, "extra_fb_epochs": 2}
_IDLE_FEEDBACK = {
    "feedback_wd": 0.0,
    "k_p_fb": 0.0,
    "lr_fb_init": 0.1,
    "dt_di_fb": 0.001,
    "time_constant_ratio_fb": 0.005,
}
FIXED = _IDLE_FEEDBACK | {
    "freeze_fb_weights": True,
    "initialization_K": "weight_product",
    "target_stepsize": 0.1,
    "proactive_controller": True,
    # The flags from here on are idle, as the feedback weights do not learn.
    "epochs_fb": 0,
    "extra_fb_epochs": 2,
    "sigma": 0.15,
    "alpha_fb": 1.0,
    "apical_time_constant_fb": 0.1,
    "tmax_di_fb": 100,
}

# Backpropagation and DFA use none of the controller's flags, but for the random feedback of DFA.
_IDLE_CONTROLLER = _IDLE_FEEDBACK | {
    "fb_activation": "linear",
    "epochs_fb": 10,
    "sigma": 0.15,
    "apical_time_constant_fb": 0.5,
    "tmax_di_fb": 50,
    "proactive_controller": True,
    "efficient_controller": True,
}
BP = _IDLE_CONTROLLER | {"network_type": "BP", "initialization_K": "xavier_normal"}
DFA = _IDLE_CONTROLLER | {"network_type": "DFA", "initialization_K": "xavier_normal"}

# ---- student-teacher experiments

TOY = ALL | {
    "num_train": 5000,
    "size_hidden": 10,
    "inst_transmission": True,
    "initialization_K": "xavier_normal",
    "lr_fb_init": 0.1,
    "sigma": 0.01,
    "apical_time_constant_fb": 0.3,
    "save_df": True,
    "save_logs": True,
    "save_BP_angle": True,
    "save_GNT_angle": True,
}
