"""From the meter's answer to the command on its way, on loopback, with an ONNX policy.

The emulated rig on the wall clock: devices on sockets and a pseudo terminal in a process of their
own. Half a minute by default; for the figure that counts, on an idle machine:

    WATTBENCH_LATENCY_SECONDS=600 make bench PYTEST_ARGS="-k latency"

Ratios are to the reference of the same run (round trips over a raw socket, and a fixed workload).
"""

from __future__ import annotations

import itertools
import json
import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from wattbench.commands.latency import LatencyOptions, _scenario
from wattbench.commands.setup import setup_of
from wattbench.hil.latency.measure import measure
from wattbench.hil.latency.statistics import percentile
from wattbench.hil.progress import Silent
from wattbench.hil.safestate import StopSignals

SECONDS = float(os.environ.get("WATTBENCH_LATENCY_SECONDS", "30"))
INPUTS, HIDDEN = 24, 64


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A network of the size that is trained for such sites: two hidden layers of 64."""
    folder = tmp_path_factory.mktemp("policy")
    rng = np.random.default_rng(1)
    sizes = (INPUTS, HIDDEN, HIDDEN, 3)
    nodes, tensors, name = [], [], "features"
    for k, (rows, columns) in enumerate(itertools.pairwise(sizes)):
        weights = (rng.standard_normal((rows, columns)) / rows**0.5).astype(np.float32)
        tensors.append(numpy_helper.from_array(weights, f"w{k}"))
        nodes.append(helper.make_node("MatMul", [name, f"w{k}"], [f"y{k}"]))
        name = f"y{k}"
        if k < 2:
            nodes.append(helper.make_node("Tanh", [name], [f"h{k}"]))
            name = f"h{k}"
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, INPUTS])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3])],
        tensors,
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[opset]), folder / "net.onnx")
    feature = {"feature": "surplus_total_w", "offset": 0, "scale": 5000, "clip": 2}
    output = {"action": "phase_targets", "scale_w": 1500, "low_w": 0, "high_w": 4500}
    encoder = {"version": 1, "inputs": [feature] * INPUTS, "output": output}
    (folder / "net.json").write_text(json.dumps(encoder))
    return folder / "net.onnx"


@pytest.mark.parametrize("rig", ["direct", "emulated"])
def test_latency_of_an_onnx_policy(benchmark, network, rig):
    """Answer to command, whole steps, deadlines of 1 s."""
    scenario = _scenario(LatencyOptions(rig, policy=str(network), seconds=SECONDS))

    def run():
        with StopSignals() as signals:
            return measure(
                scenario, setup_of(rig, scenario), rig, scenario.policies[0], signals, Silent()
            )

    found = benchmark.pedantic(run, rounds=1)
    span = found.spans["answer_to_command"]
    info = benchmark.extra_info
    for percent in (50, 99):
        info[f"answer_to_command_p{percent}_us"] = percentile(span.values, percent) / 1e3
    info["ratio_to_reference_percent"] = (
        100 * percentile(span.values, 50) / percentile(span.reference, 50)
    )
    info["reference_p50_us"] = percentile(found.reference_ns, 50) / 1e3
    info["start_late_p99_us"] = percentile(found.spans["start"].values, 99) / 1e3
    info["missed_1s_deadlines"] = found.responses.missed
    info["steps"] = found.steps
