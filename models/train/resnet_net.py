"""The residual network of models/resnet, alone, so that training and export share it.

A small ResNet in the sense of He et al. 2015, sections 3.2 to 3.4, with three later habits:
average pooling before the 1x1 shortcut of a stride-2 block (He et al. 2018, "ResNet-D"), a
squeeze-and-excitation gate at the end of each block (Hu et al. 2017), and the last batch
normalisation of each block starting at zero, so that a fresh network begins as an identity.

It knows nothing of files, data or training.
"""

import torch
from torch import nn

SIZE = 96
LABELS = ["daisy", "dandelion", "roses", "sunflowers", "tulips"]
# Of the training photographs; written into model.yaml too.
MEAN = [0.46, 0.42, 0.30]
STD = [0.29, 0.26, 0.29]


class Gate(nn.Module):
    """Squeeze-and-excitation: one factor per channel from the channel's mean."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(8, channels // 8)
        self.net = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return x * self.net(x)


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
            Gate(outputs),
        )
        nn.init.zeros_(self.body[4].weight)
        self.skip = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(
                nn.AvgPool2d(2) if stride == 2 else nn.Identity(),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.body(x) + self.skip(x))


class ResNet(nn.Module):
    """[N, 3, 96, 96] normalised RGB in, [N, 5] logits out."""

    def __init__(self, widths=(32, 64, 128), blocks=(2, 2, 2), classes=len(LABELS)):
        super().__init__()
        layers = [
            nn.Conv2d(3, widths[0], 7, 2, 3, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        ]
        inputs = widths[0]
        for stage, (width, count) in enumerate(zip(widths, blocks)):
            for index in range(count):
                layers.append(Block(inputs, width, 2 if stage > 0 and index == 0 else 1))
                inputs = width
        self.features = nn.Sequential(*layers)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.features(x).mean((2, 3))
        return self.head(self.drop(x))
