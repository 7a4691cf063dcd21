#!/bin/sh
# Renews the lock files: hashes only, never an index or a file address.
set -eu
cd "$(dirname "$0")/.."
export UV_NO_PROGRESS=1
uv lock -q --upgrade
export_group() { uv export -q --format requirements-txt --no-emit-project --no-annotate --no-header "$@"; }
export_group > requirements.lock
export_group --only-group tour > requirements-tour.lock
export_group --only-group build > requirements-build.lock
export_group --group test --group check > requirements-test.lock
# The source archive of one package, for the AVX2 build of scripts/install.sh.
python3 - <<'PY'
import re, tomllib, pathlib
lock = tomllib.loads(pathlib.Path("uv.lock").read_text())
found = next(p for p in lock["package"] if p["name"] == "argon2-cffi-bindings")
line = f"argon2-cffi-bindings=={found['version']} --hash={found['sdist']['hash']}\n"
pathlib.Path("requirements-avx2.lock").write_text(line)
PY
rm -f uv.lock
