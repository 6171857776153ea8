"""A space as a file: all its profiles and definitions, in a form from which an import makes the same again.

`layout` says what such a file looks like (imports know it by that), a module a format writes it, `exporting` is the use
case, and `files` puts a file under its name only when it is whole.
"""
