"""Where people review, GitHub and GitLab: requests to their APIs, and what plan and apply keep there.

github, gitlab   each one's API, which destinations use too, and one repository or project of it
threads          the comment on a pull request or merge request, and the issue about drift
reviews          what was reviewed, and whether it is still the newest
"""

from __future__ import annotations
