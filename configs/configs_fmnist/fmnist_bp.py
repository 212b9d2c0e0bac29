"""Trains a network on Fashion-MNIST by backpropagation."""

from configs._shared import FMNIST
from configs.configs_fmnist import BP

config = FMNIST | BP
