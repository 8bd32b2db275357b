#!/bin/sh
# The first process of tools/vm.py's machine: mounts what a host has, runs the suites that the kernel's
# command line names, and turns the machine off. Each suite is a function here; "vm: begin" and "vm: end"
# lines frame its output on the console.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
chmod 1777 /tmp # on the disk: tmpfs has user attributes, which layers of images need, only since 6.6
mount -t tmpfs -o mode=755,size=64m tmpfs /run
exec </dev/null >/dev/ttyS0 2>&1
dmesg -n 1 # the kernel's words would get into our lines
ip link set lo up
hostname vm
modprobe overlay

word() { # word NAME: its value on the command line
	tr ' ' '\n' </proc/cmdline | sed -n "s/^$1=//p"
}

mount_groups() {
	if [ "$1" != v1 ]; then
		at=/sys/fs/cgroup
		if [ "$1" = hybrid ]; then
			mount -t tmpfs tmpfs /sys/fs/cgroup
			at=/sys/fs/cgroup/unified
			mkdir $at
		fi
		mount -t cgroup2 cgroup2 $at
	else
		mount -t tmpfs tmpfs /sys/fs/cgroup
	fi
	if [ "$1" != v2 ]; then
		for name in memory cpu pids freezer; do
			mkdir "/sys/fs/cgroup/$name"
			mount -t cgroup -o $name cgroup "/sys/fs/cgroup/$name"
		done
	fi
}

# As systemd does it for a user's session: a group that is the user's, with everything handed down.
delegate() { # delegate PID
	group=/sys/fs/cgroup/user session=/sys/fs/cgroup/user/$suite
	[ -f /sys/fs/cgroup/cgroup.controllers ] || return 0
	for controller in cpu memory pids; do
		echo +$controller >/sys/fs/cgroup/cgroup.subtree_control
	done
	mkdir -p $session
	for controller in cpu memory pids; do
		echo +$controller >$group/cgroup.subtree_control
	done
	chown user $session $session/cgroup.procs $session/cgroup.subtree_control $session/cgroup.threads
	echo "$1" >$session/cgroup.procs
}

as_user() { # as_user delegated|bare COMMAND...
	(
		# The number of this subshell: $$ is the script's.
		[ "$1" = bare ] || delegate "$(sh -c 'echo $PPID')"
		shift
		exec setpriv --reuid=user --regid=user --clear-groups env HOME=/tmp/user "$@"
	)
}

sandbox() {
	build/release/unit ${only:-sandbox layer unpack}
}

sandbox_user() {
	as_user delegated build/release/unit ${only:-sandbox layer unpack}
}

hostile() {
	python3 test/e2e/test_hostile.py $only
}

hostile_user() {
	as_user delegated python3 test/e2e/test_hostile.py $only
}

hostile_bare() {
	as_user bare python3 test/e2e/test_hostile.py $only
}

network() {
	python3 test/e2e/test_network.py $only
}

crash() (
	shim=/src/build/release/crash-shim.so
	export TMPDIR=/var/tmp
	build/release/crash kill 3 && build/release/crash power 3 $shim && build/release/crash fail 3 $shim &&
		build/release/crash unsynced 6 $shim && echo "4 passed, 0 failed"
)

mount_groups "$(word cirrus.cgroups)"
useradd --create-home --home-dir /tmp/user user
cd /src || exit 1
export CIRRUS_SLOW="$(word cirrus.slow)" # how much more time deadlines give
echo "vm: $(uname -r), groups: $(grep -c . /proc/self/cgroup) lines, $(cat /sys/fs/cgroup/cgroup.controllers 2>/dev/null)"
for suite in $(word cirrus.suites | tr ',' ' '); do
	# SUITE:NAME+NAME picks some of its tests.
	only=$(echo "$suite" | sed -n 's/^[^:]*://p' | tr + ' ') suite=${suite%%:*}
	echo "vm: begin $suite"
	$suite
	echo "vm: end $suite $?"
done
echo o >/proc/sysrq-trigger
sleep 60
