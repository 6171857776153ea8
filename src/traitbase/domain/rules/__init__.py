"""The rules of cohorts: who is in.

A rule passes through these modules in order: `tree` reads the JSON and writes it, `resolving` turns the tree into a
`plan` at one moment (every date an interval, every other cohort named), and a plan is answered by `evaluating` for one
profile (the reference) or by an engine for all of them. `operators` and `fields` say what there is to write,
`describing` says it in English, and `explaining` says why somebody is in or out.
"""
