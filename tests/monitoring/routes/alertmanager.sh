#!/bin/sh
# In the place of Debian's Alertmanager, which reads its templates below /usr/share alone, where an unpacked package has none: here the
# package's own are bound over it for this process, in a mount namespace.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
[ "$(id -u)" = 0 ] || root=--map-root-user
exec unshare --mount ${root:-} sh -euc 'mount --bind "$0/usr/share" /usr/share; exec "$0/usr/libexec/alertmanager" "$@"' "$here" "$@"
