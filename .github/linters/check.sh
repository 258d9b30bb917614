#!/usr/bin/env bash
# What can be said about workflows, hooks and the settings of Renovate without GitHub. `make check` calls it.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=.venv-lint/bin
[ -x "$bin/actionlint" ] || {
  echo "error: the linters are not installed: run this through \`make check\`" >&2
  exit 2
}

step() {
  echo "+ ${*/#$bin\//}"
  "$@"
}

step "$bin/actionlint" -shellcheck="$bin/shellcheck" -pyflakes= .github/workflows/*.yml
step "$bin/zizmor" --offline --quiet --no-progress --pedantic .github .pre-commit-config.yaml
step "$bin/check-jsonschema" --quiet --builtin-schema vendor.github-actions .github/actions/*/action.yml
step "$bin/check-jsonschema" --quiet --builtin-schema vendor.renovate .github/renovate.json
step "$bin/pre-commit" validate-config .pre-commit-config.yaml
step "$bin/shellcheck" .github/linters/*.sh .github/actions/*/*.sh
