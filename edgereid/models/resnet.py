"""The ResNet-50 that two of the papers build on: torchvision's, by torchvision's names, so that its
ImageNet weights load unchanged (He et al., CVPR 2016; stride on the 3x3 convolution)."""

from __future__ import annotations

from typing import Any


def backbone(last_stride: int = 2) -> Any:
    """torchvision's ResNet-50 without weights. With ``last_stride`` 1 ``layer4`` keeps the size:
    convolution and shortcut lose their stride, nothing is dilated."""
    from torchvision.models import resnet50  # seconds to import: only where it is built

    network = resnet50(weights=None)
    if last_stride == 1:
        first = network.layer4[0]
        first.conv2.stride = (1, 1)
        first.downsample[0].stride = (1, 1)
    return network
