"""DFC (weak feedback, two phases): MNIST.  Published test accuracy 97.8 % ("around", after 40 epochs).

Without effect in this program, as published: apical_time_constant.
"""

from configs.strong_dfc import NET
from dfc.settings.strong_flags import translate

config = translate(
    "dfc",
    NET
    | {
        "double_precision": True,
        "batch_size": 32,
        "lr": "0.0010924329072635147",
        "optimizer": "Adam",
        "adam_beta1": 0.9,
        "adam_epsilon": "5.83238643406511e-07",
        "dataset": "mnist",
        "lr_fb": "4.348352883654314e-05",
        "optimizer_fb": "Adam",
        "weight_decay_fb": 0.1,
        "adam_epsilon_fb": "3.355535527361205e-05",
        "target_stepsize": 0.013812748252649061,
        "initialization_fb": "xavier_normal",
        "learning_rule": "nonlinear_difference",
        "init_fb_epochs": 20,
        "lr_fb_init": "0.0001524121535306385",
        "proactive_controller": True,
        "dt_di": 0.02,
        "tmax_di": 500,
        "inst_transmission": True,
        "time_constant_ratio": 0.2,
        "sigma": 0.035483751742735006,
        "alpha_di": 0.0017723664900917734,
        "k_p": 2.0,
        "apical_time_constant": -1.0,
        "dt_di_fb": 0.0011421804343878519,
        "tmax_di_fb": 44,
        "inst_transmission_fb": True,
        "time_constant_ratio_fb": 0.005870467170683501,
        "alpha_di_fb": 0.39857902933813705,
        "k_p_fb": 0.0713515876863314,
        "apical_time_constant_fb": 0.1404664564483908,
    },
)
