"""Trains a network on Fashion-MNIST by BP.

The published test accuracy is 89.4 % ("around", after 40 epochs).
"""

from configs.strong_dfc import NET
from dfc.settings.strong_flags import translate

config = translate("bp", NET | {
    "lr": "0.0004", "adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": "0.0002", "dataset": "fashion_mnist",
})  # fmt: skip
