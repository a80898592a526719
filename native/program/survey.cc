#include "program/survey.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <set>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "base/json.h"
#include "netns/namespace.h"
#include "netns/visit.h"
#include "rtnl/address.h"
#include "rtnl/dump.h"
#include "rtnl/route.h"
#include "state/look.h"

namespace netmode::program {

namespace {

constexpr std::uint32_t kLoopback = 1;  // its index, in each namespace

// FNV-1a. Nobody is kept out by it: who could make two states look the same could only spare himself a repair.
class Digest {
 public:
  void Add(std::string_view bytes) {
    Add(bytes.size());
    for (const char byte : bytes) Mix(static_cast<unsigned char>(byte));
  }
  template <class Number>
    requires std::is_arithmetic_v<Number>
  void Add(Number number) {
    std::array<unsigned char, sizeof number> bytes;
    std::memcpy(bytes.data(), &number, sizeof number);
    for (const unsigned char byte : bytes) Mix(byte);
  }
  template <class Value>
  void Add(const std::optional<Value> &value) {
    Add(value.has_value());
    if (value) Add(*value);
  }
  void Add(const IpAddress &address) {
    Add(address.family);
    for (const std::byte byte : address.Bytes()) Mix(static_cast<unsigned char>(byte));
  }

  [[nodiscard]] std::string Text() const {
    std::array<char, 16> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), state_, 16).ptr;
    return {digits.data(), end};
  }

 private:
  void Mix(unsigned char byte) { state_ = (state_ ^ byte) * 0x100000001b3; }

  std::uint64_t state_ = 0xcbf29ce484222325;
};

using ByName = std::unordered_map<std::string_view, const rtnl::Link *>;
using ByIndex = std::unordered_map<std::uint32_t, const rtnl::Link *>;

void Add(Digest &digest, const rtnl::Link &link, const ByIndex &by_index) {
  digest.Add(link.index);
  digest.Add(link.name);
  digest.Add(link.kind);
  digest.Add(link.mac);
  digest.Add(link.mtu);
  digest.Add(link.up);
  digest.Add(link.alias);
  digest.Add(link.group);
  digest.Add(link.parent);
  digest.Add(link.link_netnsid);
  digest.Add(link.master);
  // It is known by its name, which another may have by now.
  const auto master = link.master ? by_index.find(*link.master) : by_index.end();
  if (master != by_index.end()) digest.Add(master->second->name);
  if (!link.port) return;
  for (const bool option : {link.port->hairpin, link.port->isolated, link.port->learning, link.port->flood, link.port->multicast_flood,
                            link.port->neigh_suppress}) {
    digest.Add(option);
  }
}

// Of the calling thread's namespace. A list of links would wait for the kernel's lock of them, and have it wait.
bool AddLink(Digest &digest, int socket, const std::string &name) {
  ifreq request{};
  if (name.size() >= sizeof request.ifr_name) return false;
  std::memcpy(request.ifr_name, name.data(), name.size());
  if (ioctl(socket, SIOCGIFFLAGS, &request) != 0) return false;
  digest.Add((request.ifr_flags & IFF_UP) != 0);
  if (name == "lo") return true;
  if (ioctl(socket, SIOCGIFINDEX, &request) != 0) return false;
  digest.Add(request.ifr_ifindex);
  if (ioctl(socket, SIOCGIFHWADDR, &request) != 0) return false;
  digest.Add(std::string_view(request.ifr_hwaddr.sa_data, sizeof request.ifr_hwaddr.sa_data));
  return true;
}

void Add(Digest &digest, const rtnl::Address &one) {
  digest.Add(one.link);
  digest.Add(one.address);
  digest.Add(one.prefix);
  digest.Add(one.peer);
  digest.Add(one.scope);
  digest.Add(one.label);
}

void Add(Digest &digest, const rtnl::Route &route) {
  digest.Add(route.family);
  digest.Add(route.to.address);
  digest.Add(route.to.length);
  digest.Add(route.via);
  digest.Add(route.link);
  digest.Add(route.source);
  digest.Add(route.metric);
  digest.Add(route.type);
  for (const rtnl::NextHop &hop : route.next_hops) {
    digest.Add(hop.via);
    digest.Add(hop.link);
  }
}

// Of one family: for both at once the kernel takes its lock of all links.
Result<std::vector<rtnl::Address>> Addresses(netlink::Socket &socket, std::uint8_t family) {
  ifaddrmsg header{};
  header.ifa_family = family;
  netlink::Batch request;
  request.Begin(RTM_GETADDR, NLM_F_DUMP, header, 0);
  request.End();
  std::vector<rtnl::Address> addresses;
  const auto any = [](const rtnl::Address &) { return true; };
  if (auto dumped = rtnl::DumpInto(socket, request, addresses, rtnl::ParseAddress, any); !dumped)
    return std::unexpected(std::move(dumped.error()));
  return addresses;
}

// The calling thread goes to the namespace and stays. false: it can't be told how it looks.
bool AddNamespace(Digest &digest, const Survey::Item &item) {
  const auto ns = netns::Open({.slot = {}, .path = item.netns});
  if (!ns) return false;
  struct stat file;
  if (fstat(ns->Get(), &file) != 0 || setns(ns->Get(), CLONE_NEWNET) != 0) return false;
  digest.Add(file.st_ino);
  auto socket = netlink::Socket::Open(NETLINK_ROUTE);
  if (!socket) return false;
  for (const std::string &name : item.inside) {
    if (!AddLink(digest, socket->Fd(), name)) return false;
  }
  for (const std::uint8_t family : {AF_INET, AF_INET6}) {
    const auto addresses = Addresses(*socket, family);
    if (!addresses) return false;
    for (const auto &one : *addresses) Add(digest, one);
    // Who has no address but the loopback's has no use for routes.
    if (std::ranges::all_of(*addresses, [](const auto &one) { return one.link == kLoopback; })) continue;
    const auto routes = rtnl::List(*socket, rtnl::RouteList{.ns = {}, .family = family == AF_INET ? 4U : 6U, .table = {}});
    if (!routes) return false;
    for (const auto &one : *routes) Add(digest, one);
  }
  return true;
}

bool AddFiles(Digest &digest, const std::vector<std::string> &files) {
  const auto sights = state::Run(state::FileLook{.paths = files});
  if (!sights) return false;
  for (const state::Sight &sight : *sights) {
    if (!sight.version) return false;
    digest.Add(*sight.version);
  }
  return true;
}

void ReadTexts(const json::Value &item, std::string_view key, std::vector<std::string> &texts) {
  const json::Value *list = item.Find(key);
  if (list == nullptr || list->kind != json::Kind::kArray) return;
  for (const json::Value &one : list->items) texts.emplace_back(one.text);
}

std::vector<Survey::Item> ItemsOf(const Survey &op) {
  std::vector<Survey::Item> items;
  if (op.from) {
    const auto sights = state::Run(state::FileLook{.paths = {op.from->path}, .known = {{std::string()}}});
    const std::string text = sights && sights->front().text ? *sights->front().text : std::string();
    std::size_t begin = 0;
    for (std::uint32_t line = 0; line < op.from->line && begin != std::string::npos; ++line) {
      begin = text.find('\n', begin);
      if (begin != std::string::npos) ++begin;
    }
    const auto line = begin == std::string::npos ? std::string() : text.substr(begin, text.find('\n', begin) - begin);
    const auto document = json::Parse(line);
    if (document && document->Root().kind == json::Kind::kArray) {
      for (const json::Value &value : document->Root().items) {
        Survey::Item &item = items.emplace_back();
        ReadTexts(value, "files", item.files);
        ReadTexts(value, "links", item.links);
        ReadTexts(value, "inside", item.inside);
        const json::Value *netns = value.Find("netns");
        if (netns != nullptr) item.netns.emplace(netns->text);
      }
    }
  }
  items.insert(items.end(), op.items.begin(), op.items.end());
  return items;
}

std::string NamesOfOthers(const std::vector<Survey::Item> &items, std::uint32_t group, const std::vector<rtnl::Link> &links) {
  std::set<std::string_view> named;
  for (const Survey::Item &item : items) named.insert(item.links.begin(), item.links.end());
  std::vector<std::string_view> others;
  for (const rtnl::Link &link : links) {
    if (link.group == group && !named.contains(link.name)) others.push_back(link.name);
  }
  std::string text;
  for (const std::string_view name : others) {
    if (!text.empty()) text += ' ';
    text += name;
  }
  return text;
}

}  // namespace

Result<std::vector<std::string>> Look(const Survey &op, netlink::Socket &host, int home, rtnl::Names &names) {
  const std::vector<Survey::Item> items = ItemsOf(op);
  std::vector<rtnl::Link> links;
  if (op.group || std::ranges::any_of(items, [](const auto &item) { return !item.links.empty(); })) {
    auto listed = rtnl::List(host, rtnl::LinkList{.ns = {}, .name = {}, .master = {}, .partial_ok = true}, names);
    if (!listed) return std::unexpected(std::move(listed.error()));
    links = std::move(*listed);
  }
  ByName by_name;
  ByIndex by_index;
  for (const rtnl::Link &link : links) {
    by_name.emplace(link.name, &link);
    by_index.emplace(link.index, &link);
  }
  std::vector<std::string> seen;
  seen.reserve(items.size() + 1);
  bool away = false;
  for (const Survey::Item &item : items) {
    Digest digest;
    bool good = AddFiles(digest, item.files);
    for (const std::string &name : item.links) {
      const auto link = by_name.find(name);
      good = good && link != by_name.end();
      if (good) Add(digest, *link->second, by_index);
    }
    if (good && item.netns) {
      away = true;
      good = AddNamespace(digest, item);
    }
    seen.push_back(good ? digest.Text() : std::string());
  }
  if (away) {
    if (auto back = netns::GoHome(home); !back) return std::unexpected(std::move(back.error()));
  }
  if (op.group) seen.push_back(NamesOfOthers(items, *op.group, links));
  return seen;
}

}  // namespace netmode::program
