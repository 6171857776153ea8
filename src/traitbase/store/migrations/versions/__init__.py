"""The steps, in order of their file names."""
