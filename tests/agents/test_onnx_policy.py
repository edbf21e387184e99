"""A policy from an ONNX file: it computes what its graph says; bad files are named, refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from wattbench.agents.agent import Agent
from wattbench.agents.encoders import Encoder, EncoderError, load_encoder
from wattbench.agents.feature_names import FEATURES, feature_indices
from wattbench.agents.onnx_policy import OnnxConfig, has_external_data
from wattbench.agents.policy import PolicyError, SiteInfo, build
from wattbench.sim.edge.meter import METER_FIELDS, MeterReading

WEIGHTS = np.array([[0.5, 0.0, 0.25], [0.0, 1.0, 0.0]], dtype=np.float32)
ENCODER: dict[str, Any] = {
    "version": 1,
    "inputs": [
        {"feature": "surplus_total_w", "offset": 0, "scale": 1000.0, "clip": 5.0},
        {"feature": "grid_power_b_w", "offset": 100.0, "scale": 200.0},
    ],
    "output": {"action": "phase_targets", "scale_w": 1000.0, "low_w": 0.0, "high_w": 4500.0},
}


def graph(
    inputs: int = 2,
    outputs: int = 3,
    batch: int | str = "batch",
    dtype: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    weights = np.zeros((inputs, outputs), dtype=np.float32)
    weights[: min(2, inputs), : min(3, outputs)] = WEIGHTS[:inputs, :outputs]
    kind = np.float32 if dtype == TensorProto.FLOAT else np.float64
    body = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "policy",
        [helper.make_tensor_value_info("x", dtype, [batch, inputs])],
        [helper.make_tensor_value_info("y", dtype, [batch, outputs])],
        [numpy_helper.from_array(weights.astype(kind), "w")],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.fixture
def files(tmp_path: Path) -> OnnxConfig:
    onnx.save(graph(), tmp_path / "policy.onnx")
    (tmp_path / "policy.encoder.json").write_text(json.dumps(ENCODER))
    return OnnxConfig(
        path=str(tmp_path / "policy.onnx"), encoder=str(tmp_path / "policy.encoder.json")
    )


@pytest.mark.parametrize("batch", [1, "batch"])
def test_it_computes_what_the_graph_says(
    batch: int | str, files: OnnxConfig, nine_loads: SiteInfo
) -> None:
    onnx.save(graph(batch=batch), files.path)
    agent = Agent(files, nine_loads)
    for k, (a, b) in enumerate([(-2000.0, 300.0), (-9000.0, 100.0), (0.0, 900.0)]):
        values = np.zeros(METER_FIELDS)
        values[:4] = (a, b, 0.0, a + b)
        observation = agent.observe(k * 10**6, MeterReading(values, k * 10**6, k * 10**6), 0.0)
        action = agent.policy.decide(observation)
        x = np.array([min(-(a + b) / 1000.0, 5.0), (b - 100.0) / 200.0])
        expected = np.clip(1000.0 * (x @ WEIGHTS), 0.0, 4500.0)
        assert action == pytest.approx(expected, rel=1e-6)
        assert agent.decide(observation).sum() <= expected.sum()
    assert agent.name == "onnx"


def test_set_points_for_each_actuator(files: OnnxConfig, nine_loads: SiteInfo) -> None:
    onnx.save(graph(outputs=9), files.path)
    encoder = {**ENCODER, "output": {"action": "actuator_power", "offset_w": 300.0}}
    Path(files.encoder).write_text(json.dumps(encoder))
    agent = Agent(files, nine_loads)
    assert agent.decide(agent.observe(0, None, 0.0)).tolist() == [300.0] + [299.5] + [300.0] * 7


def test_nan_from_the_network_is_the_policys_error(files: OnnxConfig, nine_loads: SiteInfo) -> None:
    model = graph()
    weights = np.full((2, 3), np.nan, dtype=np.float32)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))
    onnx.save(model, files.path)
    agent = Agent(files, nine_loads)
    with pytest.raises(PolicyError, match="not finite"):
        agent.decide(agent.observe(0, None, 0.0))


def test_infinity_is_not_clipped_into_a_command(files: OnnxConfig, nine_loads: SiteInfo) -> None:
    model = graph()
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Div", ["huge", "nothing"], ["inf"]),
        helper.make_node("Add", ["z", "inf"], ["y"]),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for name, value in (("huge", 1.0), ("nothing", 0.0)):
        scalar = numpy_helper.from_array(np.array([value], dtype=np.float32), name)
        model.graph.initializer.append(scalar)
    onnx.save(model, files.path)
    agent = Agent(files, nine_loads)
    with pytest.raises(PolicyError, match="not finite"):
        agent.decide(agent.observe(0, None, 0.0))


def refusal(config: OnnxConfig, site: SiteInfo) -> str:
    with pytest.raises(PolicyError) as caught:
        build(config, site)
    text = str(caught.value)
    assert text.startswith("policy 'onnx': ")
    assert "\n" not in text
    return text


def test_missing_files(files: OnnxConfig, nine_loads: SiteInfo) -> None:
    Path(files.path).unlink()
    assert "policy.onnx: No such file or directory" in refusal(files, nine_loads)
    Path(files.encoder).unlink()
    assert "policy.encoder.json: No such file or directory" in refusal(files, nine_loads)


def test_folders_are_no_files(files: OnnxConfig, nine_loads: SiteInfo) -> None:
    for path in (Path(files.path), Path(files.encoder)):
        path.unlink()
        path.mkdir()
        assert f"{path}: is a folder; allowed: a file" in refusal(files, nine_loads)


def test_truncated_and_garbage_files(files: OnnxConfig, nine_loads: SiteInfo) -> None:
    path = Path(files.path)
    whole = path.read_bytes()
    for size in (1, len(whole) // 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert "policy.onnx: " in refusal(files, nine_loads)
    path.write_bytes(whole[: len(whole) // 2])
    assert "truncated, or no ONNX file" in refusal(files, nine_loads)
    path.write_bytes(b"")
    assert "the file is empty" in refusal(files, nine_loads)
    rng = np.random.default_rng(1)
    for _ in range(20):
        path.write_bytes(rng.bytes(500))
        refusal(files, nine_loads)
    path.write_text("<html>404 not found</html>")
    refusal(files, nine_loads)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            graph(inputs=3),
            "input 'x' has shape [batch, 3], expected [1, 2] (inputs of its encoder)",
        ),
        (graph(outputs=4), "output 'y' has shape [batch, 4], expected [1, 3] (phase_targets)"),
        (graph(batch=16), "input 'x' has shape [16, 2], expected [1, 2]"),
        (graph(dtype=TensorProto.DOUBLE), "input 'x' must be float32, got tensor(double)"),
    ],
)
def test_wrong_shapes(
    model: onnx.ModelProto, message: str, files: OnnxConfig, nine_loads: SiteInfo
) -> None:
    onnx.save(model, files.path)
    assert message in refusal(files, nine_loads)


def test_weights_in_other_files_are_refused(files: OnnxConfig, nine_loads: SiteInfo) -> None:
    model = graph()
    onnx.save(
        model,
        files.path,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    assert "keeps weights in other files" in refusal(files, nine_loads)


def test_external_tensors_are_found_wherever_they_hide() -> None:
    def external(name: str) -> TensorProto:
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")
        return tensor

    plain = graph()
    assert not has_external_data(plain.SerializeToString())
    constant = graph()
    constant.graph.node.append(helper.make_node("Constant", [], ["z"], value=external("v")))
    nested = graph()
    inner = helper.make_graph([], "inner", [], [], [external("deep")])
    nested.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=inner))
    function = graph()
    node = helper.make_node("Constant", [], ["z"], value=external("f"))
    function.functions.append(
        helper.make_function("d", "f", [], ["z"], [node], [helper.make_opsetid("", 13)])
    )
    for model in (constant, nested, function):
        assert has_external_data(model.SerializeToString())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": []}, "inputs: has 0 items; allowed: at least 1"),
        ({"inputs": {}}, "inputs: got a mapping; allowed: a list [...]"),
        ({"inputs": [3]}, "inputs[0]: got 3; allowed: a mapping {...}"),
        ({"inputs": [{}]}, "inputs[0].feature: required key is missing"),
        ({"inputs": [{"feature": 3}]}, "inputs[0].feature: got 3; allowed: a text"),
        (
            {"inputs": [{"feature": "pv_power_w", "mean": 0}]},
            "inputs[0].mean: unknown key; allowed: feature, offset, scale, clip",
        ),
        (
            {"inputs": [{"feature": "pv_power_w", "offset": "x\n"}]},
            r"inputs[0].offset: got 'x\n'; allowed: a number",
        ),
        (
            {"inputs": [{"feature": "pv_power_w", "clip": None}]},
            "inputs[0].clip: got null; allowed: a number",
        ),
        (
            {"inputs": [{"feature": "pv_power_w", "offset": math.inf}]},
            "inputs[0].offset: not a finite number; allowed: a number",
        ),
        ({"inputs": [{"feature": "surplus_totl_w"}]}, "the nearest is 'surplus_total_w'"),
        (
            {"inputs": [{"feature": "pv_power_w", "scale": 0}]},
            "inputs[0].scale: 0 is out of range; allowed: more than 0",
        ),
        (
            {"output": {"action": "torque"}},
            "output.action: got 'torque'; allowed: phase_targets, phase_deltas or actuator_power",
        ),
        (
            {"output": {"action": "phase_deltas", "low": 0}},
            "output.low: unknown key; allowed: action, offset_w, scale_w, low_w, high_w; "
            "did you mean 'low_w'?",
        ),
        (
            {"output": {"action": "phase_deltas", "low_w": "x"}},
            "output.low_w: expected a number in W, or a number and a unit out of W, kW, MW, mW",
        ),
        ({"output": {"action": "phase_deltas", "low_w": 5, "high_w": -5}}, "high_w must not be"),
        (
            {"outputs": {}},
            "outputs: unknown key; allowed: version, inputs, output; did you mean 'output'?",
        ),
        ({"in\nput": {}}, r"in\nput: unknown key"),
        ({"version": 2}, "version: got 2; allowed: 1"),
    ],
)
def test_bad_encoders(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    path.write_text(json.dumps({**ENCODER, **change}))
    with pytest.raises(EncoderError) as caught:
        load_encoder(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b" " * 1_000_001])
def test_encoders_that_are_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    path.write_bytes(content)
    with pytest.raises(EncoderError, match=r"e\.json: "):
        load_encoder(path)


def test_encoding_one_and_many_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    path.write_text(json.dumps(ENCODER))
    encoder = Encoder(load_encoder(path))
    values = np.random.default_rng(2).normal(0.0, 4000.0, (FEATURES, 50))
    many = np.zeros((50, 2), dtype=np.float32)
    encoder.encode(values, many)
    one = np.zeros((1, 2), dtype=np.float32)
    for i in range(50):
        encoder.encode(values[:, i : i + 1].copy(), one)
        assert one[0].tobytes() == many[i].tobytes()
    surplus = values[feature_indices(["surplus_total_w"])[0]]
    assert many[:, 0] == pytest.approx(np.clip(surplus / 1000.0, -5.0, 5.0), rel=1e-6)
