# What the guest of test/traffic/qemu-guest.test.ts does at its boot, as sh of busybox: scripts/kernels.mjs puts it into its first file system.
# What the kernel's command line says and the kernel has no use for is in the environment. Addresses have to be given: nobody serves DHCP.
ip link set lo up
ip link set eth0 up
for address in $addresses; do ip address add "$address" dev eth0; done
for gateway in $gateways; do ip route add default via "$gateway"; done

mkdir /www
echo from the guest >/www/index.html
httpd -p 80 -h /www

# An IPv6 address is used for nothing until it is known to be nobody else's.
while ip address show dev eth0 | grep -q tentative; do sleep 0.1; done
stty -F /dev/ttyS0 -echo
# On a line of its own: the firmware's last one is not ended.
printf '\nup\n' >/dev/ttyS0
# Asked for `ADDRESS PORT`, it tells what a server there says.
while read -r address port; do echo "heard: $(nc "$address" "$port")" >/dev/ttyS0; done </dev/ttyS0
