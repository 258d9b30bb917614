#!/usr/bin/env bash
# Builds the wheel that Ansible installs on the monitoring host: build/shopstream-VERSION-py3-none-any.whl, the same bytes
# from the same files. What it needs there stands in requirements-operator.txt.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
make --silent -C "$root" .venv/.ready >&2

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Hatchling sorts the files, evens out their modes, and dates them all the same.
cd "$root"
SOURCE_DATE_EPOCH=1577836800 .venv/bin/python -m hatchling build --target wheel --directory "$scratch" >&2
mkdir -p build
wheel=build/$(basename "$scratch"/shopstream-*.whl)
mv "$scratch"/shopstream-*.whl "$wheel"
# Of another version's wheel, nobody could tell which one is meant.
find build -maxdepth 1 -name 'shopstream-*.whl' ! -path "$wheel" -delete
echo "$wheel"
