"""Trains a network on MNIST by DFC-SSA with learnt feedback weights, tuned for the training loss."""

from configs._shared import DFC_SSA, MNIST
from configs.configs_mnist_train import LEARNT

config = MNIST | LEARNT | DFC_SSA | {"dt_di": 0.0007443486448352245, "tmax_di": 500}
