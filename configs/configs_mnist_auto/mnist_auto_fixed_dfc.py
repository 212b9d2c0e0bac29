"""Trains a network on the MNIST autoencoder by DFC with fixed feedback weights."""

from configs._shared import ALL_SAMPLES, AUTOENCODER, DFC
from configs.configs_mnist_auto import FIXED

config = AUTOENCODER | FIXED | DFC | ALL_SAMPLES | {"dt_di": 0.0005, "tmax_di": 2000}
