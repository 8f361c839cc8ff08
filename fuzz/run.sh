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
for file in flows/*.yaml flows/tour/*.yaml tests/conformance/*.yaml tests/bad_input/*.yaml tests/wrong/*/*.yaml; do
  cp "$file" "fuzz/corpus/flow_file/$(basename "$(dirname "$file")")-$(basename "$file")"
done
cp tests/agentspec/*.yaml tests/agentspec/*.json fuzz/corpus/agentspec/
for file in flows/prompts/*.md; do
  [ -e "$file" ] && cp "$file" fuzz/corpus/template_variables/
done
# The target takes a schema and a value, and reads the length of the first from the last byte.
n=0
for type in integer number string boolean null decimal date timestamp duration path; do
  for value in 3 -1 6.0 1e400 '"a"' '"12.50"' '"2024-01-01"' '"PT1H"' null true '[1]' '{"a":1}' 9223372036854775808; do
    one="{\"type\":\"$type\"}"
    for schema in "$one" "{\"type\":\"array\",\"items\":$one}" "{\"type\":\"object\",\"properties\":{\"a\":$one}}" \
      "{\"anyOf\":[$one,{\"type\":\"null\"}]}" "{\"x-flowrun-type\":\"$type\"}"; do
      printf '%s%s%b' "$schema" "$value" "\\x$(printf %x "${#schema}")" > "fuzz/corpus/cast/pair-$((n += 1))"
    done
  done
done
for target in flow_file template_variables cast agentspec; do
  echo "== $target"
  # Nothing here is unsafe, so what is looked for are panics, and a sanitizer would only make it slow.
  cargo +nightly fuzz run --sanitizer none "$target" -- -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=4096 -timeout=20
done
