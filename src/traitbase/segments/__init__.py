"""Cohort engines: who is in, of all profiles of a space.

`compile` turns a plan into SQL. The columnar engine (`columnar`) answers from a copy of the profiles in typed columns,
which `copy` holds, `loading` fills and `keeping` keeps up with the store; `scanning` asks every profile in turn.
"""
