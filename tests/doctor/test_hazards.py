"""Each hazard, on a machine that has it and on one that does not."""

import dataclasses

import pytest

from edgecnn.doctor.examination import Examination, ExaminedDevice, PrecisionTrial
from edgecnn.doctor.hazards import hazards
from edgecnn.host.machine import Machine
from edgecnn.host.processor import Processor
from edgecnn.runtime.engines.engine import SessionInfo

XEON = Processor("Intel Xeon", "x86_64", ("SSE4.2", "AVX2", "AVX-512", "VNNI"))
MACHINE = Machine(
    processor=XEON,
    emulator=None,
    system="Linux 6.1",
    python="3.11.7",
    host_cores=8,
    affinity=8,
    quota=None,
    usable_cores=8,
    memory_bytes=2**34,
    physical_memory_bytes=2**34,
)
SESSION = SessionInfo("onnxruntime", "1.32.0", "cpu", "fp32", 8)
CPU = ExaminedDevice("cpu", "a CPU", "fp32", (PrecisionTrial("fp32", SESSION), PrecisionTrial("bf16", refusal="no")))
ENGINE = Examination(
    "onnxruntime",
    version="1.32.0",
    packages=("onnxruntime 1.32.0",),
    devices=(CPU,),
    saturates=(),
    saturates_anyway=(),
)


def names(machine: Machine = MACHINE, engine: Examination = ENGINE, telemetry: str | None = "1") -> list[str]:
    return [hazard.name for hazard in hazards(machine, [engine], telemetry=telemetry)]


def message(machine: Machine = MACHINE, engine: Examination = ENGINE, telemetry: str | None = "1") -> str:
    (hazard,) = hazards(machine, [engine], telemetry=telemetry)
    assert "\n" not in hazard.message
    return hazard.message


def of_machine(**changes: object) -> Machine:
    return dataclasses.replace(MACHINE, **changes)


def of_engine(**changes: object) -> Examination:
    return dataclasses.replace(ENGINE, **changes)


def with_features(*features: str, name: str = "a processor") -> Machine:
    return of_machine(processor=Processor(name, "x86_64", features))


def test_a_suitable_machine_has_no_hazards():
    assert names() == []


def test_warns_about_emulation():
    found = dataclasses.replace(with_features("AVX2"), emulator="qemu-x86_64-static -cpu Haswell")
    assert names(found) == ["emulated"]
    assert "this processor is emulated" in message(found)


@pytest.mark.parametrize("name", ["QEMU Virtual CPU version 2.5+", "Common KVM processor"])
def test_warns_about_a_generic_processor(name: str):
    assert names(with_features("SSE4.2", "VNNI", name=name)) == ["generic-processor"]


@pytest.mark.parametrize("features", [("SSE4.2", "AVX2"), ("SSE4.2", "AVX2", "AVX-512", "BF16"), ("NEON",)])
def test_warns_without_int8_dot_products(features: tuple[str, ...]):
    assert names(with_features(*features)) == ["no-int8-dot-product"]


@pytest.mark.parametrize("feature", ["VNNI", "AVX-VNNI", "AMX-INT8", "dot product", "i8mm"])
def test_accepts_any_int8_dot_product(feature: str):
    assert names(with_features("AVX2", feature)) == []


def test_accepts_unlisted_features():
    assert names(with_features()) == []


def test_warns_about_a_limited_affinity():
    assert "this process can use 2 of 8 cores: edgecnn uses 2 threads" in message(
        of_machine(affinity=2, usable_cores=2)
    )


def test_an_affinity_of_one_core_has_two_hazards():
    assert names(of_machine(affinity=1, usable_cores=1)) == ["affinity", "one-core"]


def test_warns_about_a_single_core():
    assert names(of_machine(host_cores=1, affinity=1, usable_cores=1)) == ["one-core"]


def test_warns_about_a_quota_below_the_host():
    found = of_machine(quota=2.0, usable_cores=2)
    assert names(found) == ["quota"]
    assert "quota is 2 of the host's 8 cores: edgecnn uses 2 threads" in message(found)


def test_warns_about_a_quota_below_one_core():
    found = of_machine(quota=0.5, usable_cores=1)
    assert names(found) == ["quota-below-one-core", "quota", "one-core"]
    assert names(of_machine(quota=0.5, host_cores=1, affinity=1, usable_cores=1)) == [
        "quota-below-one-core",
        "one-core",
    ]


def test_warns_about_a_fractional_quota():
    assert names(of_machine(quota=2.5, usable_cores=2)) == ["fractional-quota", "quota"]


@pytest.mark.parametrize("quota", [8.0, 8.5, 64.0])
def test_accepts_a_quota_above_the_cores(quota: float):
    assert names(of_machine(quota=quota)) == []


def test_accepts_a_quota_above_the_affinity():
    assert names(of_machine(quota=2.5, affinity=2, usable_cores=2)) == ["affinity"]


def test_little_memory_names_the_limit():
    assert "the control group's limit is 512 MiB" in message(of_machine(memory_bytes=2**29))
    assert "the machine has 512 MiB" in message(of_machine(memory_bytes=2**29, physical_memory_bytes=2**29))


@pytest.mark.parametrize("memory", [2**30, None])
def test_accepts_enough_or_unknown_memory(memory: int | None):
    assert names(of_machine(memory_bytes=memory)) == []


def test_saturation_with_exact_int8():
    found = message(engine=of_engine(saturates=("convolution",)))
    assert "saturate on onnxruntime here (convolution), unless exact INT8 mode is on, as in edgecnn" in found


def test_saturation_without_exact_int8():
    found = message(engine=of_engine(saturates=("convolution",), saturates_anyway=("convolution",)))
    assert "has no exact INT8 mode: keep weights within ±64" in found


def test_warns_about_a_default_precision_below_fp32():
    device = dataclasses.replace(CPU, default_precision="bf16")
    assert "onnxruntime on cpu computes FP32 models in bf16 by default" in message(engine=of_engine(devices=(device,)))
    assert names(engine=of_engine(devices=(dataclasses.replace(CPU, default_precision=None),))) == []


def test_warns_about_two_packages_of_one_module():
    found = message(engine=of_engine(packages=("onnxruntime 1.32.0", "onnxruntime-gpu 1.31.0")))
    assert "pip uninstall onnxruntime onnxruntime-gpu" in found


@pytest.mark.parametrize("value", ["0", "", "false", None])
def test_warns_if_telemetry_is_on(value: str | None):
    assert names(telemetry=value) == ["telemetry"]


@pytest.mark.parametrize("version", ["1.28.0", None, "unknown"])
def test_old_onnx_runtime_has_no_telemetry(version: str | None):
    assert names(engine=of_engine(version=version), telemetry="0") == []


def test_other_engines_have_no_telemetry():
    assert names(engine=of_engine(engine="openvino", version="2026.4.1"), telemetry="0") == []


def test_a_missing_engine_has_no_hazards():
    assert names(engine=Examination("openvino", problem="not installed")) == []
