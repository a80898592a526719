// Deleting links. The kernel waits for RCU after each RTM_DELLINK, about 20 ms; links in one group share that wait.
//
// A ref with an index is deleted by it, after a look at the name. The index is what identifies a device: within a namespace the
// kernel hands out each number once until it has gone through 2^31, while a name may be taken anew the next instant. But an
// index that was remembered may be one of another namespace or an earlier boot, where it belongs to a stranger; hence the look.
// By IFLA_IFNAME alone, a device that replaced ours under the same name would go. With both in one RTM_DELLINK the kernel
// ignores the name.
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/random.h>

#include <algorithm>
#include <utility>

#include "rtnl/link.h"

namespace netmode::rtnl {

namespace {

using netlink::Failure;
using Failures = std::vector<Failure>;

Failure Refused(std::size_t tag, const LinkRef &ref, int code, std::string_view why) {
  std::string detail = ref.name;
  if (!why.empty()) detail.append(": ").append(why);
  return {.tag = tag, .error = {.code = code, .syscall = {}, .detail = std::move(detail), .holder = {}, .offset = 0}};
}

bool GoesBy(const Link &link, const std::string &name) {
  return name.empty() || link.name == name || std::ranges::find(link.altnames, name) != link.altnames.end();
}

// A group number that no one else uses: out of 2^30 that lie above all that a person would write in /etc/iproute2/group. One
// that two processes drew at once does no harm: whatever is in it is about to be deleted.
std::uint32_t DrawGroup() {
  std::uint32_t drawn = 0;
  static_cast<void>(getrandom(&drawn, sizeof drawn, 0));
  return 0x40000000U | (drawn & 0x3fffffffU);
}

void PutDelete(netlink::Batch &batch, std::uint32_t index, std::size_t tag) {
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(index);
  batch.Begin(RTM_DELLINK, 0, header, tag);
  batch.End();
}

void PutDeleteGroup(netlink::Batch &batch, std::uint32_t group, std::size_t tag) {
  batch.Begin(RTM_DELLINK, 0, ifinfomsg{}, tag);
  batch.PutInteger(IFLA_GROUP, group);
  batch.End();
}

void PutGroup(netlink::Batch &batch, std::uint32_t index, std::uint32_t group, std::size_t tag) {
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(index);
  batch.Begin(RTM_NEWLINK, 0, header, tag);
  batch.PutInteger(IFLA_GROUP, group);
  batch.End();
}

// The links behind the refs, in one exchange. Refs that are missing or belong to another link now become failures.
Result<std::vector<Link>> LookUp(netlink::Socket &socket, const LinkDelete &op, std::size_t tag, Failures &failures) {
  const std::vector<LinkRef> &refs = op.links;
  netlink::Batch batch;
  for (std::size_t position = 0; position < refs.size(); ++position) {
    ifinfomsg header{};
    header.ifi_index = static_cast<int>(refs[position].index.value_or(0));
    batch.Begin(RTM_GETLINK, 0, header, position);
    if (!refs[position].index) batch.PutString(IFLA_IFNAME, refs[position].name);
    batch.PutInteger(IFLA_EXT_MASK, std::uint32_t{RTEXT_FILTER_SKIP_STATS});
    batch.End();
  }
  std::vector<Link> links;
  Result<Failures> missing = socket.Execute(batch, [&](std::size_t position, const netlink::Message &message) {
    std::optional<Link> link = ParseLink(message.payload);
    if (!link) return;
    if (op.only_in_group && link->group != *op.only_in_group) {
      failures.push_back(Refused(tag, refs[position], ENODEV, "it is another's"));
    } else if (GoesBy(*link, refs[position].name)) {
      links.push_back(std::move(*link));
    } else {
      failures.push_back(Refused(tag, refs[position], ENODEV, "its index belongs to '" + link->name + "' now"));
    }
  });
  if (!missing) return std::unexpected(std::move(missing.error()));
  for (const Failure &failure : *missing) failures.push_back(Refused(tag, refs[failure.tag], failure.error.code, failure.error.detail));
  // The same link twice is one deletion.
  std::ranges::sort(links, {}, &Link::index);
  const auto repeated = std::ranges::unique(links, {}, &Link::index);
  links.erase(repeated.begin(), repeated.end());
  return links;
}

// Marks and deletes in one sendmsg, so that a process killed here leaves no link marked.
Result<void> DeleteTogether(netlink::Socket &socket, const std::vector<Link> &links, std::size_t tag, Failures &failures) {
  const std::uint32_t group = DrawGroup();
  const std::size_t last = links.size();
  netlink::Batch batch;
  for (std::size_t position = 0; position < links.size(); ++position) PutGroup(batch, links[position].index, group, position);
  PutDeleteGroup(batch, group, last);
  Result<Failures> refused = socket.Execute(batch);
  if (!refused) return std::unexpected(std::move(refused.error()));

  const bool group_refused = !refused->empty() && refused->back().tag == last && refused->back().error.code != ENODEV;
  for (Failure &failure : *refused) {
    if (failure.tag == last) continue;
    const LinkRef ref{.name = links[failure.tag].name, .index = {}};
    failures.push_back(Refused(tag, ref, failure.error.code, failure.error.detail));
  }
  if (!group_refused) return {};  // an empty group (ENODEV): all of them were refused above, or gone through their peers
  // Then nothing was deleted: the kernel checks the whole group first. The links get their own groups back.
  failures.push_back({.tag = tag, .error = std::move(refused->back().error)});
  batch.Clear();
  for (const Link &link : links) PutGroup(batch, link.index, link.group, tag);
  Result<Failures> restored = socket.Execute(batch);
  if (!restored) return std::unexpected(std::move(restored.error()));
  return {};
}

// Hardware and lo are in no one's power to delete, and one of them would keep its whole group.
void DropUndeletable(std::vector<Link> &links, std::size_t tag, Failures &failures) {
  std::erase_if(links, [&](const Link &link) {
    if (!link.kind.empty()) return false;
    failures.push_back(Refused(tag, {.name = link.name, .index = {}}, EOPNOTSUPP, "this link can't be deleted"));
    return true;
  });
}

Result<void> ExecuteOne(netlink::Socket &socket, netlink::Batch &batch, Failures &failures) {
  Result<Failures> refused = socket.Execute(batch);
  if (!refused) return std::unexpected(std::move(refused.error()));
  std::ranges::move(*refused, std::back_inserter(failures));
  return {};
}

// One link by its name alone needs no look: the kernel does it.
Result<void> DeleteByName(netlink::Socket &socket, const std::string &name, std::size_t tag, Failures &failures) {
  netlink::Batch batch;
  batch.Begin(RTM_DELLINK, 0, ifinfomsg{}, tag);
  batch.PutString(IFLA_IFNAME, name);
  batch.End();
  return ExecuteOne(socket, batch, failures);
}

Result<void> DeleteAll(netlink::Socket &socket, const LinkDelete &op, std::size_t tag, Failures &failures) {
  const LinkRef &first = op.links.front();
  if (op.links.size() == 1 && !first.index && !op.only_in_group) return DeleteByName(socket, first.name, tag, failures);
  Result<std::vector<Link>> links = LookUp(socket, op, tag, failures);
  if (!links) return std::unexpected(std::move(links.error()));
  DropUndeletable(*links, tag, failures);
  if (links->size() > 1) return DeleteTogether(socket, *links, tag, failures);
  netlink::Batch batch;
  if (!links->empty()) PutDelete(batch, links->front().index, tag);
  return ExecuteOne(socket, batch, failures);
}

}  // namespace

Result<Failures> Delete(netlink::Socket &socket, const LinkDelete &op, Names & /*names*/, std::size_t tag) {
  Failures failures;
  if (op.group) {
    if (*op.group == 0) return Fail(EINVAL, "link.delete", "group 0 holds every link that was given none");
    netlink::Batch batch;
    PutDeleteGroup(batch, *op.group, tag);
    if (Result<void> done = ExecuteOne(socket, batch, failures); !done) return std::unexpected(std::move(done.error()));
  }
  if (!op.links.empty()) {
    if (Result<void> done = DeleteAll(socket, op, tag, failures); !done) return std::unexpected(std::move(done.error()));
  }
  return failures;
}

}  // namespace netmode::rtnl
