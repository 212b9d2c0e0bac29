"""Trains a network on MNIST by backpropagation, tuned for the training loss."""

from configs._shared import MNIST
from configs.configs_mnist_train import BP

config = MNIST | BP
