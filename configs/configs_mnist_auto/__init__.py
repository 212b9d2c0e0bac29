"""Configures the column MNIST autoencoder of Table 1: networks 784-256-32-256-784, tuned for the test loss.

One search was made per column: the DFC rules have its result in common. Unlike in the published modules, none
names an out_dir, because three of those shared one folder.
"""

from configs import _shared

LEARNT = _shared.LEARNT | {
    "lr": 0.0001867134052079835,
    "epsilon": 2.7788915666203028e-08,
    "target_stepsize": 0.02027700334158571,
    "alpha_di": 0.036883035536535616,
    "proactive_controller": True,
    "epochs_fb": 15,
    "freeze_fb_weights_output": True,
    "lr_fb": 1.2260433974696165e-05,
    "lr_fb_init": 0.00016397270803247601,
    "epsilon_fb": 5.849519739358543e-07,
    "feedback_wd": 0.1,
    "sigma": 0.0018360352597175634,
    "sigma_output_fb": 0.0,
    "alpha_fb": 0.7332531549909285,
    "k_p_fb": 0.006322358048692642,
    "dt_di_fb": 0.0032644966090448454,
    "tmax_di_fb": 60,
    "time_constant_ratio_fb": 0.006487346213972566,
    "apical_time_constant_fb": 0.2725371146036905,
}
FIXED = _shared.FIXED | {
    "lr": 5.519455735010572e-06,
    "epsilon": 1.0634245994198083e-07,
    "alpha_di": 0.00018844333984677306,
    # idle
    "freeze_fb_weights_output": True,
    "sigma_output_fb": 0.0,
    "extra_fb_epochs": 0,
}
BP = _shared.BP | {"lr": 1.3674117423775684e-06, "epsilon": 9.190510113850847e-07}
DFA = _shared.DFA | {"lr": 3.150803077207525e-07, "epsilon": 5.150023297495683e-08}
