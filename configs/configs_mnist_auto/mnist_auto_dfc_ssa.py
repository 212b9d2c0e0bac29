"""Trains a network on the MNIST autoencoder by DFC-SSA with learnt feedback weights."""

from configs._shared import AUTOENCODER, DFC_SSA
from configs.configs_mnist_auto import LEARNT

config = AUTOENCODER | LEARNT | DFC_SSA | {"dt_di": 0.001}
