"""Direct feedback alignment: MNIST autoencoder."""

from configs._shared import AUTOENCODER
from configs.configs_mnist_auto import DFA

config = AUTOENCODER | DFA
