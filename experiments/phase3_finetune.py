"""Phase 3: all layers of ResNet18 are trained, with a learning rate that is too high for fine-tuning."""

from harness import Experiment, run_file

experiment = Experiment(
    data="data/train",
    test_data="data/test",
    model="resnet18",
    weights="imagenet",
    freeze=False,
    image_size=224,
    optimizer="adam",
    lr=1e-2,
    batch_size=32,
    epochs=2,
    folds=3,
)

if __name__ == "__main__":
    run_file(__file__)
