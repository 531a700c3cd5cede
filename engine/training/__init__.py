"""Data, networks and the training loop: the only place that imports torch."""
