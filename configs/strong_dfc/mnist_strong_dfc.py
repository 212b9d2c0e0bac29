"""Trains a network on MNIST by Strong-DFC.

The published test accuracy is 97.72 % ("around", after 40 epochs).

These flags have no effect in this program, as published: apical_time_constant, error_as_loss_grad, noisy_dynamics.
"""

from configs.strong_dfc import SINGLE_PHASE
from dfc.settings.strong_flags import translate

config = translate("dfc_single_phase", SINGLE_PHASE | {
    "lr": "0.0003095880739373081", "adam_beta1": 0.9, "adam_epsilon": "1.6288767089312233e-05", "dataset": "mnist",
    "lr_fb": "2.0091405897656825e-08", "weight_decay_fb": 0.5, "adam_epsilon_fb": "1.1023320392297719e-11",
    "tau_noise": 0.07, "init_fb_epochs": 1, "lr_fb_init": "4.5160347135162454e-07",
    "time_constant_ratio": 0.009268288409004458, "sigma": 0.004278964325349612, "sigma_output": 0.029713880264874388,
    "alpha_di": 7.608673370995652e-06, "dt_di_fb": 0.0012167769308505587,
    "time_constant_ratio_fb": 0.014441072404716454, "sigma_fb": 2.760795719756352e-05,
    "sigma_output_fb": 1.5149030252289032e-05, "alpha_di_fb": 0.016257243484558315, "k_p_fb": 0.0028004742554235116,
})  # fmt: skip
