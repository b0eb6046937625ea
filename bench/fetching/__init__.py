"""Fetching official files: downloads that go on where they stopped, checksums, and a first look at what arrived."""
