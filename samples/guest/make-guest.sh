#!/bin/sh
# Makes a guest for `mmiotools replay --qemu`: Debian's kernel, and an initial RAM disk that loads drivers and does some
# commands. Fetches the packages from Debian, into a folder of its own, and needs no root.
#
#     make-guest.sh OUT MODULE... [-- COMMANDS]
#     make-guest.sh guest e1000 -- 'ip link set eth0 up; sleep 3; ip link set eth0 down; rmmod e1000'
#
# OUT gets vmlinuz and initrd.img. Modules are loaded in the order given, each after those that it needs. COMMANDS are
# for busybox's shell, `poweroff` follows them; without any, there is a shell on the serial port. The kernel is what the
# package linux-image-amd64 stands for; KERNEL=PACKAGE takes another one (linux-image-6.1.0-44-amd64).
#
# Needs Debian or one of its descendants on x86-64, with apt-get, dpkg-deb, tar and gzip.
set -eu

die() { echo "make-guest.sh: $*" >&2; exit 1; }

[ $# -ge 2 ] || die "usage: make-guest.sh OUT MODULE... [-- COMMANDS]"
for tool in apt-get apt-cache dpkg-deb tar gzip; do
    command -v "$tool" >/dev/null || die "$tool is missing: this works on Debian and its descendants"
done
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
modules=
while [ $# -gt 0 ] && [ "$1" != -- ]; do modules="$modules $1"; shift; done
[ $# -eq 0 ] || shift
commands=$*

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
cd "$work"

# -- packages ----------------------------------------------------------------------------------------------------
# The lists of packages that are there, or, where they are missing or have grown old, new ones in a folder of our own.
apt_options="-o APT::Sandbox::User=$(id -un) -o Acquire::Retries=3"
renew() {
    mkdir -p lists/partial archives/partial
    apt_options="$apt_options -o Dir::State::Lists=$work/lists -o Dir::Cache=$work/archives"
    apt-get $apt_options -qq update >&2 || die "the lists of packages cannot be fetched: is there a network?"
}
depends() { apt-cache $apt_options depends "$1" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1; }
kernel_package() {
    kernel=${KERNEL:-$(depends linux-image-amd64)}
    [ -n "$kernel" ]
}
download() { apt-get $apt_options -qq download "$kernel" busybox-static >/dev/null 2>&1; }
if ! { kernel_package && download; }; then
    renew
    kernel_package || die "there is no package linux-image-amd64"
    download || die "$kernel and busybox-static cannot be fetched"
fi
dpkg-deb -x busybox-static_*.deb busybox
dpkg-deb --fsys-tarfile "$kernel"_*.deb | tar -x --exclude=./usr/share
rm -f ./*.deb
release=${kernel#linux-image-}
[ -e "boot/vmlinuz-$release" ] || release=$(ls lib/modules | head -n 1)
[ -e "boot/vmlinuz-$release" ] || die "$kernel has no kernel in it"
tree=lib/modules/$release

# -- the RAM disk ------------------------------------------------------------------------------------------------
root=$work/root
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/modules"
cp "$(ls busybox/bin/busybox busybox/usr/bin/busybox 2>/dev/null | head -n 1)" "$root/bin/busybox"
busybox=$root/bin/busybox

# The file of a module; its name may be written with - or _, and the file may be compressed.
find_module() {
    pattern=$(printf %s "$1" | sed 's/[-_]/[-_]/g')
    find "$tree" -name "$pattern.ko" -o -name "$pattern.ko.xz" -o -name "$pattern.ko.zst" -o -name "$pattern.ko.gz" | head -n 1
}
built_in() { sed 's|.*/||; s|\.ko$||; s|-|_|g' "$tree/modules.builtin" | grep -qx "$(printf %s "$1" | tr - _)"; }
# Copies a module, after those that it names in its .modinfo section.
add_module() {
    built_in "$1" && return
    file=$(find_module "$1")
    [ -n "$file" ] || die "$kernel has no module $1"
    plain=$root/modules/$(basename "$file" | sed 's/\.ko.*/.ko/')
    [ ! -e "$plain" ] || return 0
    case $file in
        *.xz) "$busybox" xz -dc "$file" >"$plain" ;;
        *.gz) gzip -dc "$file" >"$plain" ;;
        *.zst) zstd -qdc "$file" >"$plain" || die "zstd is missing" ;;
        *) cp "$file" "$plain" ;;
    esac
    ( for needed in $(tr '\0' '\n' <"$plain" | sed -n 's/^depends=//p' | head -n 1 | tr , ' '); do
        add_module "$needed"
    done )
    basename "$plain" >>"$root/modules/order"
}
: >"$root/modules/order"
for module in $modules; do add_module "$module"; done

printf '%s\n' "${commands:-setsid cttyhack sh}" >"$root/commands"
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
while read -r module; do
    insmod "/modules/$module" || echo "guest: $module cannot be loaded"
done </modules/order
. /commands
sync
poweroff -f
INIT
chmod 755 "$root" "$root/init" "$busybox"
(cd "$root" && find . | "$busybox" cpio -o -H newc 2>/dev/null) | gzip -1 >"$out/initrd.img.new"
cp "boot/vmlinuz-$release" "$out/vmlinuz.new"
mv "$out/initrd.img.new" "$out/initrd.img"
mv "$out/vmlinuz.new" "$out/vmlinuz"
echo "$out: Linux $release, with$modules"
