"""Settings of the suite."""

from hypothesis import settings

# Compilation makes the first example slow; what is tested is truth, not time.
settings.register_profile("default", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("default")
