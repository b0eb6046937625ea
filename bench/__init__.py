"""One benchmark for static, temporal, sequential and transformation methods of disentangled representation learning."""

__version__ = "0.1.0"
