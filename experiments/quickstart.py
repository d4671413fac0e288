"""Sea or forest in half a minute: a small network, trained from scratch on the demo data."""

from harness import Experiment, run_file

experiment = Experiment(
    data="data/train",
    test_data="data/test",
    model="small_cnn",
    weights=None,
    image_size=64,
    augment="flip",
    scheduler="onecycle",
    lr=1e-2,
    epochs=8,
    folds=3,
)


def search_space(trial):
    """The settings that `harness search quickstart` varies."""
    return {
        "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64]),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
    }


if __name__ == "__main__":
    run_file(__file__)
