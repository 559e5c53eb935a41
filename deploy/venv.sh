#!/bin/sh
# Make .venv, if it isn't there, and install what the file named by $1 lists, with its hashes.
# Needs Python 3.11 to 3.13 and a package registry; PYTHON=… names another interpreter.
set -eu

fail() {
    echo "huntaze: $*" >&2
    exit 1
}

suits() { # INTERPRETER OLDEST BEFORE
    "$1" -c "import sys; sys.exit(not ($2 <= sys.version_info[:2] < $3))" 2>/dev/null
}

choose() {
    if [ -n "${PYTHON:-}" ]; then
        suits "$PYTHON" '(3, 11)' '(3, 14)' && echo "$PYTHON"
        return
    fi
    # Versions for which every wheel exists go first: Redis has none for 3.13.
    for name in python3 python3.12 python3.11 python; do
        suits "$name" '(3, 11)' '(3, 13)' && echo "$name" && return
    done
    for name in python3 python3.13 python; do
        suits "$name" '(3, 13)' '(3, 14)' && echo "$name" && return
    done
}

# One at a time: `make test` and `make up` may both be started on a fresh clone.
touch .venv.lock 2>/dev/null || fail "$(pwd) isn't writable"
exec 9>.venv.lock
if command -v flock >/dev/null; then flock 9; fi

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(choose) || true
    if [ -z "$python" ]; then
        found=$("${PYTHON:-python3}" --version 2>&1) || found="no working ${PYTHON:-python3}"
        fail "Python 3.11, 3.12 or 3.13 is needed, found $found: install one or set PYTHON=/path/to/python"
    fi
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python can't make virtual environments: install its venv package (on Debian: apt install python3-venv)"
    echo "Making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv || fail "cannot make .venv here: is the folder writable?"
fi

echo "Installing $1 into .venv; a minute or two the first time"
if command -v uv >/dev/null; then
    # Its registry settings are not pip's: where it finds none, pip may.
    uv pip install --quiet --no-cache --python .venv/bin/python --require-hashes -r "$1" && exit
    echo "uv could not; trying pip"
fi
# No cache: nothing is written outside the clone.
.venv/bin/python -m pip --no-cache-dir --disable-pip-version-check --no-input install \
    -qq --retries 2 --require-hashes -r "$1" ||
    fail "cannot install $1: is a package registry reachable? (PIP_INDEX_URL names another one)"
