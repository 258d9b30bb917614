#!/usr/bin/env bash
# What can be said about the Terraform without any account or server: format, validity, its own tests, checkov's rules.
# TERRAFORM_PLUGIN_MIRROR names a directory with a mirror of the provider, for machines that can't reach its registry.
set -euo pipefail
cd "$(dirname "$0")/../infra/terraform"

command -v terraform >/dev/null || {
  echo "error: terraform is not on the PATH: install Terraform 1.11 or later (developer.hashicorp.com/terraform)" >&2
  exit 2
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export TF_DATA_DIR=$scratch/data TF_IN_AUTOMATION=1
if [ -n "${TERRAFORM_PLUGIN_MIRROR:-}" ]; then
  export TF_CLI_CONFIG_FILE=$scratch/terraformrc
  printf 'provider_installation {\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' "$TERRAFORM_PLUGIN_MIRROR" \
    >"$TF_CLI_CONFIG_FILE"
fi

step() {
  echo "+ $*"
  "$@"
}

step terraform fmt -check -recursive
step terraform init -backend=false -input=false >"$scratch/init.log" || { cat "$scratch/init.log" >&2; exit 1; }
step terraform validate
step terraform test
if [ -x ../../.venv-checkov/bin/checkov ]; then
  step ../../.venv-checkov/bin/checkov --config-file .checkov.yaml
else
  echo "error: checkov is not installed: run this through \`make check-infra\`" >&2
  exit 2
fi
