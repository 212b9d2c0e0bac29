"""Trains a network on the MNIST autoencoder by DFC with learnt feedback weights."""

from configs._shared import AUTOENCODER, DFC
from configs.configs_mnist_auto import LEARNT

config = AUTOENCODER | LEARNT | DFC | {"dt_di": 0.02, "tmax_di": 1000}
