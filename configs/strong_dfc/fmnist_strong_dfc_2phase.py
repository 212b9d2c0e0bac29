"""Trains a network on Fashion-MNIST by Strong-DFC (2-phase).

The published test accuracy is 87.22 % ("around", after 40 epochs).

These flags have no effect in this program, as published: target_stepsize, error_as_loss_grad, tau_noise, tau_f,
apical_time_constant.
"""

from configs.strong_dfc import TWO_PHASES
from dfc.settings.strong_flags import translate

config = translate("dfc", TWO_PHASES | {
    "lr": "0.0011969828175078612", "adam_beta2": 0.9, "adam_epsilon": "2.9646405819945323e-07",
    "dataset": "fashion_mnist", "target_class_value": 0.999, "lr_fb": "1.587623302238223e-05", "weight_decay_fb": 0.1,
    "adam_beta2_fb": 0.999, "adam_epsilon_fb": "8.46521372179368e-08", "lr_fb_init": "0.00042756758315276166",
    "extra_fb_epochs": 2, "time_constant_ratio": 0.007427384207234133, "alpha_di": 0.0013123372965380246,
    "dt_di_fb": 0.0019841648377832226, "time_constant_ratio_fb": 0.009034403214049455,
    "alpha_di_fb": 0.41918471180494776, "k_p_fb": 0.09906907227394046, "apical_time_constant_fb": 0.22603240790914256,
})  # fmt: skip
