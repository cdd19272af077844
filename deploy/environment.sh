# What every script here starts from; sourced, not run.
#
# HOME may be unset or unwritable in a container or a CI job, but Bazel and pip both want one.
if [ ! -w "${HOME:-/nonexistent}" ]; then
  HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
  [ -w "${HOME:-/nonexistent}" ] || HOME=${TMPDIR:-/tmp}/baton-home-$(id -u)
  mkdir -p -- "$HOME" && [ -O "$HOME" ] || exit 1
  export HOME
fi

# Where downloaded models are kept.
baton_cache=${BATON_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/baton}

fail() {
  echo "error: $*" >&2
  exit 1
}
