"""The search written with Optuna and Lightning: `search_lightning.py TRIALS SIZE FREEZE tuned`. Prints JSON."""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import Any

import contenders
import numpy as np
import optuna
import torch
from search import EPOCHS, SEED
from task import FOLDS, frozen, resnet18, task


def main() -> None:
    trials, size, freeze, tuned = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4] == "tuned"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    contenders.SIZE = size
    given = task()
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial({"lr": 1e-3, "batch_size": 32})
    results: list[dict[str, Any]] = []
    for number in range(trials):
        seed = int(np.random.SeedSequence((SEED, number)).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)
        trial = study.ask()
        changes = {
            "lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True),
            "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64]),
            "freeze": eval(freeze, {"trial": trial}),
        }
        right = 0
        for fold in range(FOLDS):
            torch.manual_seed(fold)
            model = resnet18(given.weights)
            model = frozen(model) if changes["freeze"] else model
            settings = {"batch": changes["batch_size"], "lr": changes["lr"]}
            right += contenders.lightning_fold(given, fold, model, settings, EPOCHS, tuned)
        accuracy = right / len(given.images)
        study.tell(trial, accuracy)
        results.append({"accuracy": accuracy, "folds": FOLDS, "changes": changes})
    print(json.dumps({"trials": results}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
