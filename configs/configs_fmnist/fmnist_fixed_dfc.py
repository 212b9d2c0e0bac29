"""Trains a network on Fashion-MNIST by DFC with fixed feedback weights."""

from configs._shared import ALL_SAMPLES, DFC, FMNIST
from configs.configs_fmnist import FIXED

# The last one is idle.
config = FMNIST | FIXED | DFC | ALL_SAMPLES | {"dt_di": 0.001, "tmax_di": 1500, "dt_di_fb": 0.01}
