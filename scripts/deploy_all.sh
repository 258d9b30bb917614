#!/usr/bin/env bash
# Brings the deployment on AWS up: zips, passwords, Terraform, and a check of what AWS then reports.
# Options: scripts/deploy_all.sh --help; what it does: docs/aws.md.
# scripts/deploy_all.sh --verify [OPTIONS] deploys nothing, and judges the shop that runs there (--verify --help).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
make --silent --directory "$root" .venv/.ready-dev >&2
command=deploy
if [ "${1:-}" = --verify ]; then
  command=verify
  shift
fi
exec "$root/.venv/bin/python" -m shopstream.aws "$command" "$@"
