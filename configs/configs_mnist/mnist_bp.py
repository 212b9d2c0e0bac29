"""Trains a network on MNIST by backpropagation."""

from configs._shared import MNIST
from configs.configs_mnist import BP

config = MNIST | BP
