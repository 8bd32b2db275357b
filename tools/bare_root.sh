#!/bin/sh
# Runs the README's commands in a bare Debian 12 root, made by debootstrap below build/bare: what is missing
# from the Makefile's package lists shows here and nowhere else. As root; needs the host's package mirror.
#
#   tools/bare_root.sh [TARGET]     TARGET is a make target, `build` by default; `test` is the whole
#
# Ends with "N passed, N failed". The root is a mount namespace's own and removed at the end (KEEP=1 keeps it).
set -eu

target=${1:-build}
here=$(cd "$(dirname "$0")/.." && pwd)
root=$here/build/bare
[ "$(id -u)" = 0 ] || { echo "tools/bare_root.sh: needs root" >&2; exit 2; }

if [ -z "${BARE_INSIDE:-}" ]; then
	rm -rf "$root"
	mkdir -p "$root"
	status=0
	BARE_INSIDE=1 unshare --mount --pid --fork --propagation private "$0" "$target" || status=1
	[ -n "${KEEP:-}" ] || rm -rf --one-file-system "$root"
	[ $status = 0 ] && echo "1 passed, 0 failed" || echo "0 passed, 1 failed"
	exit $status
fi

mirror=$(sed -n 's/^URIs: *//p;s/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' /etc/apt/sources.list \
	/etc/apt/sources.list.d/* 2>/dev/null | head -n 1)
debootstrap --variant=minbase bookworm "$root" "${mirror:?"no package mirror in /etc/apt"}" >"$root.log" 2>&1 ||
	{ tail -n 20 "$root.log"; exit 1; }
cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
cp -r /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
# How this host reaches the registries: npm's settings, and certificate authorities of its own.
for file in /etc/npmrc "$HOME/.npmrc"; do
	[ ! -f "$file" ] || cat "$file" >>"$root/root/.npmrc"
done
mkdir -p "$root/usr/local/share/ca-certificates"
cp -r /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
mount --bind "$root" "$root" # what chroot shows as / must be a mount, as on a machine
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mkdir -p "$root/src"
git -C "$here" archive HEAD | tar -x -C "$root/src"
# The root of the mount namespace, not only of this process: behind chroot(2) the kernel makes no user
# namespaces, and functions of an ordinary user need them.
mkdir -p "$root/old"
cd "$root"
pivot_root . old
# What a fresh machine has: no compiler, no make. README's first line is what installs them.
exec chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 sh -c '
	set -e
	umount -l /old && rmdir /old
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends make git ca-certificates >/dev/null
	cd /src && git init -q . && git add -A && make --no-print-directory deps deps-run &&
	make --no-print-directory '"$target"'
	make --no-print-directory sdk
	(cd build/sdk && node -e "require(\"@aws-sdk/lib-dynamodb\")")
	build/cirrus version
	build/cirrus serve --listen 127.0.0.1:47999 --data /tmp/bare --node-modules build/sdk/node_modules & server=$!
	for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.5; build/cirrus status http://127.0.0.1:47999 && break; done
	build/cirrus status http://127.0.0.1:47999
	kill $server; wait $server'
