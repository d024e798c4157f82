"""Trains models/resnet on photographs of five flowers and on drawings of the same five.

    python3 train_resnet.py --photos DIR [--drawn DIR] --out FILE [--init FILE]
                            [--epochs N] [--schedule flat|cosine] [--lr F] [--seed N]

DIR of photographs holds train/LABEL/*.jpg and val/LABEL/*.jpg; DIR of drawings holds labels.json
and the files it names (written by demo/draw/main.ts). The run is meant in two stages: a flat rate
on photographs alone, then cosine to zero on both. Each epoch writes OUT (weights, their moving
average, optimiser) so that a stopped run loses one epoch at most. Nothing is chosen by the
validation photographs but when a person looks at the printed figure: the exported weights are
those of the last epoch.
"""

import argparse
import json
import math
import os
import random
import sys
import time

import numpy
import torch
import torch.nn.functional as F
from PIL import Image

from resnet_net import LABELS, MEAN, SIZE, STD, ResNet


def load_photos(folder: str):
    """All photographs of a folder as uint8 CHW tensors, shorter side as on disk."""
    images, labels = [], []
    for label, name in enumerate(LABELS):
        for file in sorted(os.listdir(os.path.join(folder, name))):
            with Image.open(os.path.join(folder, name, file)) as image:
                array = numpy.array(image.convert("RGB"))
            images.append(torch.from_numpy(array).permute(2, 0, 1).contiguous())
            labels.append(label)
    return images, torch.tensor(labels)


def load_drawn(folder: str):
    images, labels = [], []
    with open(os.path.join(folder, "labels.json")) as text:
        for file, name in sorted(json.load(text).items()):
            with Image.open(os.path.join(folder, file)) as image:
                array = numpy.array(image.convert("RGB"))
            images.append(torch.from_numpy(array).permute(2, 0, 1).contiguous())
            labels.append(LABELS.index(name))
    return images, torch.tensor(labels)


def shorter_side_crop(image, resized: int):
    """What the serving path does: shorter side to `resized`, centre crop of SIZE."""
    _, height, width = image.shape
    scale = resized / min(height, width)
    shape = (max(SIZE, round(height * scale)), max(SIZE, round(width * scale)))
    out = F.interpolate(image[None].float(), shape, mode="bilinear", antialias=True)[0]
    top, left = (shape[0] - SIZE) // 2, (shape[1] - SIZE) // 2
    return out[:, top : top + SIZE, left : left + SIZE]


def random_crop(image, rng: random.Random):
    """A random rectangle of 30 to 100 percent of the area, resized to SIZE, maybe mirrored."""
    _, height, width = image.shape
    for _ in range(10):
        area = height * width * rng.uniform(0.3, 1.0)
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if w <= width and h <= height:
            break
    else:
        w = h = min(width, height)
    top, left = rng.randint(0, height - h), rng.randint(0, width - w)
    crop = image[:, top : top + h, left : left + w][None].float()
    out = F.interpolate(crop, (SIZE, SIZE), mode="bilinear", antialias=True)[0]
    return out.flip(2) if rng.random() < 0.5 else out


def jitter(x, generator):
    """Rotation, brightness, contrast, saturation and a grey patch, on a batch of 0..255."""
    n = x.shape[0]

    def uniform(low, high):
        return torch.rand(n, generator=generator) * (high - low) + low

    angle = uniform(-0.35, 0.35) * (uniform(0, 1) < 0.5)
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros(n)
    theta = torch.stack([cos, -sin, zero, sin, cos, zero], 1).view(n, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)

    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * uniform(0.6, 1.4).view(n, 1, 1, 1)
    middle = x.mean((1, 2, 3), keepdim=True)
    x = middle + (x - middle) * uniform(0.7, 1.3).view(n, 1, 1, 1)
    x = x * uniform(0.7, 1.3).view(n, 1, 1, 1)
    x = x * (torch.rand(n, 3, 1, 1, generator=generator) * 0.2 + 0.9)
    x = x.clamp(0, 255)
    for i in torch.nonzero(uniform(0, 1) < 0.25)[:, 0].tolist():
        h, w = torch.randint(12, 40, (2,), generator=generator).tolist()
        top, left = torch.randint(0, SIZE - 12, (2,), generator=generator).tolist()
        x[i, :, top : top + h, left : left + w] = 127
    return x


def normalise(x):
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    return ((x / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def accuracy(net, x, y) -> float:
    net.eval()
    with torch.no_grad():
        hits = sum(
            (net(normalise(x[i : i + 64])).argmax(1) == y[i : i + 64]).sum().item()
            for i in range(0, len(x), 64)
        )
    return hits / len(x)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", required=True)
    parser.add_argument("--drawn")
    parser.add_argument("--drawn-share", type=float, default=0.3)
    parser.add_argument("--init")
    parser.add_argument("--out", required=True)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--schedule", choices=["flat", "cosine"], default="cosine")
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(2)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    generator = torch.Generator().manual_seed(args.seed)

    images, labels = load_photos(os.path.join(args.photos, "train"))
    val_images, val_labels = load_photos(os.path.join(args.photos, "val"))
    val = torch.stack([shorter_side_crop(image, SIZE) for image in val_images])
    drawn, drawn_labels = load_drawn(args.drawn) if args.drawn else ([], torch.tensor([]))
    drawn_val, drawn_val_labels = None, None
    if args.drawn:
        # The last tenth of the drawings is never trained on.
        cut = len(drawn) * 9 // 10
        order = list(range(len(drawn)))
        random.Random(0).shuffle(order)
        held = order[cut:]
        drawn_val = torch.stack([shorter_side_crop(drawn[i], SIZE) for i in held])
        drawn_val_labels = drawn_labels[held]
        drawn = [drawn[i] for i in order[:cut]]
        drawn_labels = drawn_labels[order[:cut]]

    net = ResNet().to(memory_format=torch.channels_last)
    ema = ResNet()
    if args.init:
        saved = torch.load(args.init)
        net.load_state_dict(saved["net"])
        ema.load_state_dict(saved["ema"])
    else:
        ema.load_state_dict(net.state_dict())
    decay = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    optimiser = torch.optim.SGD(
        [{"params": decay, "weight_decay": 5e-4}, {"params": plain, "weight_decay": 0}],
        lr=args.lr,
        momentum=0.9,
        nesterov=True,
    )

    drawn_per_epoch = int(len(images) * args.drawn_share / (1 - args.drawn_share)) if drawn else 0
    drawn_per_epoch = min(drawn_per_epoch, len(drawn))
    batch = 64
    steps = (len(images) + drawn_per_epoch) // batch
    step = 0
    warm = 0 if args.init else 3 * steps
    for epoch in range(args.epochs):
        started = time.time()
        net.train()
        items = [(images, labels, i) for i in range(len(images))]
        if drawn_per_epoch:
            items += [(drawn, drawn_labels, i) for i in rng.sample(range(len(drawn)), drawn_per_epoch)]
        rng.shuffle(items)
        total = 0.0
        for b in range(steps):
            chosen = items[b * batch : (b + 1) * batch]
            x = jitter(torch.stack([random_crop(s[i], rng) for s, _, i in chosen]), generator)
            y = F.one_hot(torch.tensor([int(t[i]) for _, t, i in chosen]), len(LABELS)).float()
            if rng.random() < 0.5:
                weight = rng.betavariate(0.4, 0.4)
                other = torch.randperm(batch, generator=generator)
                x = weight * x + (1 - weight) * x[other]
                y = weight * y + (1 - weight) * y[other]
            progress = max(0, step - warm) / max(1, args.epochs * steps - warm)
            rate = args.lr * min(1, (step + 1) / max(1, warm))
            if args.schedule == "cosine":
                rate *= 0.5 * (1 + math.cos(math.pi * progress))
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss = F.cross_entropy(net(normalise(x)), y, label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item()
            step += 1
            keep = min(0.995, (1 + step) / (10 + step)) if not args.init else 0.995
            with torch.no_grad():
                for slow, fast in zip(ema.state_dict().values(), net.state_dict().values()):
                    if slow.dtype.is_floating_point:
                        slow.mul_(keep).add_(fast, alpha=1 - keep)
                    else:
                        slow.copy_(fast)
        temporary = args.out + ".tmp"
        torch.save({"net": net.state_dict(), "ema": ema.state_dict(), "epoch": epoch + 1}, temporary)
        os.replace(temporary, args.out)
        line = f"epoch {epoch + 1}/{args.epochs} loss {total / steps:.3f} rate {rate:.4f}"
        line += f" photos {accuracy(ema, val, val_labels):.4f}"
        if drawn_val is not None:
            line += f" drawn {accuracy(ema, drawn_val, drawn_val_labels):.4f}"
        print(line + f" {time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
