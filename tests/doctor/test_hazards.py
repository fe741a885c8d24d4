"""Hazards one by one, each on the machine that has it and not on the one that has not."""

import dataclasses

import pytest

from edgecnn.doctor.examination import Examination, ExaminedDevice, Trial
from edgecnn.doctor.hazards import hazards
from edgecnn.host.machine import Machine
from edgecnn.host.processor import Processor
from edgecnn.runtime.engines.backend import SessionInfo

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
CPU = ExaminedDevice("cpu", "a CPU", "fp32", (Trial("fp32", SESSION), Trial("bf16", refusal="no")))
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


def test_a_machine_with_all_that_it_needs_has_none():
    assert names() == []


def test_an_emulated_processor_is_told_and_its_features_are_not_believed():
    found = dataclasses.replace(with_features("AVX2"), emulator="qemu-x86_64-static -cpu Haswell")
    assert names(found) == ["emulated"]
    assert "this processor is emulated" in message(found)


@pytest.mark.parametrize("name", ["QEMU Virtual CPU version 2.5+", "Common KVM processor"])
def test_a_processor_that_the_hypervisor_hides_is_told(name: str):
    assert names(with_features("SSE4.2", "VNNI", name=name)) == ["generic-processor"]


@pytest.mark.parametrize("features", [("SSE4.2", "AVX2"), ("SSE4.2", "AVX2", "AVX-512", "BF16"), ("NEON",)])
def test_a_processor_without_int8_dot_products_gains_less(features: tuple[str, ...]):
    assert names(with_features(*features)) == ["no-int8-dot-product"]


@pytest.mark.parametrize("feature", ["VNNI", "AVX-VNNI", "AMX-INT8", "dot product", "i8mm"])
def test_a_processor_with_int8_dot_products_does_not(feature: str):
    assert names(with_features("AVX2", feature)) == []


def test_features_that_the_system_does_not_list_are_not_missing():
    assert names(with_features()) == []


def test_an_affinity_to_fewer_cores_is_told():
    assert "this process may use 2 of 8 cores: edgecnn takes 2 threads" in message(
        of_machine(affinity=2, usable_cores=2)
    )


def test_an_affinity_to_one_core_leaves_one_core():
    assert names(of_machine(affinity=1, usable_cores=1)) == ["affinity", "one-core"]


def test_a_machine_of_one_core_is_only_that():
    assert names(of_machine(host_cores=1, affinity=1, usable_cores=1)) == ["one-core"]


def test_a_whole_quota_below_the_host_is_told():
    found = of_machine(quota=2.0, usable_cores=2)
    assert names(found) == ["quota"]
    assert "may use 2 of the host's 8 cores: edgecnn takes 2 threads" in message(found)


def test_a_quota_below_one_core_makes_latency_uneven():
    found = of_machine(quota=0.5, usable_cores=1)
    assert names(found) == ["quota-below-one-core", "quota", "one-core"]
    assert names(of_machine(quota=0.5, host_cores=1, affinity=1, usable_cores=1)) == [
        "quota-below-one-core",
        "one-core",
    ]


def test_a_fractional_quota_leaves_its_fraction_unused():
    assert names(of_machine(quota=2.5, usable_cores=2)) == ["fractional-quota", "quota"]


@pytest.mark.parametrize("quota", [8.0, 8.5, 64.0])
def test_a_quota_that_does_not_bind_is_none(quota: float):
    assert names(of_machine(quota=quota)) == []


def test_a_quota_above_the_affinity_does_not_bind():
    assert names(of_machine(quota=2.5, affinity=2, usable_cores=2)) == ["affinity"]


def test_little_memory_says_whose_limit_it_is():
    assert "the control group may use 512 MiB" in message(of_machine(memory_bytes=2**29))
    assert "the machine has 512 MiB" in message(of_machine(memory_bytes=2**29, physical_memory_bytes=2**29))


@pytest.mark.parametrize("memory", [2**30, None])
def test_enough_memory_or_an_unknown_amount_is_none(memory: int | None):
    assert names(of_machine(memory_bytes=memory)) == []


def test_saturation_that_the_engine_can_be_told_to_avoid_is_handled():
    found = message(engine=of_engine(saturates=("convolution",)))
    assert "saturate on onnxruntime here (convolution), unless it is told to sum exactly, as edgecnn tells it" in found


def test_saturation_without_a_cure_says_to_keep_weights_small():
    found = message(engine=of_engine(saturates=("convolution",), saturates_anyway=("convolution",)))
    assert "cannot be told to sum exactly: keep weights within ±64" in found


def test_a_default_precision_that_is_not_fp32_is_told_for_its_device():
    device = dataclasses.replace(CPU, default_precision="bf16")
    assert "onnxruntime on cpu computes FP32 models in bf16 here" in message(engine=of_engine(devices=(device,)))
    assert names(engine=of_engine(devices=(dataclasses.replace(CPU, default_precision=None),))) == []


def test_two_packages_of_one_module_are_told():
    found = message(engine=of_engine(packages=("onnxruntime 1.32.0", "onnxruntime-gpu 1.31.0")))
    assert "pip uninstall onnxruntime onnxruntime-gpu" in found


@pytest.mark.parametrize("value", ["0", "", "false", None])
def test_telemetry_that_the_user_left_on_is_told(value: str | None):
    assert names(telemetry=value) == ["telemetry"]


@pytest.mark.parametrize("version", ["1.28.0", None, "unknown"])
def test_an_onnx_runtime_before_its_telemetry_has_none(version: str | None):
    assert names(engine=of_engine(version=version), telemetry="0") == []


def test_other_engines_have_no_telemetry():
    assert names(engine=of_engine(engine="openvino", version="2026.4.1"), telemetry="0") == []


def test_an_engine_that_is_not_there_has_no_hazards():
    assert names(engine=Examination("openvino", problem="not installed")) == []
