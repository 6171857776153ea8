"""The people who use the console: signing in, roles, links for newcomers, and what was done by whom."""
