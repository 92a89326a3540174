#!/bin/sh
# The first program of the virtual machine (see vm.ts, which gives it the variables PTL_*). It makes the host's files its
# own, read-only below a file system in memory, runs one program, and turns the machine off. Run by /bin/sh and not by
# busybox, whose shell starts itself as /proc/self/exe: that is the virtual machine's kernel until /proc is mounted.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
root=/mnt/root
die() {
  echo "portolan-vm: $*" >/dev/console
  busybox poweroff -f
}
mount -n -t proc proc /proc
modules=/usr/lib/uml/modules/$(uname -r)
mount -n -t tmpfs tmpfs /mnt || die "no tmpfs"
mkdir -p "/mnt/up$modules" "/mnt/up/usr/lib/modules/$(uname -r)" /mnt/up/mnt/share /mnt/up/mnt/old /mnt/work $root
busybox insmod "$modules/kernel/fs/overlayfs/overlay.ko" || die "no overlay.ko"
mount -n -t overlay -o lowerdir=/,upperdir=/mnt/up,workdir=/mnt/work overlay $root || die "no overlay"
mount -n -t hostfs -o "$PTL_SHARE" hostfs $root/mnt/share || die "no share"
mount -n --bind "$modules" "$root/usr/lib/modules/$(uname -r)" || die "no modules"
# The kernel starts it to load what it lacks, such as a scheduler.
[ -e $root/sbin/modprobe ] || ln -s /bin/busybox $root/sbin/modprobe
mount -n --move /proc $root/proc
mount -n -t sysfs sysfs $root/sys
mount -n -t devtmpfs devtmpfs $root/dev
mkdir -p $root/dev/shm
mount -n -t tmpfs tmpfs $root/dev/shm
mount -n -t tmpfs tmpfs $root/run
ln -sf /proc/self/fd $root/dev/fd
# pivot_root and not chroot: the kernel's own calls of modprobe must see this root too.
cd $root && pivot_root . mnt/old || die "no pivot_root"
umount -n -l /mnt/old
cd "$PTL_FOLDER" || die "no folder $PTL_FOLDER"
hostname vm
# On a real node these are built in, or loaded at start.
for module in $PTL_MODULES; do modprobe "$module" || echo "portolan-vm: no module $module" >/dev/console; done
# This kernel would track 4,096 connections.
[ ! -e /proc/sys/net/netfilter/nf_conntrack_max ] || echo 131072 >/proc/sys/net/netfilter/nf_conntrack_max
ip link set lo up
unset TMPDIR
/bin/sh /mnt/share/command </dev/null >/mnt/share/stdout 2>/mnt/share/stderr
echo $? >/mnt/share/status
busybox poweroff -f
