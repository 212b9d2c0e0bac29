"""Trains a network on the MNIST autoencoder by direct feedback alignment."""

from configs._shared import AUTOENCODER
from configs.configs_mnist_auto import DFA

config = AUTOENCODER | DFA
