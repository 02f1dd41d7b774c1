# Shared by the lab scripts. Sourced, never run.
# Everything the lab writes lies under LAB_DIR (ad2-up also needs /etc/netns/dc1 and dc2, with LAB_NS before their names).
set -euo pipefail
LAB_HOME=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export LAB_DIR=${LAB_DIR:-${TMPDIR:-/tmp}/farmhand-lab}
export LAB_REALM=CONTOSO.COM LAB_DNS=contoso.com LAB_NETBIOS=CONTOSO LAB_BASE=DC=contoso,DC=com
export LAB_ADMIN_PASSWORD=${LAB_ADMIN_PASSWORD:-Passw0rd!lab}
export LAB_SVC_PASSWORD=${LAB_SVC_PASSWORD:-Passw0rd!svc}
export LAB_LIMITED_PASSWORD=${LAB_LIMITED_PASSWORD:-Passw0rd!limited}
export LAB_HOST_PASSWORD=${LAB_HOST_PASSWORD:-Passw0rd!}   # HostN has this, then its name
export LAB_CA=$LAB_DIR/ca/ca.pem
export KRB5_CONFIG=$LAB_DIR/krb5.conf
PY=/usr/bin/python3                       # python3-samba is built for Debian's own python
export PATH=$PATH:/usr/sbin:/sbin PAGER=cat
unset SMB_CONF_PATH
export LAB_NS=${LAB_NS:-} LAB_NET=${LAB_NET:-}
[ ! -e "$LAB_DIR/net" ] || . "$LAB_DIR/net"     # of the pair of DCs that is in it, whatever the caller thinks
die() { echo "${0##*/}: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "needs root"

# until_true SECONDS COMMAND...: waits for a condition; the interval is short because each try is cheap.
until_true() {
  local end=$((SECONDS + $1)); shift
  until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep .1; done
}
listening() { ss -Hltn "sport = :$1" | grep -q .; }   # on any address

make_lab_dir() {                          # services run as users of their own below it, so it can be passed but not listed
  mkdir -p "$LAB_DIR"; chmod 711 "$LAB_DIR"; mkdir -p "$LAB_DIR"/{ca,client}; chmod 700 "$LAB_DIR"/{ca,client}
}
make_ca() {                               # one CA per lab, trusted by nobody else
  [ -s "$LAB_CA" ] && return
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=Farmhand lab CA" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
    -keyout "$LAB_DIR/ca/ca.key" -out "$LAB_CA" 2>/dev/null
}
make_cert() {                             # make_cert DC SAN: key and certificate in LAB_DIR/DC/tls
  local d=$LAB_DIR/$1/tls; mkdir -p "$d"
  openssl req -new -newkey rsa:2048 -nodes -subj "/CN=$1.$LAB_DNS" -keyout "$d/key.pem" -out "$d/req.pem" 2>/dev/null
  openssl x509 -req -in "$d/req.pem" -CA "$LAB_CA" -CAkey "$LAB_DIR/ca/ca.key" -CAcreateserial -days 3000 -out "$d/cert.pem" \
    -extfile <(printf '%s\n' "subjectAltName=$2" basicConstraints=critical,CA:FALSE \
      keyUsage=critical,digitalSignature,keyEncipherment extendedKeyUsage=serverAuth) 2>/dev/null
  chmod 600 "$d/key.pem"
}
krb5_conf() {                             # krb5_conf KDC...: no DNS, no reverse look-up, localhost belongs to the realm
  { cat <<X
[libdefaults]
 default_realm = $LAB_REALM
 dns_lookup_realm = false
 dns_lookup_kdc = false
 rdns = false
 dns_canonicalize_hostname = false
 udp_preference_limit = 1
[realms]
 $LAB_REALM = {
X
    printf '  kdc = %s\n' "$@"
    printf ' }\n[domain_realm]\n .%s = %s\n localhost = %s\n' "$LAB_DNS" "$LAB_REALM" "$LAB_REALM"; } > "$KRB5_CONFIG"
  # smb.conf for Samba's own clients (samba-tool, as-host): nothing of this machine's /etc/samba is read
  { printf '[global]\nrealm=%s\nworkgroup=%s\n' "$LAB_REALM" "$LAB_NETBIOS"
    printf '%s directory=%s\n' state "$LAB_DIR/client" cache "$LAB_DIR/client" lock "$LAB_DIR/client" pid "$LAB_DIR/client"
    printf '%s\n' "private dir=$LAB_DIR/client" "tls cafile=$LAB_CA" "tls verify peer=ca_and_name" \
      "client ldap sasl wrapping=seal"; } > "$LAB_DIR/client.conf"
}
dc_options() {                            # dc_options DC INTERFACES: smb.conf lines that both provision and join take
  local d=$LAB_DIR/$1
  printf '%s\n' "netbios name=$1" "interfaces=$2" "bind interfaces only=yes" "ad dc functional level=2016" \
    "pid directory=$d/run" "ncalrpc dir=$d/run/ncalrpc" "winbindd socket directory=$d/run/winbindd" "dns forwarder=" \
    "tls keyfile=$d/tls/key.pem" "tls certfile=$d/tls/cert.pem" "tls cafile=$LAB_CA"
}
option_args() { while read -r o; do printf -- '--option=%s\0' "$o"; done; }
provision() {                             # provision DC ADDR INTERFACES [COMMAND PREFIX...]
  local a n=$1 addr=$2 if=$3; shift 3; mkdir -p "$LAB_DIR/$n/run"
  mapfile -d '' -t a < <(dc_options "$n" "$if" | option_args)
  "$@" samba-tool domain provision --targetdir="$LAB_DIR/$n" --realm=$LAB_REALM --domain=$LAB_NETBIOS --server-role=dc \
    --dns-backend=SAMBA_INTERNAL --function-level=2016 --adminpass="$LAB_ADMIN_PASSWORD" --host-ip="$addr" --host-name="$n" \
    "${a[@]}" > "$LAB_DIR/$n/provision.log" 2>&1 || { tail -5 "$LAB_DIR/$n/provision.log" >&2; die "provision of $n failed"; }
}
finish_conf() {                           # finish_conf DC INTERFACES [LINE...]: provision keeps few options; write them all into [global]
  local f=$LAB_DIR/$1/etc/smb.conf n=$1 a=$2; shift 2
  sed -i -E '/^\s*(dns forwarder|interfaces|bind interfaces only|tls |pid directory|ncalrpc dir|winbindd socket)/d' "$f"
  { dc_options "$n" "$a" | grep -v '^netbios'; printf '%s\n' "log file=$LAB_DIR/$n/log.samba" "max log size=0" "allow dns updates=disabled" "$@"; } \
    | sed 's/^/\t/' | sed -i '/^\[global\]/r /dev/stdin' "$f"
}
hosts_file() {                            # hosts_file ADDR NAME...: what lab-run shows as /etc/hosts
  { grep -v "\.$LAB_DNS" /etc/hosts; while [ $# -gt 0 ]; do echo "$1 $2.$LAB_DNS $2"; shift 2; done; } > "$LAB_DIR/hosts"
}
start_dc() {                              # start_dc DC [COMMAND PREFIX...]: prefix = ip netns exec, env LD_PRELOAD=...
  local n=$1 d=$LAB_DIR/$1; shift
  ! dc_running "$n" || return 0
  rm -f "$d/run/samba.pid"
  ( [ ! -e "$LAB_DIR/age" ] || . "$LAB_DIR/age"           # the clock that ad-age set
    cd /                                                  # the daemon must not hold this folder
    SMB_CONF_PATH=$d/etc/smb.conf "$@" samba -D -s "$d/etc/smb.conf" </dev/null >>"$d/start.log" 2>&1 )
}
dc_pid() { cat "$LAB_DIR/$1/run/samba.pid" 2>/dev/null; }
dc_running() {                            # a zombie does not count
  local p; p=$(dc_pid "$1") && [ -n "$p" ] && grep -qs '^Name:.samba' "/proc/$p/status" && ! grep -qs '^State:.Z' "/proc/$p/status"; }
group_gone() {                            # group_gone PGID: no process of the group is left; zombies do not count
  ! { cat /proc/[0-9]*/stat 2>/dev/null || true; } | sed 's/.*) //' | awk -v g="$1" '$3 == g && $1 != "Z" { f = 1 } END { exit !f }'; }
stop_dc() {                               # by recorded pid only
  local p; dc_running "$1" || return 0; p=$(dc_pid "$1")
  kill -CONT -- "-$p"                     # a frozen one does not hear the next signal
  kill "$p"; until_true 10 group_gone "$p" || kill_dc "$1"
  rm -f "$LAB_DIR/$1/run/samba.pid"       # the number may be another process's tomorrow
}
kill_dc() {                               # SIGKILL to all its processes at once
  local p; dc_running "$1" || return 0; p=$(dc_pid "$1")
  kill -KILL -- "-$p"; until_true 10 group_gone "$p" || die "processes of group $p do not end"
  rm -f "$LAB_DIR/$1/run/samba.pid"
}
ldap_answers() {                          # the outer limit is for a frozen server: libldap has none in the TLS handshake
  LDAPTLS_CACERT=$LAB_CA timeout 5 ldapsearch -x -LLL -H "$1" -s base -b '' defaultNamingContext >/dev/null 2>&1; }
wait_ldap() {                             # wait_ldap URL SECONDS
  until_true "$2" ldap_answers "$1" || die "no answer from $1; see the log files under $LAB_DIR"; }
exports() {                               # exports URL [URL2]
  cat <<X
export LAB_DIR=$LAB_DIR
export LAB_LDAP_URL=$1${2:+ LAB_LDAP_URL2=$2}
export LAB_BASE=$LAB_BASE LAB_REALM=$LAB_REALM
export LAB_CA=$LAB_CA LDAPTLS_CACERT=$LAB_CA
export LAB_ADMIN_DN='CN=Administrator,CN=Users,$LAB_BASE' LAB_ADMIN_PASSWORD='$LAB_ADMIN_PASSWORD'
export LAB_SVC_DN='CN=svc-farmhand,CN=Users,$LAB_BASE' LAB_SVC_PASSWORD='$LAB_SVC_PASSWORD'
export LAB_LIMITED_DN='CN=svc-limited,CN=Users,$LAB_BASE' LAB_LIMITED_PASSWORD='$LAB_LIMITED_PASSWORD'
export LAB_GMSA_CONTAINER='CN=Managed Service Accounts,$LAB_BASE' LAB_GROUP_OU='OU=Farms,$LAB_BASE' LAB_HOST_OU='OU=Servers,$LAB_BASE'
export LAB_HOST_PASSWORD='$LAB_HOST_PASSWORD'   # then the host's name: ${LAB_HOST_PASSWORD}Host1
export KRB5_CONFIG=$KRB5_CONFIG SMB_CONF_PATH=$LAB_DIR/client.conf
X
}
write_exports() {                         # to LAB_DIR/env, for root's eyes, and to standard output
  ( umask 077; exports "$@" > "$LAB_DIR/env.new" ); mv "$LAB_DIR/env.new" "$LAB_DIR/env"; cat "$LAB_DIR/env"; }
