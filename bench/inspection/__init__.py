"""A finished run opened again, and what pictures show of its model."""
