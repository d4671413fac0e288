"""An experiment with its own callback, augmentation and loss, on the demo data."""

import random

import torch.nn.functional as F

from harness import Callback, Experiment, run_file


class StopAtTarget(Callback):
    """Stops a fold when its accuracy on the inner part of the training set reaches `target`."""

    steers = True  # this callback changes the training, so it gets an inner part of the training set

    def __init__(self, target):
        self.target = target

    def on_epoch_end(self, state):
        if state.history[-1]["inner_accuracy"] >= self.target:
            state.stop(f"reached the target of {self.target:.0%}")


def mirror(image):
    """Flips a uint8 image (3, H, W). torch, numpy and random are seeded for each image and epoch."""
    return image.flip(2) if random.random() < 0.5 else image


def softened(logits, targets):
    return F.cross_entropy(logits, targets, label_smoothing=0.1)


experiment = Experiment(
    model="small_cnn",
    weights=None,
    image_size=64,
    augment=mirror,
    loss=softened,
    lr=3e-3,
    epochs=8,
    folds=0,
    callbacks=[StopAtTarget(0.97)],
)

if __name__ == "__main__":
    run_file(__file__)
