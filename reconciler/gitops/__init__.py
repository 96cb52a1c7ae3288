"""GitHub around a declaration: the event, the comment on a pull request, the issue about drift, what was reviewed."""
