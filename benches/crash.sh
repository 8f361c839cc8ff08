#!/usr/bin/env bash
# Kills runs at many moments and looks whether anything was lost: the tests of tests/durable.rs with larger numbers, and a
# disk that is full in between (that one needs root, for a small tmpfs, and is told as skipped otherwise).
#
#   benches/crash.sh [ROWS [KILLS]]     default: 2000 rows, 50 kills
set -euo pipefail
cd "$(dirname "$0")/.."
rows=${1:-2000}
kills=${2:-50}

echo "== justify, $rows rows against the model server (30 ms, 5 % faults), killed $kills times"
FLOWRUN_CRASH_ROWS=$rows FLOWRUN_CRASH_KILLS=$kills FLOWRUN_CRASH_LEAST=$kills FLOWRUN_CRASH_PARALLEL=8 \
  cargo test --locked --quiet --test tests -- --exact \
  durable::killed_at_any_moment_it_ends_with_the_same_bytes_and_no_call_is_made_twice

echo "== a SQLite store and a memory store in the flow, killed 20 times"
FLOWRUN_CRASH_STORE_ROWS=1500 FLOWRUN_CRASH_STORE_KILLS=20 \
  cargo test --locked --quiet --test tests -- --exact durable::stores::no_row_is_doubled_and_none_is_lost

echo "== a torn last line, a damaged one, a changed input file"
cargo test --locked --quiet --test tests -- --exact durable::a_torn_line_is_dropped_and_a_damaged_one_is_told \
  durable::a_file_that_was_read_must_be_the_same

echo "== a disk that is full in between"
if [ "$(id -u)" != 0 ]; then
  echo "skipped: mounting a small tmpfs needs root"
  exit 0
fi
cargo build --locked --quiet --bin flowrun
flowrun=$PWD/${CARGO_TARGET_DIR:-target}/debug/flowrun
case ${CARGO_TARGET_DIR:-} in /*) flowrun=$CARGO_TARGET_DIR/debug/flowrun ;; esac
work=$(mktemp -d)
disk=$work/disk
mkdir "$disk"
end() {
  mountpoint -q "$disk" && umount "$disk"
  rm -rf "$work"
}
trap end EXIT
if ! mount -t tmpfs -o size=256k tmpfs "$disk" 2>/dev/null; then
  echo "skipped: a tmpfs cannot be mounted here"
  exit 0
fi
cp -r flows "$work/flows"
cd "$work"
env -u OPENAI_API_KEY -u OPENAI_BASE_URL "$flowrun" flows/justify.yaml -i "rows=$rows" --no-journal --quiet -o whole.jsonl
code=0
env -u OPENAI_API_KEY -u OPENAI_BASE_URL "$flowrun" flows/justify.yaml -i "rows=$rows" --run-dir disk/run -o full.jsonl \
  --quiet 2>said || code=$?
[ "$code" = 1 ] && grep -q 'journal.write' said || { echo "the full disk was not told (exit code $code):"; cat said; exit 1; }
mount -o remount,size=256m "$disk"
"$flowrun" resume disk/run --quiet
cmp whole.jsonl full.jsonl
echo "told with exit code 1; resumed with room, and the same bytes"
