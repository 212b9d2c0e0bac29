"""Configures the column Fashion-MNIST of Table 1: networks 784-256-256-256-10.

One search was made per column: the DFC rules have its result in common.
"""

from configs import _shared

LEARNT = _shared.LEARNT | {
    "lr": 4.406433064602529e-05,
    "epsilon": 3.661367432183572e-08,
    "target_stepsize": 0.056066652694809475,
    "alpha_di": 0.00020607985040655872,
    "freeze_fb_weights_output": True,
    "lr_fb": 0.00023725294281298016,
    "lr_fb_init": 0.00045372617633919964,
    "epsilon_fb": 3.561070445920531e-08,
    "feedback_wd": 0.1,
    "sigma": 0.002451309464861252,
    "alpha_fb": 0.23370420882566645,
    "k_p_fb": 0.006426940850583915,
    "dt_di_fb": 0.003097349374603956,
    "tmax_di_fb": 34,
    "time_constant_ratio_fb": 0.00547324603685296,
    "apical_time_constant_fb": 0.13465111151646356,
}
FIXED = _shared.FIXED | {"lr": 5.423883572845198e-05, "epsilon": 1.4648080760625163e-10, "alpha_di": 0.7985041176538932}
BP = _shared.BP | {"lr": 5.442490245182536e-07, "epsilon": 2.7090253686612157e-08}
DFA = _shared.DFA | {"lr": 7.67552163131779e-06, "epsilon": 3.251744567222374e-07}
