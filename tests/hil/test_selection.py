import pytest

from wattbench.agents.baselines.pi import PiConfig
from wattbench.hil.selection import UnknownPolicyError, select_policies

OWN = (PiConfig(name="brisk", kp=0.5), PiConfig())


def test_names_of_the_scenario_come_before_kinds() -> None:
    brisk, pi, zero = select_policies(["brisk", "pi", "zero"], OWN)
    assert brisk is OWN[0]
    assert pi is OWN[1]
    assert zero.label == "zero"


def test_a_name_given_twice_is_one_policy() -> None:
    assert len(select_policies(["zero", "zero", "pi"], OWN)) == 2


def test_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UnknownPolicyError, match="did you mean 'brisk'"):
        select_policies(["brsk"], OWN)


def test_network_needs_its_encoder_beside_it(tmp_path) -> None:
    model = tmp_path / "net v1.onnx"
    with pytest.raises(UnknownPolicyError, match="no such file"):
        select_policies([str(model)], OWN)
    model.write_bytes(b"")
    with pytest.raises(UnknownPolicyError, match=r"net v1\.json: no such file \(the encoder"):
        select_policies([str(model)], OWN)
    model.with_suffix(".json").write_text("{}")
    (policy,) = select_policies([str(model)], OWN)
    assert policy.label == "net_v1"
    assert policy.path == str(model)


def test_kind_that_needs_parameters_says_so() -> None:
    with pytest.raises(UnknownPolicyError, match="list it in the scenario"):
        select_policies(["onnx"], OWN)
