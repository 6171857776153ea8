"""Benchmarks: what this machine does with Traitbase, beside what it does with less and with something else."""
