"""Trains a network on Fashion-MNIST by Strong-DFC.

The published test accuracy is 87.26 % ("around", after 40 epochs).

These flags have no effect in this program, as published: apical_time_constant, error_as_loss_grad, noisy_dynamics.
"""

from configs.strong_dfc import SINGLE_PHASE
from dfc.settings.strong_flags import translate

config = translate("dfc_single_phase", SINGLE_PHASE | {
    "lr": "0.0009531990715839369", "adam_beta2": 0.999, "adam_epsilon": "9.710433697812103e-08",
    "dataset": "fashion_mnist", "lr_fb": "2.286529865070366e-08", "weight_decay_fb": 0.0,
    "adam_epsilon_fb": "1.8382415746971348e-11", "tau_noise": 0.05, "init_fb_epochs": 20,
    "lr_fb_init": "3.431924248095537e-07", "time_constant_ratio": 0.012867645074062533, "sigma": 0.0033626248925544607,
    "sigma_output": 0.040920898808660004, "alpha_di": 7.6370562381715e-05, "dt_di_fb": 0.0006919071551575181,
    "time_constant_ratio_fb": 0.0006919071551575181, "sigma_fb": 3.885866343508479e-06,
    "sigma_output_fb": 1.9337256383926155e-05, "alpha_di_fb": 0.6266762258519998, "k_p_fb": 0.02488635344325425,
})  # fmt: skip
