#!/bin/sh
# Sees to it that this machine can run the tests' own engine: nothing to do where it can, else, as root on Debian
# or Ubuntu, it installs the distribution's packages. With ANYDOCKER_TEST_HOST set no engine is needed here.
set -eu

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
PACKAGES="docker.io docker-registry busybox-static iptables iproute2 util-linux openssh-server openssh-client procps git"

missing() {
    for program in docker dockerd docker-init docker-registry iptables ip unshare nsenter ssh sshd pgrep git; do
        command -v "$program" >/dev/null || printf ' %s' "$program"
    done
    static_busybox || printf ' busybox (static)'
}

# The loader's path stands in every program that needs shared libraries.
static_busybox() {
    for busybox in busybox.static busybox; do
        if path=$(command -v "$busybox") && ! grep -q -a -e /ld-linux -e /ld-musl -e /ld64 "$path"; then
            return 0
        fi
    done
    return 1
}

fail() {
    echo "install_engine: $*" >&2
    exit 1
}

if [ -n "${ANYDOCKER_TEST_HOST:-}" ]; then
    exit 0
fi
absent=$(missing)
if [ -z "$absent" ]; then
    exit 0
fi

advice="install the packages $PACKAGES (their names on Debian), or set ANYDOCKER_TEST_HOST to an engine for tests"
command -v apt-get >/dev/null || fail "missing:$absent. This is neither Debian nor Ubuntu: $advice"
[ "$(id -u)" -eq 0 ] || fail "missing:$absent. Run this again as root, or as root $advice"

echo "install_engine: missing:$absent"
echo "install_engine: installing with apt-get: $PACKAGES"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q </dev/null
# Newer releases ship the command line in a package of its own.
if [ -n "$(apt-cache show docker-cli 2>/dev/null)" ]; then
    PACKAGES="$PACKAGES docker-cli"
fi
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends $PACKAGES </dev/null

absent=$(missing)
[ -z "$absent" ] || fail "still missing after the installation:$absent"
