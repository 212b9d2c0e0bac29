"""Trains a network on MNIST by DFC with learnt feedback weights."""

from configs._shared import DFC, MNIST
from configs.configs_mnist import LEARNT

config = MNIST | LEARNT | DFC | {"dt_di": 0.02, "tmax_di": 1000}
