"""Metrics of disentanglement: plain functions on arrays, importable without torch."""
