"""Trains a network on MNIST by DFC with fixed feedback weights."""

from configs._shared import DFC, MNIST
from configs.configs_mnist import FIXED

config = MNIST | FIXED | DFC | {"dt_di": 0.02, "tmax_di": 500}
