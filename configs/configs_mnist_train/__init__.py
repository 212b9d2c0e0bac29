"""Configures the column MNIST train of Table 1: networks 784-256-256-256-10, tuned for the training loss.

One search was made per column: the DFC rules have its result in common.
"""

from configs import _shared

LEARNT = _shared.LEARNT | {
    "lr": 9.88774546189883e-05,
    "epsilon": 3.89555509345032e-08,
    "target_stepsize": 0.011058354511931722,
    "alpha_di": 4.3429514175241264e-05,
    "epochs_fb": 20,
    "lr_fb": 4.445847462337203e-05,
    "lr_fb_init": 0.0006709473906496064,
    "epsilon_fb": 2.762631546435506e-07,
    "feedback_wd": 0.001,
    "sigma": 0.05570975783231214,
    "alpha_fb": 0.9203526803210136,
    "k_p_fb": 0.14321143403721703,
    "dt_di_fb": 0.0012744699972870549,
    "tmax_di_fb": 44,
    "time_constant_ratio_fb": 0.01321911426052852,
    "apical_time_constant_fb": 0.14811459525530168,
}
FIXED = _shared.FIXED | {
    "lr": 8.756385365027279e-05,
    "epsilon": 4.517147913426628e-08,
    "alpha_di": 0.0003335356558452598,
}
BP = _shared.BP | {"lr": 1.0185913134203108e-07, "epsilon": 1.406584294335969e-07}
DFA = _shared.DFA | {"lr": 2.6548173042920796e-05, "epsilon": 6.313719401969023e-08}
