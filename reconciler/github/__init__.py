"""GitHub: requests to its API, and what plan and apply keep there.

client       requests, a few at a time, and where they go; destinations use it too
repository   one repository, asked with the token of the job
threads      the comment on a pull request and the issue about drift
reviews      what was reviewed, and whether it is still the newest
"""

from __future__ import annotations
