"""Where people review: GitHub and GitLab."""
