#!/bin/sh
# SPDX-License-Identifier: MIT
#
# One image for both doors: image.sh OUT.iso HOWLER.elf BOOTX64.EFI GUEST.elf|"" "OPTIONS" "WORDS" [MODULE ...]
#
# WORDS are the guest's command line, MODULES its modules, 7 at most.
#
# BIOS: El Torito and a hybrid MBR, GRUB, multiboot. UEFI: the same FAT volume
# as El Torito image and as an MBR partition of type 0xEF, so that it starts
# from a CD and from a stick. For tests: GRUB_COMMANDS, one a line, run before
# multiboot, and stop the boot if they fail; TABLES are files for them, in /tables.
# All temporary files are beside OUT, so that parallel runs don't interfere.
set -eu

out=$1 howler=$2 efi=$3 guest=$4 options=$5 words=$6
shift 6
grub=${GRUB_DIR:-/usr/lib/grub/i386-pc}
work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/tree/boot/grub" "$work/tree/howler"
cp "$howler" "$work/tree/howler/howler.elf"
# Quote each word: | ; & and $ are special in GRUB's script, too.
quoted() { (set -f; for w in $1; do printf " '%s'" "$w"; done); }
{
	echo 'set timeout=0'
	echo 'set default=0'
	echo 'menuentry "Howler" {'
	printf '%s\n' "${GRUB_COMMANDS-}" |
		sed "s/..*/if &; then true; else serial; terminal_output serial; echo 'GRUB: &: no'; halt; fi/"
	echo "	multiboot /howler/howler.elf $(quoted "$options")"
	if [ -n "$guest" ]; then
		cp "$guest" "$work/tree/howler/guest.elf"
		echo "	module /howler/guest.elf $(quoted "$words")"
	fi
	number=0
	for module; do
		number=$((number + 1))
		cp "$module" "$work/tree/howler/module$number"
		echo "	module /howler/module$number module$number"
	done
	echo '}'
} >"$work/tree/boot/grub/grub.cfg"
[ -z "${TABLES-}" ] || { mkdir "$work/tree/tables" && cp $TABLES "$work/tree/tables"; }
printf '%s\n' "$options" >"$work/cmdline.txt"
printf '%s\n' "$words" >"$work/guest.cmd"

# GRUB with the few modules that it needs built in: it has to find and read nothing else. A module that is missing is an
# error here, as GRUB's script would take an unknown command for one that succeeded.
extra=${GRUB_COMMANDS:+true serial terminal echo halt}
for command in $(printf '%s\n' "${GRUB_COMMANDS-}" | sed 's/ .*//'); do
	extra="$extra $(sed -n "s/^\**$command: //p" "$grub/command.lst" | grep .)" || { echo "GRUB has no $command" && exit 1; }
done
grub-mkimage -d "$grub" -O i386-pc-eltorito -p /boot/grub -o "$work/tree/boot/grub/bios.img" \
	biosdisk iso9660 normal multiboot \
	$extra

# FAT with room for the files and a little more, in sectors of 512 bytes.
bytes=$(cat "$howler" "$efi" ${guest:+"$guest"} "$@" | wc -c)
export MTOOLS_SKIP_CHECK=1
mformat -C -i "$work/efi.img" -T $((bytes / 512 + 2880)) -h 16 -s 63 -v HOWLER ::
mmd -i "$work/efi.img" ::/EFI ::/EFI/BOOT ::/howler
mcopy -i "$work/efi.img" "$efi" ::/EFI/BOOT/BOOTX64.EFI
mcopy -i "$work/efi.img" "$howler" ::/howler/howler.elf
mcopy -i "$work/efi.img" "$work/cmdline.txt" ::/howler/cmdline.txt
if [ -n "$guest" ]; then
	mcopy -i "$work/efi.img" "$guest" ::/howler/guest.elf
	mcopy -i "$work/efi.img" "$work/guest.cmd" ::/howler/guest.cmd
fi
number=0
for module; do
	number=$((number + 1))
	mcopy -i "$work/efi.img" "$module" "::/howler/module$number"
done

xorriso -as mkisofs -quiet -R -V HOWLER -o "$work/image.iso" \
	-b boot/grub/bios.img -no-emul-boot -boot-load-size 4 -boot-info-table --grub2-boot-info \
	--grub2-mbr "$grub/boot_hybrid.img" -partition_offset 16 \
	-append_partition 2 0xef "$work/efi.img" \
	-eltorito-alt-boot -e --interval:appended_partition_2:all:: -no-emul-boot \
	"$work/tree"
mv "$work/image.iso" "$out"
