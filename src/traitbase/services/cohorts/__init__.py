"""Cohorts: what is done with them. `ports` says what an engine must do; a module a use case does the rest."""
