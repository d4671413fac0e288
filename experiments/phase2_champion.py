"""Phase 2: a frozen ResNet18 with a good learning rate for its head."""

from harness import Experiment, run_file

experiment = Experiment(
    data="data/train",
    test_data="data/test",
    model="resnet18",
    weights="imagenet",
    freeze=True,
    image_size=224,
    optimizer="adam",
    lr=1e-3,
    batch_size=16,
    epochs=5,
    folds=3,
)

if __name__ == "__main__":
    run_file(__file__)
