#!/usr/bin/env bash
# Draws the training sets, trains both models and exports them: bash models/train/run.sh OUT_DIR
set -euo pipefail
out=${1:?usage: run.sh OUT_DIR}
data=${IDUNNO_TEST_DATA:?set IDUNNO_TEST_DATA to the folder with mnist/ and flowers/}
here=$(cd "$(dirname "$0")" && pwd)
draw=$here/../../dist/demo/draw/main.js
python=${PYTHON:-/usr/bin/python3}
mkdir -p "$out"

node "$draw" "$out/digits" digits 20000 1001
node "$draw" "$out/flowers" flowers 5000 2001

"$python" "$here/train_lenet.py" --mnist "$data/mnist" --drawn "$out/digits" \
  --out "$out/lenet.onnx" --epochs 12 --seed 1

# Stage 1: photographs alone at a flat rate. Stage 2: both, cosine to zero.
"$python" "$here/train_resnet.py" --photos "$data/flowers" --out "$out/resnet-1.pt" \
  --schedule flat --lr 0.08 --epochs 43 --seed 1
"$python" "$here/train_resnet.py" --photos "$data/flowers" --drawn "$out/flowers" \
  --init "$out/resnet-1.pt" --out "$out/resnet-2.pt" \
  --schedule cosine --lr 0.08 --epochs 36 --seed 2
"$python" "$here/export_resnet.py" "$out/resnet-2.pt" "$out/resnet.onnx"
