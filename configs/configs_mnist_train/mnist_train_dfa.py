"""Trains a network on MNIST by direct feedback alignment, tuned for the training loss."""

from configs._shared import MNIST
from configs.configs_mnist_train import DFA

config = MNIST | DFA
