"""DFC-SSA, learnt feedback weights: MNIST autoencoder."""

from configs._shared import AUTOENCODER, DFC_SSA
from configs.configs_mnist_auto import LEARNT

config = AUTOENCODER | LEARNT | DFC_SSA | {"dt_di": 0.001}
