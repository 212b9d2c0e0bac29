"""Direct feedback alignment: MNIST."""

from configs._shared import MNIST
from configs.configs_mnist import DFA

config = MNIST | DFA
