"""Trains a network on Fashion-MNIST by DFC-SS with fixed feedback weights."""

from configs._shared import ALL_SAMPLES, DFC_SS, FMNIST
from configs.configs_fmnist import FIXED

config = FMNIST | FIXED | DFC_SS | ALL_SAMPLES | {"dt_di": 0.0005, "tmax_di": 3000}
