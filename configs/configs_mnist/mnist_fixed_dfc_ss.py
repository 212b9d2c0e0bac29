"""Trains a network on MNIST by DFC-SS with fixed feedback weights."""

from configs._shared import DFC_SS, MNIST
from configs.configs_mnist import FIXED

config = MNIST | FIXED | DFC_SS | {"dt_di": 0.02, "tmax_di": 500}
