"""Your own parts: a callback, an augmentation and a loss, in the experiment file, on the demo data."""

import random

import torch.nn.functional as F

from harness import Callback, Experiment, run_file


class StopAtTarget(Callback):
    """Ends a fold as soon as it is good enough on the inner part, which judges nothing."""

    steers = True  # so that a part of the training images is set aside: the inner part

    def __init__(self, target):
        self.target = target

    def on_epoch_end(self, state):
        if state.history[-1]["inner_accuracy"] >= self.target:
            state.stop(f"the target of {self.target:.0%} is reached")


def mirror(image):
    """A uint8 image (3, H, W); chance comes from torch, numpy or random, seeded for each image and epoch."""
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
