"""Trains a network on Fashion-MNIST by DFC-SSA with learnt feedback weights."""

from configs._shared import DFC_SSA, FMNIST
from configs.configs_fmnist import LEARNT

config = FMNIST | LEARNT | DFC_SSA | {"dt_di": 0.001}
