"""Tests of the check for external data in graphs."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from broken_models import external, graph, linear, reseal
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from watched_files import watching

from edgecnn.bundle.external_data import check_no_external_data
from edgecnn.bundle.graph import MOST_FIELDS
from edgecnn.bundle.store import Bundle, create_bundle, open_bundle
from edgecnn.errors import BundleError, ExternalData
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.engines.registry import get_engine

MODEL = Path("bundle/model.onnx")
OUTSIDE = external("../outside.bin", name="w")
HERE = numpy_helper.from_array(np.arange(3, dtype=np.float32), "here")


def check(model: bytes) -> None:
    check_no_external_data(np.frombuffer(model, np.uint8), path=MODEL)


def constant(tensor: onnx.TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["made"], value=tensor)


def body(*nodes: onnx.NodeProto, initializers: tuple[onnx.TensorProto, ...] = ()) -> onnx.GraphProto:
    return helper.make_graph(nodes, "body", [], [], list(initializers))


def sparse(values: onnx.TensorProto, indices: onnx.TensorProto) -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(values=values, indices=indices, dims=[9])


def listed(kind: "AttributeProto.AttributeType", field: str, value: object) -> onnx.NodeProto:
    """Return a node with an attribute that contains a list of one value."""
    attribute = AttributeProto(name="list", type=kind)
    getattr(attribute, field).append(value)
    return onnx.NodeProto(op_type="Any", output=["made"], attribute=[attribute])


def of(change: Callable[[onnx.ModelProto], object]) -> bytes:
    """Return an empty model after a change."""
    model = helper.make_model(body())
    change(model)
    return model.SerializeToString()


def in_training(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.initializer.append(OUTSIDE)


def in_a_function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("d", "f", [], [], [constant(OUTSIDE)], []))


def in_a_functions_default(model: onnx.ModelProto) -> None:
    default = helper.make_attribute("a", OUTSIDE)
    model.functions.append(helper.make_function("d", "f", [], [], [], [], [], [default]))


PLACES: dict[str, bytes] = {
    "initializer": of(lambda m: m.graph.initializer.append(OUTSIDE)),
    "later initializer": of(lambda m: m.graph.initializer.extend([HERE, OUTSIDE])),
    "constant": graph([constant(OUTSIDE)]),
    "list of tensors": graph([listed(AttributeProto.TENSORS, "tensors", OUTSIDE)]),
    "branch": graph([helper.make_node("If", ["c"], ["y"], then_branch=body(), else_branch=body(constant(OUTSIDE)))]),
    "loop body": graph([helper.make_node("Loop", ["n"], ["y"], body=body(initializers=(OUTSIDE,)))]),
    "list of graphs": graph([listed(AttributeProto.GRAPHS, "graphs", body(constant(OUTSIDE)))]),
    "nested branch": graph(
        [
            helper.make_node(
                "If", ["c"], ["y"], then_branch=body(helper.make_node("If", ["c"], ["y"], a=body(constant(OUTSIDE))))
            )
        ]
    ),
    "sparse values": of(lambda m: m.graph.sparse_initializer.append(sparse(OUTSIDE, HERE))),
    "sparse indices": of(lambda m: m.graph.sparse_initializer.append(sparse(HERE, OUTSIDE))),
    "sparse constant": graph([helper.make_node("Constant", [], ["made"], sparse_value=sparse(OUTSIDE, HERE))]),
    "list of sparse tensors": graph([listed(AttributeProto.SPARSE_TENSORS, "sparse_tensors", sparse(HERE, OUTSIDE))]),
    "function": of(in_a_function),
    "default of a function": of(in_a_functions_default),
    "training step": of(in_training),
}


@pytest.mark.parametrize("place", PLACES)
def test_finds_external_data_in_every_place(place: str):
    with pytest.raises(ExternalData, match=r"bundle/model\.onnx: the data of the tensor 'w' refers to another file"):
        check(PLACES[place])


def test_names_the_node_of_an_unnamed_constant():
    with pytest.raises(ExternalData, match=r"a constant of the 'Constant' that computes 'made' refers"):
        check(graph([constant(external("x", name=""))]))


@pytest.mark.parametrize(
    "tensor",
    [
        TensorProto(name="w", data_location=TensorProto.EXTERNAL),
        TensorProto(name="w", external_data=[onnx.StringStringEntryProto(key="location", value="x")]),
        TensorProto(name="w", external_data=[onnx.StringStringEntryProto()]),
        TensorProto(name="w", raw_data=b"1234", data_location=TensorProto.EXTERNAL),
    ],
)
def test_rejects_incomplete_references(tensor: onnx.TensorProto):
    with pytest.raises(ExternalData, match="'w'"):
        check(of(lambda m: m.graph.initializer.append(tensor)))


def test_rejects_a_compiled_graph():
    node = helper.make_node("EPContext", ["image"], ["logits"], domain="com.microsoft", ep_cache_context="../x.engine")
    with pytest.raises(ExternalData, match=r"the 'EPContext' that computes 'logits' is compiled and may use"):
        check(graph([node]))


def test_accepts_the_default_data_location():
    tensor = TensorProto(name="w", raw_data=b"1234", data_location=TensorProto.DEFAULT)
    check(of(lambda m: m.graph.initializer.append(tensor)))
    check(graph([constant(HERE)]))


def sentinel(folder: Path) -> Path:
    path = folder / "sentinel.bin"
    path.write_bytes(np.ones(1024 * 10, np.float32).tobytes())
    return path


def a_pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")  # opening it would block
    return "../pipe"


def a_link(folder: Path) -> str:
    (folder / "link").symlink_to(folder / "sentinel.bin")
    return "../link"


def a_hard_link(folder: Path) -> str:
    (folder / "hard").hardlink_to(folder / "sentinel.bin")
    return "../hard"


LOCATIONS: dict[str, tuple[Callable[[Path], str], int]] = {
    "relative": (lambda _: "../sentinel.bin", 0),
    "absolute": (lambda folder: str(folder / "sentinel.bin"), 0),
    "far up": (lambda _: 40 * "../" + "etc/passwd", 0),
    "link": (a_link, 0),
    "hard link": (a_hard_link, 0),
    "pipe": (a_pipe, 0),
    "device": (lambda _: "/dev/zero", 0),
    "beyond the end": (lambda _: "../sentinel.bin", 1 << 62),
    "graph itself": (lambda _: "model.onnx", 0),
    "empty": (lambda _: "", 0),
    "engine memory": (lambda _: "*/_ORT_MEM_ADDR_/*", 4096),
}


@pytest.mark.parametrize("location", LOCATIONS)
def test_rejects_external_data_without_opening_it(location: str, bundle_copy: Path):
    outside = sentinel(bundle_copy.parent)
    place, offset = LOCATIONS[location]
    reseal(bundle_copy, linear(external(place(bundle_copy.parent), offset=offset)))
    with watching(outside) as was_opened:
        with pytest.raises(ExternalData) as raised:
            open_bundle(bundle_copy)
        assert not was_opened()
    assert str(raised.value).startswith(
        f"{bundle_copy}/model.onnx: the data of the tensor 'weights' refers to another file"
    )


def test_rejects_external_data_in_an_int8_bundle(bundle_copy: Path):
    model = onnx.load(bundle_copy / "model.onnx")
    model.graph.initializer.append(external("../sentinel.bin"))
    reseal(bundle_copy, model.SerializeToString(), precision="int8")
    with pytest.raises(ExternalData, match="'weights'"):
        open_bundle(bundle_copy)


def test_engines_open_external_data(tmp_path: Path):
    outside = sentinel(tmp_path)
    (tmp_path / "model.onnx").write_bytes(linear(external("sentinel.bin")))
    with watching(outside) as was_opened:
        get_engine("onnxruntime").open(tmp_path / "model.onnx", SessionOptions(threads=1)).close()
        assert was_opened()


def test_create_bundle_rejects_external_data(committed: Bundle, tmp_path: Path):
    parts = {"manifest": committed.manifest, "self_test": committed.self_test(), "proof": committed.proof()}
    with pytest.raises(ExternalData, match="'weights'"):
        create_bundle(tmp_path / "b", model=linear(external("x")), **parts)
    assert not list(tmp_path.iterdir())


@given(st.binary(max_size=300))
def test_random_bytes_raise_only_bundle_errors(damage: bytes):
    with contextlib.suppress(BundleError):  # any other error fails the test
        check(damage)


@given(st.sampled_from(sorted(PLACES)), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4))
def test_finds_references_in_a_damaged_graph(place: str, changes: list[tuple[int, int]]):
    damaged = bytearray(PLACES[place])
    for at, value in changes:
        damaged[at % len(damaged)] = value
    try:
        check(bytes(damaged))
    except BundleError:
        return
    with contextlib.suppress(DecodeError):  # an unreadable graph has no references
        assert not list(references(onnx.ModelProto.FromString(bytes(damaged))))


def references(message: object) -> "list[TensorProto]":
    """Return all tensors with external data in a message, found by the fields of protobuf."""
    if isinstance(message, TensorProto):
        return [message] if message.data_location == TensorProto.EXTERNAL or message.external_data else []
    found = []
    for field, value in message.ListFields():  # type: ignore[attr-defined]
        if field.message_type is not None:
            for each in value if isinstance(value, list) or hasattr(value, "append") else [value]:
                found += references(each)
    return found


def test_search_finds_all_places():
    assert all(references(onnx.ModelProto.FromString(model)) for model in PLACES.values())


def field(tag: int, content: bytes) -> bytes:
    """Return an encoded field with a length."""
    size, length = len(content), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([tag, *length, size]) + content


MODELS_GRAPH, GRAPHS_NODE, NODES_ATTRIBUTE, ATTRIBUTES_GRAPH = 0x3A, 0x0A, 0x2A, 0x32


def test_rejects_deeply_nested_graphs():
    content = b""
    for _ in range(5_000):
        content = field(GRAPHS_NODE, field(NODES_ATTRIBUTE, field(ATTRIBUTES_GRAPH, content)))
    with pytest.raises(BundleError, match="is not an ONNX graph"):
        check(field(MODELS_GRAPH, content))


@pytest.mark.slow
@pytest.mark.parametrize("small", [bytes([GRAPHS_NODE, 0]), b"\x48\x00"])
def test_rejects_too_many_small_fields(small: bytes):
    check(field(MODELS_GRAPH, small * 1000))
    with pytest.raises(BundleError, match="is not an ONNX graph"):
        check(field(MODELS_GRAPH, small * (MOST_FIELDS + 1)))


def test_rejects_a_huge_name():
    with pytest.raises(BundleError, match="is not an ONNX graph"):
        check(graph([helper.make_node("Identity", ["x" * 20_000], ["y"])]))
