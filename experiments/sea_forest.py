"""Sea or forest with ResNet18: all of it trained, gently, from ImageNet's weights."""

from harness import Experiment, run_file

experiment = Experiment(
    data="data/train",
    test_data="data/test",
    model="resnet18",
    weights="imagenet",
    augment="flip",
    optimizer="adamw",
    lr=1e-4,
    weight_decay=1e-2,
    scheduler="onecycle",
    epochs=4,
    folds=3,
    patience=2,
)

if __name__ == "__main__":
    run_file(__file__)
