"""Accuracy and loss of a network on a set of samples."""

from core.workers import Workers, shares
from utils import count_correct, one_hot, squared_error

CHUNK = 1000  # samples in one forward pass: keeps the activities small beside the weights


def evaluate(net, samples, workers=None, tick=None):
    """(accuracy, loss): the fraction of samples whose largest class output is at the label, and the mean over the samples of
    0.5 times the summed squared error of the class outputs, the quantity that backpropagation descends.

    net      InvNet
    samples  core.samples.Samples
    workers  core.workers.Workers that share the chunks
    tick     function of a number of samples, called when these are done
    Returns  two Python floats; the device is waited for once
    """
    workers = workers or Workers()

    def measure(chosen):
        labels = samples.labels[chosen]
        output = net.forward(samples.inputs(chosen), auxiliary=False)[-1]
        if tick:
            tick(len(labels))
        return count_correct(output, labels), squared_error(output, one_hot(labels, samples.classes, output.dtype))

    chunks = shares(len(samples), -(-len(samples) // CHUNK))
    correct, loss = zip(*workers.map(measure, chunks), strict=True)
    return int(sum(correct)) / len(samples), float(sum(loss)) / len(samples)
