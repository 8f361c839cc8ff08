#!/usr/bin/env bash
# Kills runs at many moments and looks whether anything was lost: the tests of tests/crash.rs with larger numbers, and a
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
  crash::killed_at_any_moment_it_ends_with_the_same_bytes_and_no_call_is_made_twice

echo "== a SQLite store and a memory store in the flow, killed 20 times"
FLOWRUN_CRASH_STORE_ROWS=1500 FLOWRUN_CRASH_STORE_KILLS=20 \
  cargo test --locked --quiet --test tests -- --exact crash::stores::no_row_is_doubled_and_none_is_lost

echo "== a torn last line, a damaged one, changed input files, two processes, a newer format, a folder half deleted"
cargo test --locked --quiet --test tests -- --exact crash::a_torn_line_is_dropped_and_a_damaged_one_is_told \
  crash::a_file_that_was_read_must_be_the_same crash::a_file_that_was_given_must_be_the_same_or_be_accepted \
  crash::a_file_whose_name_a_step_gives_must_be_the_same_or_be_accepted crash::one_process_holds_a_run \
  crash::what_is_missing_or_newer_is_told

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
