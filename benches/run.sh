#!/usr/bin/env bash
# Runs all benches and prints one table: what, target, measured, met or not. Nothing but cargo is needed, and no network
# once the dependencies are there. The numbers alone, for later comparison: target/bench-numbers/numbers.json
# (or the file that is named as the first argument).
set -euo pipefail
cd "$(dirname "$0")/.."

numbers="${CARGO_TARGET_DIR:-target}/bench-numbers"
json="${1:-$numbers/numbers.json}"
mkdir -p "$numbers"
rm -f "$numbers"/*.md "$numbers"/*.jsonl

benches=(engine synthesize endpoint command tools)
# All of it first, so that nothing is compiled while something is measured.
cargo bench --locked --no-run "${benches[@]/#/--bench=}"
for bench in "${benches[@]}"; do
  cargo bench --locked --bench "$bench"
done

printf '\n%s cores\n\n' "$(getconf _NPROCESSORS_ONLN)"
printf '| what | target | measured | |\n| --- | --- | --- | --- |\n'
cat "$numbers"/*.md
printf '[\n%s\n]\n' "$(cat "$numbers"/*.jsonl | sed '$!s/$/,/')" >"$json"
printf '\nThe numbers: %s\n' "$json"
