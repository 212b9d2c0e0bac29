"""Trains a network on MNIST by DFC with fixed feedback weights, tuned for the training loss."""

from configs._shared import ALL_SAMPLES, DFC, MNIST
from configs.configs_mnist_train import FIXED

config = MNIST | FIXED | DFC | ALL_SAMPLES | {"dt_di": 0.001, "tmax_di": 1000}
