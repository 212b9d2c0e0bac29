"""Trains a network on MNIST by DFC-SS with fixed feedback weights, tuned for the training loss."""

from configs._shared import ALL_SAMPLES, DFC_SS, MNIST
from configs.configs_mnist_train import FIXED

config = MNIST | FIXED | DFC_SS | ALL_SAMPLES | {"dt_di": 0.0005, "tmax_di": 2000}
