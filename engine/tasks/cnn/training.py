"""How a network is trained: the names there are, and what it is unless a search finds better."""

from __future__ import annotations

from ....sessions.records import Config

EXPONENTIAL, COSINE, ONE_CYCLE = SCHEDULES = ("exponential", "cosine", "one-cycle")
"""Of the learning rate; the first is the poster's, with the others goes a recipe of training."""
ADAM, ADAMW, SGD = OPTIMISERS = ("adam", "adamw", "sgd")
SGD_RATES = 20.0
"""How many times Adam's learning rates those of SGD are: its domain, and how it is encoded."""
TRAINING: Config = {
    "weight_decay": 0.0,
    "dropout": 0.0,
    "schedule": EXPONENTIAL,
    "optimiser": ADAM,
    "learning_rate": 1e-3,
    "lr_decay": 1.0,
    "batch_size": 128,
    "label_smoothing": 0.0,
}
"""How a network is trained unless a search finds better: defaults, and the reference's values."""
