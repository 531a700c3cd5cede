"""The screens of the console, one file a screen."""
