#!/usr/bin/env bash
# Third-party tools for tests/wire, unmodified, into .wire/ (ignored by git). May be run again: what
# is there already is kept. Packages of Debian only as root; the rest needs pip, node and npm.
# zigpy-znp and zigbee2mqtt are GPL-3.0: they are run as processes of their own, never imported here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=tests/wire
mkdir -p .wire

missing=()
for pair in mbpoll:mbpoll mosquitto:mosquitto tshark:tshark; do
    command -v "${pair%%:*}" >/dev/null || [[ -x /usr/sbin/${pair%%:*} ]] || missing+=("${pair##*:}")
done
[[ -e /usr/include/modbus/modbus.h ]] || missing+=(libmodbus-dev)
if ((${#missing[@]})); then
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        apt-get update -qq
        # No daemon is wanted: tests start a broker of their own.
        printf '#!/bin/sh\nexit 101\n' >.wire/policy && chmod +x .wire/policy
        [[ -e /usr/sbin/policy-rc.d ]] || install -m 755 .wire/policy /usr/sbin/policy-rc.d
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
        cmp -s .wire/policy /usr/sbin/policy-rc.d && rm -f /usr/sbin/policy-rc.d
        rm -f .wire/policy
    else
        echo "install.sh: not root, so these stay missing: ${missing[*]}" >&2
    fi
fi

# Pinned: what the facts were proven with.
zigpy=(zigpy-znp==1.1.1 zigpy==2.4.0)
stamp=.wire/zigpy/.installed
if [[ $(cat "$stamp" 2>/dev/null) != "${zigpy[*]}" ]]; then
    python3 -m venv .wire/zigpy
    .wire/zigpy/bin/pip install -q "${zigpy[@]}"
    echo "${zigpy[*]}" >"$stamp"
fi

stamp=.wire/node/.installed
if ! cmp -s "$here/node/package-lock.json" "$stamp"; then
    if command -v npm >/dev/null; then
        mkdir -p .wire/node
        cp "$here/node/package.json" "$here/node/package-lock.json" .wire/node/
        # Install scripts are not needed: bindings come built, node comes as a package.
        (cd .wire/node && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
        cp "$here/node/package-lock.json" "$stamp"
    else
        echo "install.sh: npm is missing, so zigbee-herdsman and zigbee2mqtt are" >&2
    fi
fi
