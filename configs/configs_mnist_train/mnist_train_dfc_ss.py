"""Trains a network on MNIST by DFC-SS with learnt feedback weights, tuned for the training loss."""

from configs._shared import ALL_SAMPLES, DFC_SS, MNIST
from configs.configs_mnist_train import LEARNT

config = MNIST | LEARNT | DFC_SS | ALL_SAMPLES | {"dt_di": 0.001, "tmax_di": 1000}
