"""Executes a plan: asks the destinations, changes keys, delivers secrets, checks the result."""
