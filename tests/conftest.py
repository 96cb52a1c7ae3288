"""Which tests decide at once, and how Hypothesis searches.

`make test` runs all tests but those that are marked with `proof`, and Hypothesis draws the same few examples each time:
red means the code. `make proof` runs those as well, and Hypothesis draws others each time, from a seed that is printed.
Neither knows deadlines, nor anything else that depends on how busy a machine is.

What the runner of a CI has for its own steps, tests do not write to.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

LUCK = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
"""What is said of the machine, or of the examples that happened to be drawn, and not of the code."""
UNTIMED = settings(deadline=None, database=None, suppress_health_check=LUCK)
settings.register_profile("gate", UNTIMED, max_examples=25, derandomize=True)
settings.register_profile("proof", UNTIMED, print_blob=True)
settings.load_profile("gate")

for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"):
    os.environ.pop(name, None)
