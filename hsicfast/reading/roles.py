"""Which columns of a table are hyperparameters, by one list of rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from hsicfast.space.search_space import RESERVED

if TYPE_CHECKING:
    import pandas as pd

# Prefixes of hyperparameters' names in the exports of Ray and W&B, Optuna, MLflow.
PREFIXES = ("config/", "params_", "params.")


class Roles(NamedTuple):
    """What the columns of a table are.

    Attributes
    ----------
    names : dict of str to str
        The columns that may be hyperparameters, with the hyperparameters' names.
    left_out : dict of str to str
        Why each of the other columns is no hyperparameter.
    """

    names: dict[str, str]
    left_out: dict[str, str]


def roles_in(frame: pd.DataFrame, beside: Sequence[str] = ()) -> Roles:
    """What the columns of `frame` are; those `beside`, such as the objective, are no hyperparameters.

    If some columns begin with ``config/``, ``params_`` or ``params.``, only those are hyperparameters.
    """
    prefix = next((p for p in PREFIXES if any(str(name).startswith(p) for name in frame.columns)), "")
    roles = Roles({}, {})
    for label in map(str, frame.columns):
        name = label.removeprefix(prefix)
        if label in beside or name in RESERVED or not label.startswith(prefix):
            roles.left_out[label] = "not a hyperparameter"
        else:
            roles.names[label] = name
    return roles
