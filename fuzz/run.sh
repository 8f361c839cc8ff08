#!/usr/bin/env bash
# Fuzzes every target for so many seconds (60 where nothing is said), beginning with the flows and cases of the repository.
# What is found becomes a test. Needs a nightly compiler and cargo-fuzz; says so where they are not there.
#
#   fuzz/run.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="${1:-60}"
if ! cargo +nightly --version >/dev/null 2>&1 || ! cargo fuzz --version >/dev/null 2>&1; then
  echo "skipped: fuzzing needs a nightly compiler and cargo-fuzz (cargo install cargo-fuzz)"
  exit 0
fi
mkdir -p fuzz/corpus/flow_file fuzz/corpus/template_variables fuzz/corpus/cast fuzz/corpus/agentspec
for file in flows/*.yaml flows/tour/*.yaml tests/conformance/*.yaml tests/bad_input/*.yaml; do
  cp "$file" "fuzz/corpus/flow_file/$(basename "$(dirname "$file")")-$(basename "$file")"
done
cp tests/agentspec/*.yaml tests/agentspec/*.json fuzz/corpus/agentspec/
for file in flows/prompts/*.md; do
  [ -e "$file" ] && cp "$file" fuzz/corpus/template_variables/
done
for target in flow_file template_variables cast agentspec; do
  echo "== $target"
  cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=4096 -timeout=20
done
