"""Methods: one file each, and the networks and objective terms they share."""
