"""A policy from an ONNX file: one float32 input [1, n] or [batch, n], one output [·, k].

The encoder beside it says which features go in and what comes out. Inference runs on the CPU with
one thread. The graph must be whole: weights in other files are refused, since a model must not
read files of its choosing, and a bundle's hash must cover what it computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .policy import ActionKind, Observation, Policy, PolicyConfig, PolicyError, SiteInfo, register

# Parts of an ONNX file (onnx.proto) that lead to tensors: by message, field number to message.
_PARTS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


class OnnxConfig(PolicyConfig):
    """A network from a file, with its encoder."""

    kind: Literal["onnx"] = "onnx"
    path: str
    """The ONNX file."""
    encoder: str
    """The JSON file that says what goes in and what comes out."""


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("varint too long")


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of a protobuf message; raise ValueError or IndexError if it is none."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in {1, 5}:
            size = 8 if wire == 1 else 4
        else:
            raise ValueError("unknown wire type")
        if at + size > len(data):
            raise ValueError("field longer than its message")
        yield tag >> 3, data[at : at + size]
        at += size


def has_external_data(model: bytes) -> bool:
    """Return whether any tensor of an ONNX model lies in another file.

    Raise ValueError or IndexError if the bytes are no whole protobuf message.
    """
    stack: list[tuple[str, memoryview]] = [("model", memoryview(model))]
    while stack:
        kind, data = stack.pop()
        for number, value in _fields(data):
            if kind == "tensor":
                if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value):
                    return True
            elif number in _PARTS[kind] and isinstance(value, memoryview):
                stack.append((_PARTS[kind][number], value))
    return False


def _session(path: Path) -> Any:
    """Load a model on one CPU thread; raise ValueError with what is wrong in one line."""
    try:
        model = path.read_bytes()
    except OSError as error:
        what = "is a folder; allowed: a file" if path.is_dir() else error.strerror or error
        raise ValueError(f"{path}: {what}") from error
    if not model:
        raise ValueError(f"{path}: the file is empty")
    try:
        external = has_external_data(model)
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path}: truncated, or no ONNX file") from error
    if external:
        raise ValueError(
            f"{path}: keeps weights in other files, which is refused; save it as a single file"
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no public base
        raise ValueError(f"{path}: no usable ONNX model ({_one_line(error)})") from error


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:199] + "…"


def _check(path: Path, what: str, tensors: list[Any], width: int, wanted: str) -> str:
    """Return the name of the only tensor, float32 and [1 or free, width]; raise ValueError."""
    if len(tensors) != 1:
        raise ValueError(f"{path}: expected one {what}, got {len(tensors)}")
    tensor = tensors[0]
    if tensor.type != "tensor(float)":
        raise ValueError(f"{path}: {what} '{tensor.name}' must be float32, got {tensor.type}")
    shape = list(tensor.shape)
    batch_fits = len(shape) == 2 and (shape[0] == 1 or not isinstance(shape[0], int))
    width_fits = len(shape) == 2 and (shape[1] == width or not isinstance(shape[1], int))
    if not batch_fits or not width_fits:
        shown = ", ".join(str(size) for size in shape)
        raise ValueError(
            f"{path}: {what} '{tensor.name}' has shape [{shown}], expected [1, {width}] ({wanted})"
        )
    return str(tensor.name)


class OnnxPolicy(Policy):
    """Runs a network on encoded features."""

    action: ActionKind

    def __init__(self, config: OnnxConfig, site: SiteInfo) -> None:
        """Load network and encoder and try them once; raise :class:`PolicyError`."""
        path = Path(config.path).expanduser()
        # compiled code, and onnxruntime below: only needed by who runs a network
        from .encoders import Encoder, EncoderError, load_encoder

        try:
            self._encoder = Encoder(load_encoder(Path(config.encoder).expanduser()))
            session = _session(path)
            self.action = self._encoder.config.output.action
            width = len(site.actuators) if self.action == "actuator_power" else 3
            inputs = self._encoder.inputs
            source = _check(path, "input", session.get_inputs(), inputs, "inputs of its encoder")
            result = _check(path, "output", session.get_outputs(), width, self.action)
        except (ValueError, EncoderError) as error:
            raise PolicyError(config.label, str(error)) from error
        self._session = session
        self._input: NDArray[np.float32] = np.zeros((1, inputs), dtype=np.float32)
        self._output: NDArray[np.float32] = np.zeros((1, width), dtype=np.float32)
        self._binding = session.io_binding()
        for bind, name, array in (
            (self._binding.bind_input, source, self._input),
            (self._binding.bind_output, result, self._output),
        ):
            bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        try:
            session.run_with_iobinding(self._binding)
        except Exception as error:  # its exceptions have no public base
            raise PolicyError(config.label, f"{path}: cannot run ({_one_line(error)})") from error

    def reset(self, seed: int) -> None:
        """Nothing is remembered; nothing is drawn."""

    def decide(self, observation: Observation) -> NDArray[np.float64]:
        """Return the action [3] or [A]."""
        self._encoder.encode(observation.values.reshape(-1, 1), self._input)
        self._session.run_with_iobinding(self._binding)
        return self._encoder.decode(self._output[0])


register(OnnxConfig, OnnxPolicy)
