"""The version, in a module that every room may import: the root package names types of the upper rooms."""

__version__ = "0.4.0"
