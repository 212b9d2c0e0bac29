"""Trains a network on the MNIST autoencoder by DFC-SS with fixed feedback weights."""

from configs._shared import AUTOENCODER, DFC_SS
from configs.configs_mnist_auto import FIXED

config = AUTOENCODER | FIXED | DFC_SS | {"dt_di": 0.001, "tmax_di": 1000}
