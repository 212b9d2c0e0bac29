"""Trains a network on MNIST by DFC-SSA with fixed feedback weights."""

from configs._shared import DFC_SSA, MNIST
from configs.configs_mnist import FIXED

config = MNIST | FIXED | DFC_SSA | {"dt_di": 0.001, "tmax_di": 500}
