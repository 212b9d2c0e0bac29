"""Trains a network on MNIST by DFC-SSA with fixed feedback weights, tuned for the training loss.

The published module misspelt `config` and could not be run.
"""

from configs._shared import DFC_SSA, MNIST
from configs.configs_mnist_train import FIXED

config = MNIST | FIXED | DFC_SSA | {"dt_di": 0.0005, "tmax_di": 2000}
