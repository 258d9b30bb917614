#!/usr/bin/env bash
# Builds the documentation into build/docs, strictly: a link or an anchor that leads nowhere, a page in no navigation and
# every other warning is an error. `make docs` and `make check` call it.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv-docs/bin/python
[ -x "$python" ] || {
  echo "error: Sphinx is not installed: run this through \`make docs\`" >&2
  exit 2
}

rm -rf build/docs
read_pages=$(mktemp -d)
trap 'rm -rf "$read_pages"' EXIT
# Pages are read anew each time: those that Sphinx remembers would not warn again.
"$python" -m sphinx --quiet --fail-on-warning --doctree-dir "$read_pages" --conf-dir scripts/docs_site . build/docs

# Whoever reads it needs no network, and nobody learns of it.
if grep -rnoE '(src|srcset)="(https?:)?//[^"]*|<link [^>]*href="(https?:)?//[^"]*|(@import|url\()[^;)]*https?://[^;)]*' \
  --include='*.html' --include='*.css' build/docs; then
  echo "error: these are loaded from somebody else's server" >&2
  exit 1
fi
echo "documentation: build/docs/index.html"
