"""DFC-SSA, fixed feedback weights: MNIST autoencoder."""

from configs._shared import AUTOENCODER, DFC_SSA
from configs.configs_mnist_auto import FIXED

config = AUTOENCODER | FIXED | DFC_SSA | {"dt_di": 0.001}
