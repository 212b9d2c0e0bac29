"""Trains a network on MNIST by BP.

The published test accuracy is 98.17 % ("around", after 40 epochs).
"""

from configs.strong_dfc import NET
from dfc.settings.strong_flags import translate

config = translate("bp", NET | {
    "lr": "0.002", "adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": "0.002", "dataset": "mnist",
})  # fmt: skip
