"""Tests of the check for operators of other domains than ONNX's."""

import contextlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from broken_models import graph, reseal
from four_bit_graphs import extremes, linear
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from edgecnn.bundle.operators import check_operators
from edgecnn.bundle.store import open_bundle
from edgecnn.errors import BundleError, ForeignOperator

MODEL = Path("bundle/model.onnx")
FOUR_BITS = linear(*extremes(4, 128)).SerializeToString()


def check(model: bytes, *, has_four_bits: bool = True) -> None:
    check_operators(np.frombuffer(model, np.uint8), has_four_bits=has_four_bits, path=MODEL)


def node(domain: str, operator: str = "Any") -> onnx.NodeProto:
    return helper.make_node(operator, ["image"], ["logits"], domain=domain)


def in_a_branch(inner: onnx.NodeProto) -> onnx.NodeProto:
    branch = helper.make_graph([inner], "branch", [], [])
    return helper.make_node("If", ["c"], ["logits"], then_branch=branch, else_branch=branch)


@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.ml", "ai.onnx.training", "local", " ", "AI.ONNX", "\n"])
@pytest.mark.parametrize("place", [lambda inner: inner, in_a_branch])
def test_rejects_operators_of_other_domains(domain: str, place):
    with pytest.raises(ForeignOperator, match=r"the operator 'Any' of the domain .*, expected ONNX's only") as raised:
        check(graph([place(node(domain))]))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
def test_accepts_operators_of_onnx(domain: str):
    check(graph([node(domain, "Relu"), in_a_branch(node(domain))]))


def test_rejects_functions():
    model = onnx.ModelProto.FromString(graph([node("", "Relu")]))
    model.functions.append(helper.make_function("", "Relu", ["x"], ["y"], [helper.make_node("Neg", ["x"], ["y"])], []))
    with pytest.raises(ForeignOperator, match="the graph defines a function, expected nodes only: export again"):
        check(model.SerializeToString())


def test_allows_4_bit_layers_in_int8_graphs_only():
    check(FOUR_BITS)
    with pytest.raises(ForeignOperator, match="only an INT8 graph may have the operator 'MatMulNBits'"):
        check(FOUR_BITS, has_four_bits=False)


def test_a_bundle_with_a_foreign_operator_is_rejected(bundle_copy: Path):
    reseal(bundle_copy, graph([node("com.microsoft", "Gelu")]))
    with pytest.raises(ForeignOperator, match=r"model\.onnx: the graph has the operator 'Gelu'"):
        open_bundle(bundle_copy)


@given(st.binary(max_size=200))
def test_random_bytes_raise_only_bundle_errors(damage: bytes):
    with contextlib.suppress(BundleError):  # any other error fails the test
        check(damage)
