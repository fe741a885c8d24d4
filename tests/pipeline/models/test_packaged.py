"""Networks of torchvision and timm by name: numbers of classes and channels, image sizes, and refused names."""

import pytest
import timm
import torch
from PIL import Image
from torchvision import models

from edgecnn.bundle.manifest import Network
from edgecnn.errors import EdgecnnError, UsageError
from edgecnn.pipeline.models.outputs import count_outputs
from edgecnn.pipeline.models.packaged import names, packaged
from edgecnn.pipeline.models.registry import architectures, build, get_architecture
from edgecnn.pipeline.transforms import torchvision_transform

FAMILIES = (
    *("mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "regnet_x_400mf", "squeezenet1_1", "shufflenet_v2_x0_5"),
    *("densenet121", "mnasnet0_5", "convnext_tiny", "googlenet", "vit_b_32", "swin_t", "resnext50_32x4d"),
)


@pytest.mark.parametrize("name", FAMILIES)
def test_builds_torchvision_networks_without_memory(name: str):
    size = (96, 96) if name == "vit_b_32" else (64, 96)
    network = Network(f"torchvision:{name}", 7, 4, size)
    with torch.device("meta"):
        module = build(network)
    assert all(each.is_meta for each in module.parameters())
    assert count_outputs(module, network) == 7


@pytest.mark.slow
@pytest.mark.parametrize("name", names("torchvision"))
def test_has_torchvision_keys(name: str):
    known = get_architecture(f"torchvision:{name}")
    aux = {"aux_logits": False, "init_weights": False} if known.optional_keys else {}
    if name.startswith("vit_"):
        aux = {"image_size": known.image_size}
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        theirs = models.get_model(name, weights=None, **aux).state_dict()
    with torch.device("meta"):
        ours = build(known.usual())
    assert {key: value.shape for key, value in ours.state_dict().items()} == {
        key: value.shape for key, value in theirs.items()
    }
    assert count_outputs(ours, known.usual()) == 1000


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet10t", (160, 192)), ("vit_tiny_patch16_224", (160, 160)), ("mobilenetv3_small_050.lamb_in1k", (64, 64))],
)
def test_builds_timm_networks(name: str, size: tuple[int, int]):
    network = Network(f"timm:{name}", 6, 1, size)
    with torch.device("meta"):
        assert count_outputs(build(network), network) == 6


@pytest.mark.parametrize(
    "name", ["resnet18.a1_in1k", "vit_base_patch16_siglip_224", "convnext_atto", "mobilenetv3_small_050"]
)
def test_timm_preprocessing_equals_its_transform(name: str):
    config = timm.data.resolve_data_config({}, pretrained_cfg=timm.models.get_pretrained_cfg(name).to_dict())
    theirs = timm.data.create_transform(**config)
    stated = packaged(f"timm:{name}").stated
    assert stated is not None
    ours = torchvision_transform(stated(config["input_size"][1:]))
    picture = Image.effect_mandelbrot((301, 267), (-2, -1, 1, 1), 30).convert("RGB")
    torch.testing.assert_close(ours(picture), theirs(picture))


def test_knows_source_and_version():
    first, second = packaged("torchvision:resnet18"), packaged("torchvision:vgg11")
    assert first.source_digest != second.source_digest
    assert (first.kind, first.image_size) == ("module", 224)
    assert packaged("torchvision:inception_v3").image_size == 299
    get_architecture("torchvision:resnet18")
    assert "torchvision:resnet18" not in [each.name for each in architectures()]


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("torchvision:mobilenetv3_large", r"no classifier .*\(did you mean mobilenet_v3_large\?\)"),
        ("torchvision:fcn_resnet50", "no classifier"),
        ("torchvision:quantized_resnet18", "no classifier"),
        ("torchvision:", "no classifier"),
        ("timm:resnet18.foo", "has no weights 'foo': choose .*a1_in1k"),
        ("timm:hf-hub:timm/resnet18", "downloads nothing"),
        ("timm:local-dir:/tmp", "downloads nothing"),
        ("timm:nothing", "no classifier"),
    ],
)
def test_refuses_other_names(name: str, named: str):
    with pytest.raises(UsageError, match=named):
        get_architecture(name)


def test_refuses_an_image_size_that_the_network_does_not_take():
    with pytest.raises(UsageError, match="square"):
        build(Network("torchvision:vit_b_32", 5, 3, (96, 64)))
    with pytest.raises(EdgecnnError, match="torchvision:vit_b_32 cannot be built for images of 50 × 50"):
        build(Network("torchvision:vit_b_32", 5, 3, (50, 50)))
