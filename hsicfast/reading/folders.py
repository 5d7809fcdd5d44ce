"""Reads trials from the folders that tools leave: a Hydra multirun."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from hsicfast.errors import InputError, first_line

if TYPE_CHECKING:
    import pandas as pd


RESULT = "result.json"


def read_multirun(folder: Path) -> pd.DataFrame:
    """A row for each job: its overrides, and the content of its result file; a job without one failed."""
    import pandas as pd
    import yaml

    rows = []
    for overrides in sorted(folder.glob("*/.hydra/overrides.yaml")):
        result = overrides.parents[1] / RESULT
        try:
            given = [str(text).lstrip("+").partition("=") for text in yaml.safe_load(overrides.read_text()) or ()]
            # Named as Optuna names them, so that nothing in the result is taken for a hyperparameter.
            row = {f"params_{name}": yaml.safe_load(value) for name, _, value in given if not name.startswith("~")}
            found = json.loads(result.read_text()) if result.is_file() else {}
        except yaml.YAMLError as error:
            raise InputError(
                f"a job's overrides must be YAML, but {overrides}: {first_line(error)}; correct it"
            ) from error
        except ValueError as error:
            raise InputError(f"a job's {RESULT} must hold JSON, but {result}: {error}; correct it") from error
        rows.append(row | (found if isinstance(found, dict) else {"objective": found}))
    if not rows:
        raise InputError(
            f"a multirun folder holds jobs with .hydra/overrides.yaml, but {folder} has none; name the one above them"
        )
    return pd.DataFrame(rows)
