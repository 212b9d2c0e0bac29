"""Trains a network on Fashion-MNIST by DFC-SSA with fixed feedback weights."""

from configs._shared import DFC_SSA, FMNIST
from configs.configs_fmnist import FIXED

config = FMNIST | FIXED | DFC_SSA | {"dt_di": 0.001, "tmax_di": 500}
