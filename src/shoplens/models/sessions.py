"""What computes a graph: ONNX Runtime or OpenVINO, called alike."""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from shoplens.cores import usable_cores
from shoplens.errors import MissingError
from shoplens.models.byte_products import has_exact_byte_products
from shoplens.models.devices import OpenVinoPrecision
from shoplens.models.watchdog import Watchdog

Pixels = npt.NDArray[np.generic]

PHOTO_SECONDS = 300.0
"""How long a graph may compute for one photo: the largest takes seconds, on one slow core."""

_WATCHDOG = Watchdog()


@dataclass(frozen=True, slots=True)
class GraphInput:
    """What a graph takes."""

    name: str
    kind: str
    """As ONNX Runtime names it: `tensor(uint8)`, `tensor(float)`."""
    shape: tuple[object, ...]
    """Integers where a dimension is fixed."""


class Session(Protocol):
    """A loaded graph."""

    @property
    def inputs(self) -> tuple[GraphInput, ...]:
        """What it takes; `run` gives it the first."""

    def run(self, pixels: Pixels) -> npt.NDArray[Any]:
        """Compute the first output; may be called from several threads at once.

        Raises `TimeoutError` when that takes longer than `PHOTO_SECONDS` a photo.
        """


class OnnxRuntimeSession:
    """A graph on ONNX Runtime: on processor cores one call runs on one thread."""

    def __init__(self, weights: bytes, cuda: int | None) -> None:
        """Load it; raises `MissingError` without CUDA, else what ONNX Runtime raises."""
        # Costs a quarter of a second: paid by those who embed, not by `shoplens --help`.
        import onnxruntime  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if not has_exact_byte_products():
            # A slower method, which does not overflow. ONNX Runtime would use it on every x86
            # processor, so it is only asked for where it is needed.
            options.add_session_config_entry("session.x64quantprecision", "1")
        self._run_options = onnxruntime.RunOptions
        self._session = onnxruntime.InferenceSession(
            weights, options, providers=providers(onnxruntime, cuda)
        )
        self.inputs = tuple(
            GraphInput(i.name, i.type, tuple(i.shape)) for i in self._session.get_inputs()
        )

    def run(self, pixels: Pixels) -> npt.NDArray[Any]:
        """Compute the first output."""
        return self.run_all(pixels)[0]

    def run_all(self, pixels: Pixels) -> list[npt.NDArray[Any]]:
        """Compute all outputs, as `run` does the first."""
        seconds = PHOTO_SECONDS * len(pixels)
        options = self._run_options()
        options.log_severity_level = 4  # What goes wrong is raised.

        def end() -> None:
            options.terminate = True

        try:
            with _WATCHDOG.watching(seconds, end):
                outputs: list[npt.NDArray[Any]] = self._session.run(
                    None, {self.inputs[0].name: pixels}, options
                )
        except Exception as error:
            if options.terminate:
                raise _too_long(seconds) from error
            raise
        return outputs


def _too_long(seconds: float) -> TimeoutError:
    return TimeoutError(
        f"it gave no result within {seconds:g} s; the limit is {PHOTO_SECONDS:g} s per photo. "
        "Its graph may never end"
    )


def providers(runtime: Any, cuda: int | None) -> list[Any]:
    """Return what an ONNX Runtime session is to run on.

    Args:
        runtime: the module `onnxruntime`.
        cuda: number of the graphics processor; None for the processor's cores.

    Raises `MissingError` when this ONNX Runtime cannot use one.
    """
    if cuda is None:
        return ["CPUExecutionProvider"]
    known = runtime.get_available_providers()
    if "CUDAExecutionProvider" not in known:
        raise MissingError(
            f"this ONNX Runtime has no CUDA (it has {', '.join(known)}): pip uninstall onnxruntime "
            "&& pip install onnxruntime-gpu, which takes its place"
        )
    # TF32 keeps ten bits of each product: vectors would no longer be those of the same fingerprint.
    return [("CUDAExecutionProvider", {"device_id": cuda, "use_tf32": 0})]


class OpenVinoSession:
    """A graph on OpenVINO: a stream for each usable core, one photo a call."""

    def __init__(self, weights: bytes, precision: OpenVinoPrecision) -> None:
        """Load it; raises `MissingError` without the package or bfloat16, else what it raises."""
        try:
            import openvino  # noqa: PLC0415
        except ImportError:
            raise MissingError(
                "--device openvino needs OpenVINO: pip install 'shoplens[openvino]'"
            ) from None
        self._core = core = openvino.Core()
        able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and "BF16" not in able:
            raise MissingError("this processor has no bfloat16: use --device openvino")
        model = core.read_model(weights)
        kinds = {openvino.Type.u8: "tensor(uint8)", openvino.Type.f32: "tensor(float)"}
        self.inputs = tuple(
            GraphInput(
                i.any_name,
                kinds.get(i.element_type, str(i.element_type)),
                tuple(1 if n == 0 else _fixed(d) for n, d in enumerate(i.partial_shape)),
            )
            for i in model.inputs
        )
        if len(model.inputs) == 1:
            shape = model.inputs[0].partial_shape
            shape[0] = 1
            model.reshape(shape)
        streams = str(usable_cores())
        settings = {
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams,
            "INFERENCE_PRECISION_HINT": precision,
        }
        self._compiled = core.compile_model(model, "CPU", settings)
        self._own = threading.local()

    def run(self, pixels: Pixels) -> npt.NDArray[Any]:
        """Compute the first output."""
        seconds = PHOTO_SECONDS * len(pixels)
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        request = self._own.request
        request.start_async({0: pixels})
        if not request.wait_for(round(seconds * 1000)):
            # OpenVINO does not end a loop: deleting the request would wait for it for ever, at the
            # end of the process too. With one reference too many nothing deletes it.
            for kept in (request, self._compiled, self._core):
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
            del self._own.request
            raise _too_long(seconds)
        request.wait()  # Raises what went wrong.
        # The request's own memory is written again by the next call.
        return np.array(request.results[0])


def _fixed(dimension: Any) -> object:
    return dimension.get_length() if dimension.is_static else str(dimension)
