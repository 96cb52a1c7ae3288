"""What has to change, worked out from values alone: no clock, no network, no file."""
