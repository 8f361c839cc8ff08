#!/usr/bin/env bash
# Runs the benches and prints one table: what, target, measured, met or not. Nothing but cargo is needed, and no network
# once the dependencies are there.
#
#   benches/run.sh                   all of them, some four minutes of measuring
#   benches/run.sh endpoint          only the named ones; `endpoint` is justify's map beside a bare HTTP client
#   benches/run.sh --json FILE …     where the bare numbers go; without it target/bench-numbers/numbers.json
#
# On a quiet machine: the load that the machine has before anything is measured is printed with the table.
set -euo pipefail
cd "$(dirname "$0")/.."

numbers="${CARGO_TARGET_DIR:-target}/bench-numbers"
json="$numbers/numbers.json"
if [ "${1:-}" = --json ]; then
  json="${2:?--json wants a file}"
  shift 2
fi
benches=("$@")
if [ ${#benches[@]} -eq 0 ]; then
  benches=(engine synthesize endpoint command host tools agentspec)
fi
mkdir -p "$numbers"
rm -f "$numbers"/*.md "$numbers"/*.jsonl

# All of it first, so that nothing is compiled while something is measured.
cargo bench --locked --no-run "${benches[@]/#/--bench=}"
# What the compiler left behind is no load of somebody else's.
sleep 60
load="$(uptime | sed 's/.*load average[s]*: *//')"
for bench in "${benches[@]}"; do
  cargo bench --locked --bench "$bench"
done

printf '\n%s cores, load before the first bench (1, 5 and 15 minutes): %s\n\n' "$(getconf _NPROCESSORS_ONLN)" "$load"
printf '| what | target | measured | |\n| --- | --- | --- | --- |\n'
cat "$numbers"/*.md
printf '[\n%s\n]\n' "$(cat "$numbers"/*.jsonl | sed '$!s/$/,/')" >"$json"
printf '\nThe numbers: %s\n' "$json"
