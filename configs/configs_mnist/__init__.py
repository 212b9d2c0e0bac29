"""Configures the column MNIST of Table 1: networks 784-256-256-256-10, tuned for the test accuracy.

One search was made per column: the DFC rules have its result in common.
"""

from configs import _shared

LEARNT = _shared.LEARNT | {
    "lr": 9.265965477237583e-05,
    "epsilon": 9.446010081075931e-08,
    "target_stepsize": 0.07794471150634391,
    "alpha_di": 0.0013890445062125412,
    "proactive_controller": True,
    "lr_fb": 0.0005265408146208675,
    "lr_fb_init": 0.0003170276937521561,
    "epsilon_fb": 1.5611352228965008e-06,
    "feedback_wd": 0.001,
    "sigma": 0.001524181852173024,
    "alpha_fb": 0.6133635688698066,
    "k_p_fb": 0.1565387776131571,
    "dt_di_fb": 0.0020299480251123815,
    "tmax_di_fb": 48,
    "time_constant_ratio_fb": 0.00630250312119787,
    "apical_time_constant_fb": 0.32469417320648936,
}
FIXED = _shared.FIXED | {
    "lr": 6.043454783083358e-05,
    "epsilon": 1.3326841152257578e-08,
    "alpha_di": 0.00024658638831547176,
}
BP = _shared.BP | {"lr": 2.97764587844326e-07, "epsilon": 5.770311627459478e-08}
DFA = _shared.DFA | {"lr": 2.6298517958226435e-07, "epsilon": 2.483437226361463e-08}
