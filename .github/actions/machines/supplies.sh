#!/usr/bin/env bash
# supplies.sh pack|unpack ARCHIVE: the rehearsal's supplies as one file, for GitHub's cache.
# The image in them is a whole system: files of many users, capabilities, device nodes. So root packs it, with numbers in
# place of names, and the archive belongs to whoever called this: the cache's action is no root.
set -euo pipefail
what=$1 archive=$2
directory=${SHOPSTREAM_REHEARSAL_CACHE:?names the directory of the supplies}
options=(--zstd --numeric-owner --xattrs --xattrs-include='*' --file "$archive" --directory "$directory")

case $what in
  pack)
    sudo tar --create "${options[@]}" .
    sudo chown "$(id -u)" "$archive"
    ;;
  unpack)
    sudo install -d -m 700 "$directory"
    sudo tar --extract --same-owner --preserve-permissions "${options[@]}"
    ;;
  *)
    echo "error: supplies.sh pack|unpack ARCHIVE" >&2
    exit 2
    ;;
esac
