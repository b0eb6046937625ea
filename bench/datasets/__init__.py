"""Data sets: one file each, with the containers and transitions they share."""
