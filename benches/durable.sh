#!/usr/bin/env bash
# What journals cost, and what many rows need: run by hand, on a machine that does nothing else. It builds in release form,
# takes some minutes, and asserts nothing; benches/README.md has the figures of one run.
#
#   benches/durable.sh [PART…]     parts: memory million throughput; default: all
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
[ -n "${NO_BUILD:-}" ] || cargo build --locked --release --quiet -p flowrun -p flowrun-mock-llm --bins
target=$(cd "$target/release" && pwd)
flows=$PWD/flows
work=$(mktemp -d)
server=
end() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap end EXIT
cd "$work"
cp -r "$flows" flows
unset OPENAI_API_KEY OPENAI_BASE_URL

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }'; }

# Runs a command; gives its seconds and its largest resident size in MB, in $took and $peak.
measured() {
  local began pid line
  began=$(now)
  "$@" >out.log 2>&1 &
  pid=$!
  peak=0
  while line=$(grep VmHWM "/proc/$pid/status" 2>/dev/null); do
    line=${line//[!0-9]/}
    [ "$line" -gt "$peak" ] && peak=$line
    sleep 0.05
  done
  wait "$pid" || { cat out.log; exit 1; }
  took=$(since "$began")
  peak=$((peak / 1024))
}

cat >trivial.yaml <<'FLOW'
flow: trivial
inputs: { rows: integer }
steps:
  ids: { type: synthesize, rows: { from: inputs.rows }, columns: { n: { sample: sequence } } }
  each: { type: map, flow: say, over: { row: ids.table }, collect: [said], parallel: 64 }
  export: { type: write_table, with: { table: each.table }, path: out/said.jsonl }
flows:
  say:
    steps:
      say: { type: template, template: "row {{ row.n }}", output: said }
FLOW

# The same, where every second item fails and is skipped.
sed -e 's/row {{ row.n }}/{{ row.n.x.y if row.n % 2 == 1 else row.n }}/' -e 's/parallel: 64/parallel: 64, on_item_error: skip/' \
  trivial.yaml >failing.yaml

# Every step that streams, one after the other; rows that pass a condition are what `sample_rows` has to keep.
cat >chain.yaml <<'FLOW'
flow: chain
inputs: { rows: integer }
steps:
  ids: { type: synthesize, rows: { from: inputs.rows }, columns: { n: { sample: sequence }, share: { sample: uniform, low: 0, high: 1 } } }
  names: { type: synthesize, rows: { from: inputs.rows }, columns: { name: { sample: fake, kind: name } } }
  both: { type: add_columns, with: { table: ids.table, columns: names.table } }
  some: { type: filter_rows, where: "share >= 0", with: { table: both.table } }
  picked: { type: sample_rows, n: { from: inputs.rows }, with: { table: some.table } }
  each: { type: map, flow: say, over: { row: picked.table }, collect: [said], parallel: 64 }
  joined: { type: add_columns, with: { table: picked.table, columns: each.table } }
  export: { type: write_table, with: { table: joined.table }, path: out/said.jsonl }
flows:
  say:
    steps:
      say: { type: template, template: "row {{ row.n }} of {{ row.name }}", output: said }
FLOW

memory() {
  local flow rows
  for flow in trivial failing chain; do
    echo "| items through a subflow, $flow, journal on | seconds | items/s | peak memory |"
    echo "| --- | --- | --- | --- |"
    for rows in 10000 100000 1000000; do
      measured "$target/flowrun" $flow.yaml -i "rows=$rows" --quiet
      echo "| $rows | $took | $(awk -v n="$rows" -v s="$took" 'BEGIN { printf "%d", n / s }') | $peak MB |"
      rm -rf .flowrun out
    done
    echo
  done
}

million() {
  local rows=${ROWS:-1000000} pid lines began
  "$target/flowrun" flows/justify.yaml -i "rows=$rows" --quiet >out.log 2>&1 &
  pid=$!
  sleep "${KILL_AFTER:-40}"
  kill -9 "$pid"
  wait "$pid" 2>/dev/null || true
  local journal
  journal=$(echo .flowrun/runs/*/journal.jsonl)
  lines=$(wc -l <"$journal")
  local size
  size=$(stat -c %s "$journal")
  echo "killed after ${KILL_AFTER:-40} s with $lines lines in the journal, $((size / 1000000)) MB"
  began=$(now)
  "$target/flowrun" resume --quiet >out.log 2>&1 &
  pid=$!
  while [ "$(stat -c %s "$journal")" -le "$size" ]; do sleep 0.02; done
  echo "the first new line came $(since "$began") s after \`flowrun resume\`"
  peak=0
  while line=$(grep VmHWM "/proc/$pid/status" 2>/dev/null); do
    line=${line//[!0-9]/}
    [ "$line" -gt "$peak" ] && peak=$line
    sleep 0.1
  done
  wait "$pid" || { cat out.log; exit 1; }
  echo "$rows rows are finished $(since "$began") s after it; peak memory of the second process $((peak / 1024)) MB"
  wc -l out/*.jsonl | tail -n 1
  rm -rf .flowrun out
}

serve() {
  "$target/mock-llm" --latency "$1" >server.log &
  server=$!
  while ! grep -q http server.log; do sleep 0.05; done
  OPENAI_BASE_URL=$(grep -o 'http[^ ]*' server.log | head -n 1)
  export OPENAI_BASE_URL OPENAI_API_KEY=sk-bench
}

throughput() {
  echo "| justify against a server, rows/s | no journal | journal | --durable |"
  echo "| --- | --- | --- | --- |"
  local setting latency parallel rows how best
  for setting in "50ms 256 6000" "0ms 64 6000"; do
    read -r latency parallel rows <<<"$setting"
    serve "$latency"
    local line="| $latency, $parallel in flight |"
    for how in --no-journal --new "--new --durable"; do
      best=
      for _ in 1 2 3; do
        # shellcheck disable=SC2086
        measured "$target/flowrun" flows/justify.yaml -i "rows=$rows" --parallel "$parallel" --quiet $how
        rm -rf .flowrun out
        if [ -z "$best" ] || awk -v a="$took" -v b="$best" 'BEGIN { exit !(a < b) }'; then best=$took; fi
      done
      line="$line $(awk -v n="$rows" -v s="$best" 'BEGIN { printf "%d", n / s }') |"
    done
    echo "$line"
    kill "$server"
    wait "$server" 2>/dev/null || true
    server=
    unset OPENAI_BASE_URL OPENAI_API_KEY
  done
}

printf '%s cores, load %s\n\n' "$(getconf _NPROCESSORS_ONLN)" "$(cut -d ' ' -f 1-3 /proc/loadavg)"
for part in "${@:-memory million throughput}"; do
  for one in $part; do "$one"; echo; done
done
