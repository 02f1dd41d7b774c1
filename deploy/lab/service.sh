# Shared by the private-* scripts. Sourced, never run. The caller sets DIR and PORT and defines its own functions.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# lock_dir: one command at a time per DIR. Daemons are started with 9>&- so that they do not hold the lock.
lock_dir() { mkdir -p "$DIR"; exec 9>"$DIR/.lock"; flock 9; }

# as_user USER COMMAND...: without this shell's environment, so that nothing of the machine's own service leaks in. No su and
# no shell in between: the process id stays.
as_user() {
  local user=$1; shift
  cd /; exec setpriv --reuid="$user" --regid="$user" --clear-groups env -i PATH="$PATH" LANG=C.UTF-8 "$@"
}
