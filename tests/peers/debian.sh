#!/bin/sh
# Installs the Debian packages that the tests and the bench run: databases, mail servers, tools.
# `make test` and `make bench` call it; it does nothing when all are there. No service is started:
# the tests run servers of their own.
set -eu

packages="mariadb-server mariadb-client postgresql-15 postgresql-client-15 postfix postfix-mysql
qpsmtpd openssl swaks libfaketime strace m4 miltertest
libdb5.3 libgnutls-dane0 libidn12 libldap-2.5-0 liblockfile1 libnsl2 libpcre2-8-0 libsasl2-2 libwrap0
libicu72 libdbd-mysql-perl libsodium23 libstemmer0d libunwind8 libevent-2.1-7 postfix-lmdb
postfix-sqlite libspf2-2"

# Haraka needs Node.js 20 or later. Where it comes from elsewhere than Debian, npm is in it.
command -v npm >/dev/null || packages="$packages nodejs npm"

missing=""
for package in $packages; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "The tests need Debian packages; as root: apt-get install$missing" >&2
    exit 1
fi

# invoke-rc.d asks policy-rc.d before it starts a service; 101 forbids it. An administrator's own
# stays as it is.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086 # a list of words
apt-get install -q -y --no-install-recommends $missing
