"""Trains a network on MNIST by Strong-DFC (2-phase).

The published test accuracy is 97.75 % ("around", after 40 epochs).

These flags have no effect in this program, as published: target_stepsize, error_as_loss_grad, tau_noise, tau_f,
apical_time_constant.
"""

from configs.strong_dfc import TWO_PHASES
from dfc.settings.strong_flags import translate

config = translate("dfc", TWO_PHASES | {
    "lr": "0.0006560184719951886", "adam_epsilon": "0.00023225688276019436", "dataset": "mnist",
    "target_class_value": 0.9, "lr_fb": "9.776610079269425e-06", "weight_decay_fb": 1e-05, "adam_beta1_fb": 0.999,
    "adam_beta2_fb": 0.9, "adam_epsilon_fb": "0.0019707791920650247", "lr_fb_init": "0.0002730319014715041",
    "time_constant_ratio": 0.03553062335953924, "alpha_di": 0.008082122141749502, "dt_di_fb": 0.0031943783402810927,
    "time_constant_ratio_fb": 0.0072383695016716215, "alpha_di_fb": 0.9944618528446518, "k_p_fb": 0.0691564739128701,
    "apical_time_constant_fb": 0.12961120842685991,
})  # fmt: skip
