"""Trains a network on the MNIST autoencoder by DFC-SSA with fixed feedback weights."""

from configs._shared import AUTOENCODER, DFC_SSA
from configs.configs_mnist_auto import FIXED

config = AUTOENCODER | FIXED | DFC_SSA | {"dt_di": 0.001}
