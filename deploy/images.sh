#!/usr/bin/env bash
# Builds the images without Docker, as root, with buildah in a mount namespace of its own:
# nothing stays mounted. The archives go to build/, for `devcluster load`, `docker load`,
# `kind load image-archive`.
#
#   deploy/images.sh kernel    build/kernel-image.tar, localhost/nbpress-kernel:dev
#   deploy/images.sh bare      build/bare-image.tar, localhost/nbpress-bare:dev: ipykernel alone
#   deploy/images.sh python    build/python-image.tar, localhost/nbpress-python:dev: no kernel
#   deploy/images.sh agent     build/agent-image.tar, localhost/nbpress-agent:dev
#
#   BASE     the base of the first three; by default made here, by debootstrap
#   MIRROR   where debootstrap gets Debian from
set -euo pipefail
cd "$(dirname "$0")/.."

storage=$PWD/build/.images
suite=bookworm # its Python is 3.11, which requirements.lock is made for
export PATH=$PATH:/usr/sbin:/sbin

die() { echo "images.sh: $*" >&2; exit 1; }

prepare() {
	local missing=() name
	[ "$(id -u)" = 0 ] || die "this needs root: sudo -E make ..., or build with docker, as the Dockerfile says"
	for name in buildah debootstrap; do command -v "$name" >/dev/null || missing+=("$name"); done
	[ ${#missing[@]} = 0 ] && return
	command -v apt-get >/dev/null || die "missing: ${missing[*]}"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
}

# images runs buildah on our own storage: images COMMAND ARG...
images() {
	local driver=overlay
	mkdir -p "$storage"
	[ "$(stat -f -c %T "$storage")" != overlayfs ] || driver=vfs # overlayfs cannot lie on itself
	unshare --mount buildah --storage-driver "$driver" --root "$storage/root" --runroot "$storage/run" "$@"
}

# debian prints the name of a base image with Debian's Python, and makes it if it is not
# there. What of Debian only people read is left out.
debian() {
	local name=localhost/nbpress-base:$suite tree=$storage/$suite container
	if ! images inspect --type image "$name" >/dev/null 2>&1; then
		rm -rf --one-file-system "$tree"
		mkdir -p "$tree"
		unshare --mount debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,tini \
			"$suite" "$tree" "${MIRROR:-http://deb.debian.org/debian}" >&2
		(cd "$tree" && rm -rf var/cache/apt/* var/lib/apt/lists/* var/log/* usr/share/doc/* usr/share/man/* \
			usr/share/locale/* usr/share/info/* dev/* && mkdir -p usr/share/man/man1)
		container=$(images from scratch)
		images add -q "$container" "$tree" / >/dev/null
		images commit -q --rm "$container" "$name" >/dev/null
		rm -rf --one-file-system "$tree"
	fi
	echo "$name"
}

# save writes an archive that holds one image: save NAME FILE.
save() {
	rm -f "$2.new"
	images push -q "$1" "docker-archive:$2.new:$1"
	mv "$2.new" "$2"
	ls -sh "$2"
}

# python_image builds a target of kernel-image/Dockerfile. The machine's trust and
# package index are lent to it while it builds.
python_image() {
	local lent=() file base
	base=${BASE:-$(debian)}
	for file in /etc/ssl/certs/ca-certificates.crt /etc/pip.conf; do
		[ ! -f "$file" ] || lent+=(--volume "$(realpath "$file"):$file:ro")
	done
	images build -q --layers --isolation chroot --build-arg "BASE=$base" --target "$1" "${lent[@]}" \
		-t "localhost/nbpress-$1:dev" kernel-image
	save "localhost/nbpress-$1:dev" "build/$1-image.tar"
}

agent_image() {
	CGO_ENABLED=0 go build -ldflags '-s -w' -o build/agent-image/nbpress ./cmd/nbpress
	cp /etc/ssl/certs/ca-certificates.crt build/agent-image/
	images build -q --isolation chroot -t localhost/nbpress-agent:dev -f deploy/agent-image/Dockerfile build/agent-image
	save localhost/nbpress-agent:dev build/agent-image.tar
}

mkdir -p build
prepare
case ${1:-} in
kernel | bare | python) python_image "$1" ;;
agent) agent_image ;;
*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
