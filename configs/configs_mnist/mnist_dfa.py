"""Trains a network on MNIST by direct feedback alignment."""

from configs._shared import MNIST
from configs.configs_mnist import DFA

config = MNIST | DFA
