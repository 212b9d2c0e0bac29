"""Trains a network on the MNIST autoencoder by backpropagation."""

from configs._shared import AUTOENCODER
from configs.configs_mnist_auto import BP

config = AUTOENCODER | BP
