"""The command of :mod:`hsicfast.analyze` under the other spelling: ``python -m hsicfast.analyse trials.csv``.

Whoever imports the module gets one that can be called, as the function of this name can.
"""

from __future__ import annotations

import sys

import hsicfast.analyze as command
from hsicfast.analyze import main

sys.modules[__name__].__class__ = type(command)
__signature__ = command.__signature__

if __name__ == "__main__":
    main()
