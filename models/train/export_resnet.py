"""Writes the moving average of a checkpoint as ONNX: python3 export_resnet.py CHECKPOINT FILE.onnx"""

import sys

import torch

from resnet_net import SIZE, ResNet


def main(checkpoint: str, out: str) -> None:
    net = ResNet()
    net.load_state_dict(torch.load(checkpoint)["ema"])
    net.eval()
    torch.onnx.export(
        net,
        torch.zeros(1, 3, SIZE, SIZE),
        out,
        input_names=["input"],
        output_names=["logits"],
        dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}},
        opset_version=13,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
