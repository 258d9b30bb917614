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

# What a group alone needs, for one CPython and in the versions that another output pins already.
compile_group() { # compile_group GROUP PYTHON CONSTRAINTS OUTPUT ARGUMENT...
  local group=$1 python=$2 constraints=$3 output=$4
  shift 4
  uv pip compile --group "$group" --constraints "$constraints" "$@" --quiet --python-version "$python" \
    --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file "$output"
}

# Wheels only, and no markers: pip would judge those by the machine that builds, not by Lambda's.
compile_group lambda 3.13 requirements.txt requirements-lambda.txt \
  --python-platform x86_64-manylinux_2_28 --only-binary :all:
compile_group lambda-runtime 3.13 requirements-dev.txt src/shopstream/lambdas/runtime-requirements.txt --universal

# Debian 12's Python.
compile_group operator 3.11 requirements.txt requirements-operator.txt --python-platform x86_64-manylinux_2_28

uv pip compile --group ansible --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --no-annotate --no-header --output-file requirements-ansible.txt

uv pip compile --group lint --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --no-annotate --no-header --output-file requirements-lint.txt

uv pip compile --group docs --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --no-annotate --no-header --output-file requirements-docs.txt

# checkov pins so much that it stands alone; its version is said here.
echo checkov==3.3.30 | uv pip compile - --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file requirements-checkov.txt
