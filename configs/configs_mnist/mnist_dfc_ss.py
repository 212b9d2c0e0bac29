"""Trains a network on MNIST by DFC-SS with learnt feedback weights."""

from configs._shared import DFC_SS, MNIST
from configs.configs_mnist import LEARNT

config = MNIST | LEARNT | DFC_SS | {"dt_di": 0.02, "tmax_di": 1000}
