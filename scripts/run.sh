#!/usr/bin/env bash
# Runs one of the project's commands from a checkout: sets up first, keeps stdout for the result.
# Usage: scripts/run.sh demo|sim|mutants|fuzz|drill|bench|coverage [arguments]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/scripts/setup.sh"
what=$1
shift
case "$what" in
  demo) entry=dist/demo/main.js ;;
  sim) entry=dist/src/sim/main.js ;;
  mutants) entry=dist/mutants/main.js ;;
  fuzz) entry=dist/fuzz/main.js ;;
  drill) entry=dist/drills/main.js ;;
  bench) entry=dist/bench/main.js ;;
  coverage) entry=scripts/coverage.js ;;
  *) echo "run.sh: unknown command \"$what\": use demo, sim, mutants, fuzz, drill, bench or coverage" >&2; exit 2 ;;
esac
# Before node starts: the size of libuv's pool is read once. 8 threads serve files, the rest LevelDB.
export UV_THREADPOOL_SIZE=16
exec node "$root/$entry" "$@"
