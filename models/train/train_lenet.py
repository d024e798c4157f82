"""Trains models/lenet on MNIST and on drawn digits, and exports it as ONNX.

    python3 train_lenet.py --mnist DIR --drawn DIR --out FILE.onnx [--epochs N] [--seed N]

LeNet-5 (LeCun et al. 1998) with ReLU, max pooling and a padded first layer, as everyone draws it
today: 61,706 weights. Both sources are grey, light on dark, 28x28, so one manifest serves both.
The last tenth of the drawings is never trained on; the MNIST test set is only looked at.
"""

import argparse
import gzip
import json
import math
import os
import time

import numpy
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

MEAN, STD = 0.1307, 0.3081


class LeNet(nn.Module):
    """[N, 1, 28, 28] in, [N, 10] logits out."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(400, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, 10),
        )

    def forward(self, x):
        return self.net(x)


def load_mnist(folder: str, part: str):
    def read(name: str, header: int):
        with gzip.open(os.path.join(folder, name)) as file:
            return numpy.frombuffer(file.read(), numpy.uint8, offset=header)

    images = read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    return torch.from_numpy(images.copy()), torch.from_numpy(
        read(f"{part}-labels-idx1-ubyte.gz", 8).astype(numpy.int64)
    )


def load_drawn(folder: str):
    """Resized as the serving path does: antialiased bilinear, to the whole 28x28."""
    images, labels = [], []
    with open(os.path.join(folder, "labels.json")) as text:
        for file, name in sorted(json.load(text).items(), key=lambda item: item[0][-10:]):
            with Image.open(os.path.join(folder, file)) as image:
                small = image.convert("L").resize((28, 28), Image.BILINEAR)
            images.append(numpy.array(small)[None])
            labels.append(int(name))
    return torch.from_numpy(numpy.stack(images)), torch.tensor(labels)


def normalise(x):
    return (x.float() / 255 - MEAN) / STD


def shift(x, generator):
    """A random rotation, scale and shift of each image: writers differ more than 60,000 show."""
    n = x.shape[0]
    angle = (torch.rand(n, generator=generator) - 0.5) * 0.4
    scale = 1 + (torch.rand(n, generator=generator) - 0.5) * 0.3
    move = (torch.rand(n, 2, generator=generator) - 0.5) * 0.24
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.stack([cos, -sin, move[:, 0], sin, cos, move[:, 1]], 1).view(n, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def accuracy(net, x, y) -> float:
    net.eval()
    with torch.no_grad():
        hits = sum(
            (net(normalise(x[i : i + 500])).argmax(1) == y[i : i + 500]).sum().item()
            for i in range(0, len(x), 500)
        )
    return hits / len(x)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mnist", required=True)
    parser.add_argument("--drawn", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(2)
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    x, y = load_mnist(args.mnist, "train")
    test_x, test_y = load_mnist(args.mnist, "t10k")
    drawn_x, drawn_y = load_drawn(args.drawn)
    cut = len(drawn_x) * 9 // 10
    x, y = torch.cat([x, drawn_x[:cut]]), torch.cat([y, drawn_y[:cut]])

    net = LeNet()
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
    batch = 128
    steps = len(x) // batch
    for epoch in range(args.epochs):
        started = time.time()
        net.train()
        order = torch.randperm(len(x), generator=generator)
        for step in range(steps):
            progress = (epoch * steps + step) / (args.epochs * steps)
            for group in optimiser.param_groups:
                group["lr"] = 2e-3 * 0.5 * (1 + math.cos(math.pi * progress))
            chosen = order[step * batch : (step + 1) * batch]
            logits = net(shift(normalise(x[chosen]), generator))
            loss = F.cross_entropy(logits, y[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        print(
            f"epoch {epoch + 1}/{args.epochs} mnist {accuracy(net, test_x, test_y):.4f} "
            f"drawn {accuracy(net, drawn_x[cut:], drawn_y[cut:]):.4f} "
            f"{time.time() - started:.0f} s",
            flush=True,
        )

    net.eval()
    torch.onnx.export(
        net,
        torch.zeros(1, 1, 28, 28),
        args.out,
        input_names=["input"],
        output_names=["logits"],
        dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}},
        opset_version=13,
    )


if __name__ == "__main__":
    main()
