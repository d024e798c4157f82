#!/usr/bin/env bash
# Makes this checkout ready to run: packages, node-canvas, compiled code. Safe to run again at any
# time; takes well under a second when nothing is to do. Everything it says goes to stderr, so that
# commands that call it keep a clean stdout.
#
# What it may add to the machine, and only when node-canvas can be neither downloaded nor built
# without them: Debian's cairo, pango, jpeg, gif and rsvg headers, a C++ compiler, make, python3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec 1>&2

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*"; exit 1; }

readonly SYSTEM_PACKAGES=(
  build-essential pkg-config python3
  libcairo2-dev libpango1.0-dev libjpeg-dev libgif-dev librsvg2-dev
)

command -v node >/dev/null || die 'Node.js is missing: install Node 20 or newer (https://nodejs.org), then run this again'
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || die "Node.js $(node -v) is too old: IDunno needs 20 or newer"

# The CPU build of onnxruntime is inside its package; its install script would fetch CUDA libraries.
export ONNXRUNTIME_NODE_INSTALL="${ONNXRUNTIME_NODE_INSTALL:-skip}"

# Node's own headers, where they came with it, spare a download when node-canvas is built.
prefix="$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")"
if [ -e "$prefix/include/node/node_version.h" ]; then
  export npm_config_nodedir="${npm_config_nodedir:-$prefix}"
fi

canvas_loads() { node -e 'require("canvas").createCanvas(1, 1)' >/dev/null 2>&1; }

install_packages() {
  say 'installing packages (npm ci)'
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
}

install_system_packages() {
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      sudo=(sudo -n)
    else
      die "node-canvas has no prebuilt binary here and cannot be built. As root: apt-get install -y ${SYSTEM_PACKAGES[*]}; then run this again"
    fi
  fi
  command -v apt-get >/dev/null || die "node-canvas cannot be built: install what https://github.com/Automattic/node-canvas#compiling lists for this system, then run this again"
  say "installing system libraries for node-canvas: ${SYSTEM_PACKAGES[*]}"
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${SYSTEM_PACKAGES[@]}" >/dev/null
}

# A prebuilt binary when it can be downloaded, else a build from source (about 20 s).
install_canvas() {
  canvas_loads && return 0
  say 'installing node-canvas (prebuilt, or built from source)'
  local log; log=$(mktemp)
  npm rebuild canvas --foreground-scripts >"$log" 2>&1 && canvas_loads && { rm -f "$log"; return 0; }
  install_system_packages
  say 'building node-canvas'
  if ! npm rebuild canvas --foreground-scripts >"$log" 2>&1 || ! canvas_loads; then
    tail -n 30 "$log"
    die 'node-canvas could not be built; the lines above say why'
  fi
  rm -f "$log"
}

packages_stamp() {
  { cat package-lock.json; node -v; uname -sm; } | sha256sum | cut -d' ' -f1
}

build() {
  say 'compiling (tsc)'
  npx --no-install tsc -p . || die 'the compiler found errors, see above'
  # Deleted sources must not live on as compiled tests.
  node scripts/prune-dist.js
  touch dist/.built
}

needs_build() {
  [ -e dist/.built ] || return 0
  [ -n "$(find src test demo drills bench tsconfig.json package-lock.json scripts/prune-dist.js \
    -newer dist/.built \( -name '*.ts' -o -name '*.json' -o -name '*.js' -o -type d \) -print -quit 2>/dev/null)" ]
}

stamp_file=node_modules/.idunno-setup
if [ "$(cat "$stamp_file" 2>/dev/null || true)" != "$(packages_stamp)" ]; then
  install_packages
  install_canvas
  packages_stamp >"$stamp_file"
fi
if needs_build; then build; fi
