"""Everything a person touches: the console and the commands."""

import os

# read by Textual when it is first imported.  Of the time from a key to the screen, waiting for the
# next moment to paint is the greater part: 8 ms instead of 17, up to three times for one key
os.environ.setdefault("TEXTUAL_FPS", "120")
