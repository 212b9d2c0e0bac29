"""Lists the minibatches of system 2 that the benchmarks measure."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """Describes what is measured: a config, which of its minibatches, and how often a process repeats it.

    changed  flags with other values than the config's
    """

    config: str
    phase: str
    batches: int
    changed: dict = field(default_factory=dict)


# The network of figure 3 of the paper, whose feedback lets all samples converge; otherwise the settings of the config.
TOY = {
    "initialization_K": "weight_product",
    "dataset": "student_teacher",
    "output_activation": "linear",
    "size_input": 15,
    "size_hidden": [10, 10],
    "num_hidden": 2,
    "size_output": 5,
}


CASES = {
    "BP": Case("configs_mnist.mnist_bp", "forward", 40),
    "DFA": Case("configs_mnist.mnist_dfa", "forward", 40),
    "DFC-SSA": Case("configs_mnist.mnist_fixed_dfc_ssa", "forward", 20),
    "DFC-SSA, feedback": Case("configs_mnist.mnist_dfc_ssa", "feedback", 5),
    "DFC, feedback": Case("configs_mnist.mnist_dfc", "feedback", 5),
    "DFC-SS": Case("configs_mnist.mnist_dfc_ss", "forward", 1),
    "DFC": Case("configs_mnist.mnist_dfc", "forward", 1),
    "DFC-SS, toy": Case("configs_mnist.mnist_dfc_ss", "forward", 15, TOY),
    "DFC, toy": Case("configs_mnist.mnist_dfc", "forward", 15, TOY),
    "DFC-SSA, autoencoder": Case("configs_mnist_auto.mnist_auto_dfc_ssa", "forward", 1),
}
