"""Phase 1: a frozen ResNet18 with a very low learning rate; the head changes little."""

from harness import Experiment, run_file

experiment = Experiment(
    data="data/train",
    test_data="data/test",
    model="resnet18",
    weights="imagenet",
    freeze=True,
    image_size=224,
    optimizer="adam",
    lr=1e-5,
    weight_decay=1e-5,
    batch_size=16,
    epochs=2,
    folds=5,
)

if __name__ == "__main__":
    run_file(__file__)
