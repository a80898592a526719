// Attaches with vishvananda/netlink, told what to do in lines of fields apart by tabs; answers nanoseconds.
//
//	make NAME LINK ADDRESS PREFIX GATEWAY BRIDGE            the pair is made here, one end is moved
//	make-in-place NAME LINK ADDRESS PREFIX GATEWAY BRIDGE   the peer is born in its namespace
//	clear NAME LINK
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

func attach(home netns.NsHandle, inPlace bool, name, link, address, prefix, gateway, bridge string) error {
	space, err := netns.NewNamed(name)
	if err != nil {
		return err
	}
	defer space.Close()
	if err := netns.Set(home); err != nil {
		return err
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name = link
	pair := &netlink.Veth{LinkAttrs: attributes, PeerName: "eth0"}
	if inPlace {
		pair.PeerNamespace = netlink.NsFd(int(space))
	} else {
		pair.PeerName = link + "x"
	}
	if err := netlink.LinkAdd(pair); err != nil {
		return err
	}
	if !inPlace {
		peer, err := netlink.LinkByName(pair.PeerName)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetNsFd(peer, int(space)); err != nil {
			return err
		}
	}
	master, err := netlink.LinkByName(bridge)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetMaster(pair, master); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(pair); err != nil {
		return err
	}
	inside, err := netlink.NewHandleAt(space)
	if err != nil {
		return err
	}
	defer inside.Delete()
	lo, err := inside.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := inside.LinkSetUp(lo); err != nil {
		return err
	}
	eth0, err := inside.LinkByName(pair.PeerName)
	if err != nil {
		return err
	}
	if !inPlace {
		if err := inside.LinkSetName(eth0, "eth0"); err != nil {
			return err
		}
	}
	own, err := netlink.ParseAddr(address + "/" + prefix)
	if err != nil {
		return err
	}
	if err := inside.AddrAdd(eth0, own); err != nil {
		return err
	}
	if err := inside.LinkSetUp(eth0); err != nil {
		return err
	}
	via, err := netlink.ParseAddr(gateway + "/32")
	if err != nil {
		return err
	}
	return inside.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: via.IP})
}

func clearAway(name, link string) error {
	made, err := netlink.LinkByName(link)
	if err != nil {
		return err
	}
	if err := netlink.LinkDel(made); err != nil {
		return err
	}
	return netns.DeleteNamed(name)
}

func obey(home netns.NsHandle, fields []string) error {
	switch {
	case (fields[0] == "make" || fields[0] == "make-in-place") && len(fields) == 7:
		return attach(home, fields[0] != "make", fields[1], fields[2], fields[3], fields[4], fields[5], fields[6])
	case fields[0] == "clear" && len(fields) == 3:
		return clearAway(fields[1], fields[2])
	}
	return fmt.Errorf("unknown command %q", fields)
}

func main() {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		fmt.Println("error", err)
		return
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		start := time.Now()
		if err := obey(home, strings.Split(lines.Text(), "\t")); err != nil {
			fmt.Println("error", err)
			continue
		}
		fmt.Println(time.Since(start).Nanoseconds())
	}
}
