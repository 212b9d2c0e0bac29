"""DFC-SS, learnt feedback weights: MNIST autoencoder."""

from configs._shared import AUTOENCODER, DFC_SS
from configs.configs_mnist_auto import LEARNT

config = AUTOENCODER | LEARNT | DFC_SS | {"dt_di": 0.02, "tmax_di": 1000}
