"""
An Optuna study
===============

*Which parameters of my study decide?* The index is one of Optuna's importances, so that Optuna's own function and its
dashboard show it. Failed and pruned trials count: they are not good.
"""

import optuna
from matplotlib.figure import Figure
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from rich.console import Console

from hsicfast.optuna import HSICImportanceEvaluator


def objective(trial: optuna.Trial) -> float:
    """A learning rate that decides, and two parameters that do not."""
    rate = trial.suggest_float("lr", 1e-5, 1, log=True)
    trial.suggest_int("batch", 8, 256, log=True)
    trial.suggest_categorical("optimizer", ["adam", "sgd"])
    return abs(rate - 0.01) ** 0.5


# %%
optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
study.optimize(objective, n_trials=200)
found = get_param_importances(study, evaluator=HSICImportanceEvaluator())
Console().print(found)

# %%
# Chance is taken off, so that what does nothing gets nothing, or little.
peer = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
figure = Figure(figsize=(6, 2.8), layout="constrained")
axes = figure.add_subplot(xlabel="importance")
for shift, (name, values) in enumerate({"hsicfast": found, "PED-ANOVA": peer}.items()):
    places = [place + 0.4 * shift for place in range(len(found))]
    axes.barh(places, [values[key] for key in found], height=0.38, label=name)
axes.set_yticks([place + 0.2 for place in range(len(found))], list(found))
axes.invert_yaxis()
axes.legend(frameon=False)
