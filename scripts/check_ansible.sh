#!/usr/bin/env bash
# What can be said about the playbooks without any host: their syntax, and with --lint ansible-lint's production profile.
# It takes Ansible from .venv-ansible, or else from the PATH.
set -euo pipefail
cd "$(dirname "$0")/../infra/ansible"

[ ! -d ../../.venv-ansible/bin ] || PATH=$(cd ../../.venv-ansible/bin && pwd):$PATH
command -v ansible-playbook ansible-lint >/dev/null || {
  echo "error: Ansible is not installed: run this through \`make check\`" >&2
  exit 2
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PATH ANSIBLE_CONFIG=$PWD/ansible.cfg ANSIBLE_HOME=$scratch ANSIBLE_NOCOLOR=true

for playbook in *.yml; do
  ansible-playbook --syntax-check --inventory ../../tests/golden/inventory.ini "$playbook" >"$scratch/log" 2>&1 || {
    cat "$scratch/log" >&2
    exit 1
  }
done
echo "$(ls ./*.yml | wc -l) playbooks: syntax ok"
[ "${1:-}" != --lint ] || ansible-lint --offline
