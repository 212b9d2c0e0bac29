"""Measures accuracy and loss of a network on a set of samples."""

from tqdm import tqdm

from core.backend import Workers, array_module, shares, to_host
from core.roles import Watcher
from utils import count_correct, one_hot, squared_error

# Samples in one forward pass: few enough for the activities to stay small compared with the weights.
CHUNK = 1000


class Evaluation(Watcher):
    """Measures the published series: accuracy and loss on the training and the test images."""

    def __init__(self, train, test, workers, quiet):
        self.train, self.test, self.workers, self.quiet = train, test, workers, quiet

    def row(self, net, epoch):
        """Returns {column: number} of both accuracies and losses."""
        total = len(self.train) + len(self.test)
        with tqdm(total=total, desc="measuring", unit="image", leave=False, delay=2, disable=self.quiet or None) as bar:
            training = evaluate(net, self.train, self.workers, bar.update)
            test = evaluate(net, self.test, self.workers, bar.update)
        return dict(zip(("training_acc", "training_loss", "test_acc", "test_loss"), training + test, strict=True))


def evaluate(net, samples, workers=None, tick=None):
    """Returns (accuracy, loss) of a network on samples.

    The accuracy is the fraction of samples whose largest class output is at the label. The loss is the mean over
    the samples of 0.5 times the summed squared error of the class outputs, the quantity that backpropagation
    descends.

    net      InvNet
    samples  datasets.samples.Images
    workers  core.backend.Workers, among which the chunks are divided
    tick     function of a number of samples, called when these are done
    Returns  two Python floats; the device is waited for once
    """
    workers, xp = workers or Workers(), array_module(samples.labels)

    def measure(chosen):
        labels = samples.labels[chosen]
        output = net.forward(samples.inputs(chosen), auxiliary=False)[-1]
        if tick:
            tick(len(labels))
        loss = squared_error(output, one_hot(labels, samples.classes, output.dtype))
        return xp.stack([count_correct(output, labels).astype(loss.dtype), loss])

    chunks = shares(len(samples), -(-len(samples) // CHUNK))
    correct, loss = to_host(xp.stack(workers.map(measure, chunks)).sum(axis=0)).tolist()
    return correct / len(samples), loss / len(samples)
