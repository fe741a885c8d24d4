"""One contract for every backend and every device that this machine has; and what is refused."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edgecnn.bundle.store import Bundle
from edgecnn.errors import DeviceUnavailable, EngineError, EngineMissing, PrecisionUnavailable, UsageError
from edgecnn.runtime.engines import backends
from edgecnn.runtime.engines.backend import PRECISIONS, Session, SessionOptions
from edgecnn.runtime.engines.backends import choose_backend, get_backend, installed
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.streaming import stream

PAIRS = [(name, device.name) for name in installed() for device in get_backend(name).devices()]
ENGINES = pytest.mark.parametrize("engine", installed())


@pytest.fixture(params=PAIRS, ids=[f"{engine}-{device}" for engine, device in PAIRS])
def session(request: pytest.FixtureRequest, committed: Bundle) -> Session:
    engine, device = request.param
    return open_session(committed, backend=engine, options=SessionOptions(device=device))


def test_both_engines_are_tested_here():
    assert set(installed()) == {"onnxruntime", "openvino"}
    assert {device for _, device in PAIRS} >= {"cpu"}


def test_logits_are_float32_one_row_an_image(session: Session, committed: Bundle):
    images = committed.self_test().images
    for batch in (1, 3, 8, 32):
        logits = session.run(images[:batch])
        assert logits.dtype == np.float32
        assert logits.shape == (batch, 10)


def test_an_answer_does_not_depend_on_batch_mates(session: Session, committed: Bundle):
    images = committed.self_test().images
    together = session.run(images)
    alone = np.concatenate([session.run(images[i : i + 1]) for i in range(len(images))])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_results_are_the_callers_own(session: Session, committed: Bundle):
    images = committed.self_test().images
    first = session.run(images[:1])
    kept = first.copy()
    session.run(images[1:2])
    np.testing.assert_array_equal(first, kept)


def test_out_receives_the_logits(session: Session, committed: Bundle):
    images = committed.self_test().images[:4]
    out = np.full((4, 10), np.nan, np.float32)
    assert session.run(images, out=out) is out
    np.testing.assert_array_equal(out, session.run(images))


def test_images_need_not_be_contiguous(session: Session, committed: Bundle):
    images = committed.self_test().images
    np.testing.assert_array_equal(session.run(images[::2]), session.run(images[::2].copy()))


@pytest.mark.parametrize(
    "images",
    [np.zeros((1, 3, 3, 1), np.uint8), np.zeros((1, 32, 32, 1), np.float32), np.zeros((32, 32), np.uint8)],
    ids=["another size", "another type", "another rank"],
)
def test_wrong_images_are_an_engine_error_in_one_line(session: Session, images: np.ndarray):
    with pytest.raises(EngineError) as raised:
        session.run(images)
    assert "\n" not in str(raised.value)


def test_an_out_of_another_shape_is_refused_and_never_filled_by_repetition(session: Session, committed: Bundle):
    images = committed.self_test().images[:2]
    with pytest.raises(EngineError, match="are expected"):
        session.run(images, out=np.empty((2, 11), np.float32))
    with pytest.raises(EngineError, match="are expected"):
        session.run(images[:1], out=np.empty((2, 10), np.float32))


def test_a_closed_session_says_so(session: Session, committed: Bundle):
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.run(committed.self_test().images)


def test_info_says_what_runs(session: Session):
    assert session.info.engine in installed()
    assert session.info.precision == "fp32"
    assert session.info.threads >= 1
    assert session.info.version[0].isdigit()


@ENGINES
def test_several_threads_may_run_at_once(engine: str, committed: Bundle):
    session = open_session(committed, backend=engine, options=SessionOptions(threads=1, concurrency=2))
    assert session.concurrency == 2
    images, wrong = committed.self_test().images, []
    expected = session.run(images)

    def work() -> None:
        for _ in range(50):
            if not np.array_equal(session.run(images), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@ENGINES
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_session_that_was_opened_before_a_fork_is_refused_in_the_child(engine: str, committed: Bundle):
    session = open_session(committed, backend=engine)
    images = committed.self_test().images
    expected = session.run(images)
    child = os.fork()
    if child == 0:  # no assert here: the child must end without pytest
        try:
            session.run(images)
        except EngineError as error:
            os._exit(7 if "forked" in str(error) else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    np.testing.assert_array_equal(session.run(images), expected)


@ENGINES
def test_a_child_that_opens_the_bundle_itself_is_answered(engine: str, committed: Bundle):
    code = f"""
import os, edgecnn
edgecnn.open_bundle({str(committed.path)!r})
child = os.fork()
bundle = edgecnn.open_bundle({str(committed.path)!r})
classifier = edgecnn.load(bundle, backend={engine!r})
assert len(classifier.logits(bundle.self_test().images)) == 32
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


@ENGINES
def test_images_that_are_changed_in_place_are_answered_anew(engine: str, committed: Bundle):
    session = open_session(committed, backend=engine)
    for images in (committed.self_test().images[:1].copy(), np.tile(committed.self_test().images, (4, 1, 1, 1))):
        before = session.run(images)
        images[:] = 255 - images
        after = session.run(images)
        assert not np.array_equal(before, after)
        np.testing.assert_array_equal(after, session.run(images.copy()))


@ENGINES
@pytest.mark.parametrize("cache", [False, True])
def test_a_session_for_single_images_gives_the_same_logits_for_any_number(engine: str, cache: bool, committed: Bundle):
    images = committed.self_test().images
    expected = open_session(committed, backend=engine, options=SessionOptions(threads=1)).run(images)
    for _ in range(2):
        session = open_session(
            committed, backend=engine, options=SessionOptions(threads=1, one_by_one=True), cache=cache
        )
        for count in (1, 3, 32):
            np.testing.assert_allclose(session.run(images[:count]), expected[:count], atol=1e-5)
            out = np.empty((count, 10), np.float32)
            session.run(images[:count], out=out)
            np.testing.assert_allclose(out, expected[:count], atol=1e-5)
        np.testing.assert_allclose(next(iter(stream(session, [images[:2], images[2:3]]))), expected[:2], atol=1e-5)


@ENGINES
def test_threads_are_those_asked_for(engine: str, committed: Bundle):
    assert open_session(committed, backend=engine, options=SessionOptions(threads=1)).info.threads == 1


@ENGINES
@pytest.mark.parametrize("content", [b"", b"hello world", bytes(range(256)) * 40], ids=["empty", "text", "random"])
def test_a_file_that_is_no_graph_is_an_engine_error_in_one_line(engine: str, content: bytes, tmp_path: Path):
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(EngineError, match=r"model\.onnx") as raised:
        get_backend(engine).open(tmp_path / "model.onnx", SessionOptions())
    assert "\n" not in str(raised.value)


ABSENT = [
    (engine, device)
    for engine, devices in (("onnxruntime", ("cuda", "tensorrt", "gpu")), ("openvino", ("gpu", "npu", "cuda")))
    for device in devices
    if (engine, device) not in PAIRS
]


@pytest.mark.parametrize(("engine", "device"), ABSENT)
def test_a_device_that_is_not_here_is_refused_and_never_replaced(engine: str, device: str, fp32_bundle: Bundle):
    with pytest.raises(DeviceUnavailable, match=device):
        open_session(fp32_bundle, backend=engine, options=SessionOptions(device=device))


@pytest.mark.parametrize("device", ["cuda", "tensorrt", "gpu", "npu"])
def test_auto_never_replaces_a_device_that_was_named(device: str, fp32_bundle: Bundle):
    if any(name == device for _, name in PAIRS):
        pytest.skip(f"this machine has a {device}")
    with pytest.raises(DeviceUnavailable):
        open_session(fp32_bundle, options=SessionOptions(device=device))


def test_onnx_runtime_refuses_bfloat16_on_the_cpu(committed: Bundle):
    with pytest.raises(PrecisionUnavailable, match="fp32"):
        open_session(committed, backend="onnxruntime", options=SessionOptions(precision="bf16"))


def test_openvino_runs_bfloat16_where_the_cpu_has_it_and_refuses_it_elsewhere(fp32_bundle: Bundle):
    import openvino

    options = SessionOptions(precision="bf16")
    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert open_session(fp32_bundle, backend="openvino", options=options).info.precision == "bf16"
    else:
        with pytest.raises(PrecisionUnavailable, match="not in bf16"):
            open_session(fp32_bundle, backend="openvino", options=options)


def test_openvino_runs_an_fp32_bundle_in_fp32_unless_asked_otherwise(fp32_bundle: Bundle):
    session = open_session(fp32_bundle, backend="openvino")
    self_test = fp32_bundle.self_test()
    assert (
        np.abs(session.run(self_test.images) - self_test.logits).max() < 1e-4
    )  # bfloat16 is off by a hundred times that


def test_asymmetric_int8_is_refused_on_tensorrt(committed: Bundle):
    with pytest.raises(EngineError, match="FP32 bundle"):
        open_session(committed, backend="onnxruntime", options=SessionOptions(device="tensorrt"))


@pytest.mark.parametrize(("engine", "device"), PAIRS)
def test_what_an_engine_computes_in_unasked_is_one_of_our_precisions_or_not_told(
    engine: str, device: str, committed: Bundle
):
    found = get_backend(engine).default_precision(committed.model, device)
    assert found in PRECISIONS if device == "cpu" else found in (None, *PRECISIONS)


def test_a_device_that_is_not_there_has_no_default_precision(committed: Bundle):
    with pytest.raises(EngineError, match="npu") as raised:
        get_backend("openvino").default_precision(committed.model, "npu")
    assert "\n" not in str(raised.value)


def test_an_engine_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backends, "installed", lambda: ("onnxruntime",))
    with pytest.raises(EngineMissing, match=r"pip install 'edgecnn\[openvino\]'"):
        get_backend("openvino")
    with pytest.raises(EngineMissing, match="openvino"):
        choose_backend("auto", "npu")


def test_an_engine_that_cannot_be_imported_says_why(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "edgecnn.runtime.engines.openvino", None)  # as a missing system library does
    with pytest.raises(EngineMissing, match="cannot be imported"):
        get_backend("openvino")


@pytest.mark.parametrize("device", ["cpu:7", "npu:1", "auto:0", "cuda:", "gpu:x"])
def test_a_number_where_there_is_only_one_device_is_a_usage_error(device: str):
    with pytest.raises(UsageError, match="there is no device"):
        choose_backend("auto", device)


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads_are_a_usage_error(threads: int, committed: Bundle):
    with pytest.raises(UsageError, match="threads"):
        open_session(committed, options=SessionOptions(threads=threads))


def test_no_engine_at_all_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backends, "installed", lambda: ())
    with pytest.raises(EngineMissing, match="pip install"):
        choose_backend("auto", "cpu")


def test_unknown_names_list_the_choices():
    with pytest.raises(UsageError, match="onnxruntime or openvino"):
        get_backend("tflite")
    with pytest.raises(UsageError, match="cpu, cuda"):
        choose_backend("auto", "quantum")
