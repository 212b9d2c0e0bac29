"""Trains a network on Fashion-MNIST by DFC (weak feedback, two phases).

The published test accuracy is 88.7 % ("around", after 40 epochs).

These flags have no effect in this program, as published: apical_time_constant.
"""

from configs.strong_dfc import CONTROL
from dfc.settings.strong_flags import translate

config = translate("dfc", CONTROL | {
    "lr": "0.0010672718162774038", "adam_beta2": 0.999, "adam_epsilon": "3.210886729268312e-07",
    "dataset": "fashion_mnist", "target_class_value": 0.999, "lr_fb": "4.3780877225194805e-05",
    "weight_decay_fb": 0.001, "adam_epsilon_fb": "1.0433715362737473e-08", "target_stepsize": 0.019957011262493028,
    "init_fb_epochs": 20, "lr_fb_init": "0.00034156927968192547", "dt_di": 0.02, "sigma": 0.001,
    "alpha_di": 0.000451125353657906, "dt_di_fb": 0.004294669581123954, "tmax_di_fb": 54,
    "time_constant_ratio_fb": 0.009266592158186437, "sigma_fb": 0.001281308789330547, "alpha_di_fb": 0.611510021981854,
    "k_p_fb": 0.010409666247193437, "apical_time_constant_fb": 0.4318893018524684,
})  # fmt: skip
