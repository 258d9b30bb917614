#!/usr/bin/env bash
# Brings the deployment on AWS up: zips, passwords, Terraform, and a check of what AWS then reports.
# Options: scripts/deploy_all.sh --help; what it does: docs/aws.md.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
make --silent --directory "$root" .venv/.ready-dev >&2
exec "$root/.venv/bin/python" -m shopstream.aws deploy "$@"
