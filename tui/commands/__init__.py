"""The verbs of `lcsearch`, a module for each part of its work."""
