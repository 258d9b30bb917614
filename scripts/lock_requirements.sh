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
compile requirements-aws.txt --extra aws
compile requirements-dev.txt --extra aws --group dev

# What a group alone needs, for CPython 3.13 and in the versions that another output pins already.
compile_group() { # compile_group GROUP CONSTRAINTS OUTPUT ARGUMENT...
  local group=$1 constraints=$2 output=$3
  shift 3
  uv pip compile --group "$group" --constraints "$constraints" "$@" --quiet --python-version 3.13 \
    --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file "$output"
}

# Wheels only, and no markers: pip would judge those by the machine that builds, not by Lambda's.
compile_group lambda requirements.txt requirements-lambda.txt \
  --python-platform x86_64-manylinux_2_28 --only-binary :all:
compile_group lambda-runtime requirements-dev.txt src/shopstream/lambdas/runtime-requirements.txt --universal

# checkov pins so much that it stands alone; its version is said here.
echo checkov==3.3.30 | uv pip compile - --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file requirements-checkov.txt
