"""Trains a network on the MNIST autoencoder by DFC-SS with learnt feedback weights."""

from configs._shared import AUTOENCODER, DFC_SS
from configs.configs_mnist_auto import LEARNT

config = AUTOENCODER | LEARNT | DFC_SS | {"dt_di": 0.02, "tmax_di": 1000}
