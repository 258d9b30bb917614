#!/usr/bin/env bash
# Pins every dependency with its hashes, for all platforms at once, and without any download address.
# Run it after a change of the dependencies in pyproject.toml. It needs uv (`pip install uv`).
set -euo pipefail
cd "$(dirname "$0")/.."

compile() { # compile OUTPUT ARGUMENT...
  local output=$1
  shift
  uv pip compile pyproject.toml "$@" --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file "$output"
}

compile requirements.txt --group build
compile requirements-dev.txt --extra aws --group dev
