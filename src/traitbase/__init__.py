"""Traitbase: typed properties of a company's users, cohorts over them, campaigns to them. Self-hosted."""

__version__ = "0.1.0"
