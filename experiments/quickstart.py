"""Sea or forest in half a minute: a small network, from scratch, on the demo data."""

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

if __name__ == "__main__":
    run_file(__file__)
