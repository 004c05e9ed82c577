# Binds SOURCE at the folder AT/PART/.., and remounts it with OPTIONS unless those are empty:
#
#   sh -c SCRIPT NAME SOURCE OPTIONS AT [PART ..]
#
# Somebody else may have put a symlink on the way by now. So each step is looked at before the next one is taken, parts are
# made in a folder that is known, and the bind goes to the folder this shell is in, not to a path.
source=$1 options=$2 at=$3
shift 3
fail() {
  echo "external volumes: cannot mount $source at $at: $1" >&2
  exit 1
}
enter() {
  cd -P -- "$1" || fail 'it is no folder'
  [ "$(pwd -P)" = "$at" ] || fail "it leads to $(pwd -P), out of the container or of the volume that it is in"
}
enter "$at"
for part; do
  at=${at%/}/$part
  [ -e "./$part" ] || mkdir -- "./$part" || fail 'it cannot be made'
  enter "./$part"
done
mount -n --no-canonicalize --rbind -- "$source" . || fail 'mount refused'
[ -z "$options" ] && exit
enter "$at"
mount -n --no-canonicalize -o "$options" -- "$source" . || fail 'mount refused to make it read-only'
