# shellcheck shell=sh
# Puts nox on PATH, in a virtual environment of the project's own. To be sourced, in the project's directory, by sh,
# bash, dash or zsh:
#
#     . ./activate.sh && nox -s tests
#
# It installs what is missing: nox in .venv; and, as root on Debian or Ubuntu, Python with apt-get. Where it fails it
# says why and returns a status other than 0; it never ends the shell.

_anydocker_say() {
    printf 'activate: %s\n' "$*" >&2
}

# Python 3.11 or newer that is able to make virtual environments.
_anydocker_usable() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

_anydocker_find_python() {
    for _anydocker_python in python3 python3.13 python3.12 python3.11 python3.14 python; do
        if _anydocker_usable "$_anydocker_python"; then
            return 0
        fi
    done
    return 1
}

_anydocker_install_python() {
    if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
        _anydocker_say "there is no Python 3.11 or newer with the modules venv and ensurepip." \
            "Install it (on Debian or Ubuntu, as root: apt-get install python3 python3-venv) and try again."
        return 1
    fi
    _anydocker_say "installing with apt-get: python3 python3-venv"
    DEBIAN_FRONTEND=noninteractive apt-get update -q </dev/null >&2 &&
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
            python3 python3-venv </dev/null >&2
    if _anydocker_find_python; then
        return 0
    fi
    _anydocker_say "python3 of this release does not do; installing with apt-get: python3.11 python3.11-venv"
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
        python3.11 python3.11-venv </dev/null >&2
    if _anydocker_find_python; then
        return 0
    fi
    _anydocker_say "this release has no Python 3.11 or newer: install one, for instance from python.org, and try again."
    return 1
}

_anydocker_make_environment() {
    if ! _anydocker_find_python; then
        _anydocker_install_python || return 1
    fi
    _anydocker_say "installing nox in .venv"
    # --clear: what is there may be half of an environment, or one whose Python is gone.
    if ! "$_anydocker_python" -m venv --clear .venv >&2; then
        _anydocker_say "$_anydocker_python could not make the virtual environment .venv."
        return 1
    fi
    if ! .venv/bin/python -m pip install --quiet --disable-pip-version-check nox >&2; then
        _anydocker_say "nox could not be installed in .venv."
        return 1
    fi
}

_anydocker_activate() {
    if ! [ -f noxfile.py ] || ! [ -f activate.sh ]; then
        _anydocker_say "source this in the project's own directory: cd there, then: . ./activate.sh"
        return 1
    fi
    if ! .venv/bin/python -c 'import nox, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        _anydocker_make_environment || return 1
    fi
    case ":$PATH:" in
    *":$PWD/.venv/bin:"*) ;;
    *) PATH="$PWD/.venv/bin:$PATH" && export PATH ;;
    esac
}

_anydocker_status=0
_anydocker_activate || _anydocker_status=1
unset -f _anydocker_say _anydocker_usable _anydocker_find_python _anydocker_install_python \
    _anydocker_make_environment _anydocker_activate
unset _anydocker_python
if [ "$_anydocker_status" = 0 ]; then
    unset _anydocker_status
    true
else
    unset _anydocker_status
    false
fi
