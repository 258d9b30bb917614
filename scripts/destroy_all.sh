#!/usr/bin/env bash
# Takes the deployment on AWS down, and lists what is still there; exit 1 when something is.
# Options: scripts/destroy_all.sh --help; what it does: docs/aws.md.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
make --silent --directory "$root" .venv/.ready-dev >&2
exec "$root/.venv/bin/python" -m shopstream.aws destroy "$@"
