"""Trains a network on Fashion-MNIST by DFC-SS with learnt feedback weights."""

from configs._shared import DFC_SS, FMNIST
from configs.configs_fmnist import LEARNT

# This simulation is the stored variant.
config = FMNIST | LEARNT | DFC_SS | {"dt_di": 0.02, "efficient_controller": False}
