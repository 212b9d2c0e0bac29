"""Loss and accuracy of a network of system 2 on a set of samples (dfc.md I.4)."""

from core.backend import array_module, to_host
from dfc.learners import forward
from utils import count_correct

CHUNK = 8  # batches in one forward pass


def evaluate(net, samples, batch_size, workers, classification, tick=None):
    """(loss, accuracy) as the published program has them: means over the batches, a short last one counting as much as the others.

    net             FeedbackNetwork
    samples         datasets.samples Images or Arrays
    batch_size      samples in a batch, in file order
    workers         core.workers.Workers
    classification  whether targets are labels; else the accuracy is None
    tick            function of a number of samples, called when these are done
    Returns         Python floats; the device is waited for once
    """
    measured = []
    for start in range(0, len(samples), CHUNK * batch_size):
        inputs, target = samples.batch(slice(start, start + CHUNK * batch_size))
        output = forward(net, inputs, workers).r[-1]
        for first in range(0, len(output), batch_size):
            some, wanted = output[first : first + batch_size], target[first : first + batch_size]
            loss = net.loss.value(some, wanted)
            right = count_correct(some, wanted).astype(loss.dtype) / len(some) if classification else loss
            measured.append(array_module(output).stack([loss, right]))
        if tick:
            tick(len(inputs))
    loss, right = to_host(array_module(*measured).stack(measured).mean(axis=0)).tolist()
    return loss, right if classification else None
