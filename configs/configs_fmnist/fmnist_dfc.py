"""Trains a network on Fashion-MNIST by DFC with learnt feedback weights."""

from configs._shared import DFC, FMNIST
from configs.configs_fmnist import LEARNT

config = FMNIST | LEARNT | DFC | {"dt_di": 0.02}
