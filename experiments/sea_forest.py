"""Sea or forest with ResNet18: all layers are fine-tuned from ImageNet weights, at a low learning rate."""

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
)


def search_space(trial):
    """The settings that `harness search sea_forest` varies. A frozen part runs once for each of two views."""
    freeze = trial.suggest_categorical("freeze", [False, "layer3", True])
    return {
        "freeze": freeze,
        "lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64]),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
        "views": 2 if freeze else None,
    }


if __name__ == "__main__":
    run_file(__file__)
