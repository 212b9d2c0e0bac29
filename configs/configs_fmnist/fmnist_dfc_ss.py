"""Trains a network on Fashion-MNIST by DFC-SS with learnt feedback weights."""

from configs._shared import DFC_SS, FMNIST
from configs.configs_fmnist import LEARNT

# Here the simulation is stored.
config = FMNIST | LEARNT | DFC_SS | {"dt_di": 0.02, "efficient_controller": False}
