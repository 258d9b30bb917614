#!/usr/bin/env bash
# Builds the Lambda zips into build/lambdas: one for each service of topology.yaml, and hello_world.zip.
# scripts/build_all_zips.sh [--arch x86_64|arm64] [--out DIR] [--json] [SERVICE ...]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

make --silent -C "$root" .venv/.ready >&2
exec "$root/.venv/bin/python" "$root/scripts/build_zips.py" "$@"
