#!/bin/sh
# Makes the environment in $VENV and installs torch, then unflat with its development tools. Does nothing when that is
# done already: a stamp in the environment names what it was made from. Called by make; see there for the variables.
set -eu
VENV=${VENV:-.venv}
PYTHON=${PYTHON:-}
TORCH=${TORCH:-}
TORCH_INDEX=${TORCH_INDEX:-}

say() { printf '%s\n' "[set-up] $*"; }
fail() { printf '%s\n' "[set-up] $*" >&2; exit 2; }

fits() { # whether a command is a Python for which the libraries have wheels
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

find_python() { # prints the Python to use
    if [ -n "$PYTHON" ]; then
        fits "$PYTHON" || fail "PYTHON=$PYTHON is no Python 3.11, 3.12 or 3.13, for which torch and numba have wheels."
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11; do
        if fits "$candidate"; then echo "$candidate"; return; fi
    done
    fail "No Python 3.11, 3.12 or 3.13 here ($(python3 --version 2>/dev/null || echo 'no python3 at all')), and the libraries" \
        "have wheels for these only. Install one (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install" \
        "python@3.12; or pyenv, conda, uv) and name it: make PYTHON=python3.12 ..."
}

has_torch() { "$1" -c 'import torch' >/dev/null 2>&1; }
has_gpu() { command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi >/dev/null 2>&1; }

remember_torch() { # so that `make TORCH=... demo` and then `make test` use the same torch
    choice="$VENV/torch-choice"
    if [ -n "$TORCH" ]; then
        printf '%s\n%s\n' "$TORCH" "$TORCH_INDEX" >"$choice"
    elif [ -e "$choice" ]; then
        TORCH=$(sed -n 1p "$choice")
        TORCH_INDEX=$(sed -n 2p "$choice")
    fi
}

make_environment() { # with a GPU and a torch of the user's own, that torch stays in view
    python=$(find_python)
    options=
    if [ -z "$TORCH" ] && has_gpu && has_torch "$python"; then options=--system-site-packages; fi
    say "making $VENV with $("$python" --version)"
    "$python" -m venv $options "$VENV" ||
        fail "$python cannot make an environment. Debian and Ubuntu keep that apart: apt install python3-venv"
}

install_torch() {
    if [ -n "$TORCH" ]; then
        say "installing $TORCH${TORCH_INDEX:+ from $TORCH_INDEX}"
        pip "$TORCH" ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
    elif has_gpu && has_torch "$VENV/bin/python"; then
        say "a GPU: keeping your own torch $("$VENV/bin/python" -c 'import torch; print(torch.__version__)')"
    elif has_gpu; then
        say "a GPU: installing torch for it (gigabytes; TORCH=... names another)"
        pip 'torch>=2.6' ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
    else
        pinned=$(grep '^torch' requirements-dev.txt)
        say "installing $pinned (TORCH=... names another)"
        pip "$pinned" ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
    fi
}

pip() { "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }

environment_fits() { [ -x "$VENV/bin/python" ] && fits "$VENV/bin/python"; }

if ! environment_fits; then
    if [ -e "$VENV" ]; then
        fail "$VENV is there but holds no working Python 3.11 to 3.13. Remove it (make clean) or name another place: make VENV=..."
    fi
    make_environment
fi
remember_torch
made_from=$({ cat pyproject.toml requirements-dev.txt tools/set_up.sh; echo "$TORCH $TORCH_INDEX"; pwd; } | cksum | cut -d' ' -f1)
stamp="$VENV/set-up-$made_from"
if [ -e "$stamp" ]; then exit 0; fi
rm -f "$VENV"/set-up-*
install_torch
say "installing unflat and its tools: about 1.5 GB with torch, two minutes the first time"
pip -e '.[dev]'
touch "$stamp"
say "done. The command is $VENV/bin/unflat"
