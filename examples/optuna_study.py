"""An Optuna study: which of its parameters decide, by Optuna's own function for importances."""

import optuna
from rich.console import Console

from hsicfast.optuna import HSICImportanceEvaluator


def objective(trial: optuna.Trial) -> float:
    """A learning rate that decides, and two parameters that do not."""
    rate = trial.suggest_float("lr", 1e-5, 1, log=True)
    trial.suggest_int("batch", 8, 256, log=True)
    trial.suggest_categorical("optimizer", ["adam", "sgd"])
    return abs(rate - 0.01) ** 0.5


def main() -> dict[str, float]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=200)
    found = optuna.importance.get_param_importances(study, evaluator=HSICImportanceEvaluator())
    Console().print(found)
    return found


if __name__ == "__main__":
    main()
