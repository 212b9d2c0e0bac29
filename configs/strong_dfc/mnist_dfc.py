"""Trains a network on MNIST by DFC (weak feedback, two phases).

The published test accuracy is 97.8 % ("around", after 40 epochs).

These flags have no effect in this program, as published: apical_time_constant.
"""

from configs.strong_dfc import CONTROL
from dfc.settings.strong_flags import translate

config = translate("dfc", CONTROL | {
    "batch_size": 32, "lr": "0.0010924329072635147", "adam_beta1": 0.9, "adam_epsilon": "5.83238643406511e-07",
    "dataset": "mnist", "lr_fb": "4.348352883654314e-05", "weight_decay_fb": 0.1,
    "adam_epsilon_fb": "3.355535527361205e-05", "target_stepsize": 0.013812748252649061, "init_fb_epochs": 20,
    "lr_fb_init": "0.0001524121535306385", "dt_di": 0.02, "time_constant_ratio": 0.2, "sigma": 0.035483751742735006,
    "alpha_di": 0.0017723664900917734, "dt_di_fb": 0.0011421804343878519, "tmax_di_fb": 44,
    "time_constant_ratio_fb": 0.005870467170683501, "alpha_di_fb": 0.39857902933813705, "k_p_fb": 0.0713515876863314,
    "apical_time_constant_fb": 0.1404664564483908,
})  # fmt: skip
