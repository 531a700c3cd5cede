"""onnxruntime as it is used everywhere here: one thread of the processor, and no talk."""

from __future__ import annotations

from typing import Any


def session(model: bytes) -> Any:
    """An `onnxruntime.InferenceSession`.  Raises ImportError where it is not installed."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
