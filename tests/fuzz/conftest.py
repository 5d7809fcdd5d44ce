"""How long the fuzzing takes: a fixed seed and two minutes at most by default, HSICFAST_FUZZ=SECONDS for longer."""

import os
import time

import pytest
from hypothesis import HealthCheck, settings

# Seconds for all tests of this folder together; with HSICFAST_FUZZ, for each of them, and with another seed each time.
TOGETHER = 80
SECONDS = float(os.environ.get("HSICFAST_FUZZ", 0))
EXAMPLES = int(SECONDS * 30) or 80

settings.register_profile(
    "fuzz",
    derandomize=not SECONDS,
    database=None,
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
tried: dict[str, int] = {}


@pytest.fixture
def in_time(request):
    """Called for each input; False once the time of this test is over. The inputs are counted."""
    end = time.monotonic() + (SECONDS or TOGETHER / 8)
    tried[request.node.name] = 0

    def go_on():
        if time.monotonic() > end:
            return False
        tried[request.node.name] += 1
        return True

    return go_on


def pytest_terminal_summary(terminalreporter):
    if tried:
        terminalreporter.write_line(f"fuzzed: {sum(tried.values()):,} inputs, {tried}")
