"""Everything a person touches: the console and the commands."""
