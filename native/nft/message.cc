#include "nft/message.h"

#include <arpa/inet.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>

#include <memory>

#include "nft/user_data.h"

namespace netmode::nft {

namespace {

constexpr std::size_t kMaxName = NFT_NAME_MAXLEN - 1;
constexpr std::size_t kMaxExpressions = 64;
// NFTNL_SET_ELEM_F_INTERVAL_OPEN in nft: the interval goes up to the highest value, so that it has no end element.
constexpr std::uint32_t kIntervalOpen = 1;

template <auto kFree>
struct Free {
  template <class Object>
  void operator()(Object *object) const {
    kFree(object);
  }
};
using Table = std::unique_ptr<nftnl_table, Free<nftnl_table_free>>;
using Chain = std::unique_ptr<nftnl_chain, Free<nftnl_chain_free>>;
using SetOwner = std::unique_ptr<nftnl_set, Free<nftnl_set_free>>;
using Rule = std::unique_ptr<nftnl_rule, Free<nftnl_rule_free>>;

bool BadName(const std::string &name) { return name.empty() || name.size() > kMaxName || name.contains('\0'); }

nlmsghdr *Begin(std::span<std::byte> room, std::uint16_t type, Family family, std::uint16_t flags) {
  return nftnl_nlmsg_build_hdr(reinterpret_cast<char *>(room.data()), type, static_cast<std::uint16_t>(family), flags, 0);
}

std::uint16_t CreateFlags(bool exclusive) { return exclusive ? NLM_F_CREATE | NLM_F_EXCL : NLM_F_CREATE; }

class Encoder {
 public:
  Encoder(std::uint32_t serial, std::span<std::byte> room, const char *name) : serial_(serial), room_(room), name_(name) {}

  Result<std::size_t> operator()(const TableVerb &verb) {
    if (BadName(verb.table)) return BadNames();
    const Table table(nftnl_table_alloc());
    if (!table) return OutOfMemory();
    nftnl_table_set_str(table.get(), NFTNL_TABLE_NAME, verb.table.c_str());
    const bool add = verb.action == Action::kAdd;
    if (add && verb.comment) {
      UserData data;
      data.PutText(NFTNL_UDATA_TABLE_COMMENT, *verb.comment);
      if (!data.Whole()) return LongComment();
      nftnl_table_set_data(table.get(), NFTNL_TABLE_USERDATA, data.Bytes().data(), Size(data));
    }
    nlmsghdr *message = Begin(room_, add ? NFT_MSG_NEWTABLE : NFT_MSG_DELTABLE, verb.family, add ? CreateFlags(verb.exclusive) : 0);
    nftnl_table_nlmsg_build_payload(message, table.get());
    return message->nlmsg_len;
  }

  Result<std::size_t> operator()(const ChainAdd &verb) {
    if (BadName(verb.table) || BadName(verb.chain)) return BadNames();
    if (verb.base && (BadName(verb.base->type) || (verb.base->device && BadName(*verb.base->device)))) return BadNames();
    const Chain chain(nftnl_chain_alloc());
    if (!chain) return OutOfMemory();
    nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_TABLE, verb.table.c_str());
    nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_NAME, verb.chain.c_str());
    if (verb.base) {
      nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_TYPE, verb.base->type.c_str());
      nftnl_chain_set_u32(chain.get(), NFTNL_CHAIN_HOOKNUM, verb.base->hook);
      nftnl_chain_set_s32(chain.get(), NFTNL_CHAIN_PRIO, verb.base->priority);
      nftnl_chain_set_u32(chain.get(), NFTNL_CHAIN_POLICY, verb.base->drop ? NF_DROP : NF_ACCEPT);
      if (verb.base->device) nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_DEV, verb.base->device->c_str());
    }
    nlmsghdr *message = Begin(room_, NFT_MSG_NEWCHAIN, verb.family, NLM_F_CREATE);
    nftnl_chain_nlmsg_build_payload(message, chain.get());
    return message->nlmsg_len;
  }

  Result<std::size_t> operator()(const SetAdd &verb) {
    if (BadName(verb.table) || BadName(verb.set)) return BadNames();
    if (verb.key.empty() || ConcatenatedSize(verb.key) > Tuple::kCapacity || ConcatenatedSize(verb.data) > Tuple::kCapacity) {
      return Fail(EINVAL, name_, "a key or value takes 1 to 64 bytes");
    }
    const SetOwner set(nftnl_set_alloc());
    if (!set) return OutOfMemory();
    nftnl_set_set_str(set.get(), NFTNL_SET_TABLE, verb.table.c_str());
    nftnl_set_set_str(set.get(), NFTNL_SET_NAME, verb.set.c_str());
    nftnl_set_set_u32(set.get(), NFTNL_SET_ID, serial_);
    SetTypes(set.get(), verb);
    if (verb.counter) {
      nftnl_expr *counter = nftnl_expr_alloc("counter");
      if (counter == nullptr) return OutOfMemory();
      nftnl_set_add_expr(set.get(), counter);
    }
    const UserData data = UserData::ForSet(verb);
    if (!data.Whole()) return LongComment();
    nftnl_set_set_data(set.get(), NFTNL_SET_USERDATA, data.Bytes().data(), Size(data));
    nlmsghdr *message = Begin(room_, NFT_MSG_NEWSET, verb.family, NLM_F_CREATE);
    nftnl_set_nlmsg_build_payload(message, set.get());
    return message->nlmsg_len;
  }

  Result<std::size_t> operator()(const RuleAdd &verb) {
    if (BadName(verb.table) || BadName(verb.chain)) return BadNames();
    if (verb.expressions.size() > kMaxExpressions) return Fail(E2BIG, name_, "a rule takes 64 expressions at most");
    const Rule rule(nftnl_rule_alloc());
    if (!rule) return OutOfMemory();
    nftnl_rule_set_str(rule.get(), NFTNL_RULE_TABLE, verb.table.c_str());
    nftnl_rule_set_str(rule.get(), NFTNL_RULE_CHAIN, verb.chain.c_str());
    for (const Expression &expression : verb.expressions) {
      if (const auto *lookup = std::get_if<Lookup>(&expression); lookup != nullptr && BadName(lookup->set)) return BadNames();
      if (const auto *verdict = std::get_if<Verdict>(&expression); verdict != nullptr && verdict->chain.size() > kMaxName)
        return BadNames();
      if (auto appended = Append(rule.get(), expression); !appended) return std::unexpected(appended.error());
    }
    if (verb.comment) {
      UserData data;
      data.PutText(NFTNL_UDATA_RULE_COMMENT, *verb.comment);
      if (!data.Whole()) return LongComment();
      nftnl_rule_set_data(rule.get(), NFTNL_RULE_USERDATA, data.Bytes().data(), Size(data));
    }
    nlmsghdr *message = Begin(room_, NFT_MSG_NEWRULE, verb.family, NLM_F_CREATE | NLM_F_APPEND);
    nftnl_rule_nlmsg_build_payload(message, rule.get());
    return message->nlmsg_len;
  }

  Result<std::size_t> operator()(const ElementVerb &verb) {
    if (BadName(verb.table) || BadName(verb.set)) return BadNames();
    if (verb.key.Empty()) return Fail(EINVAL, name_, "an element needs a key");
    const SetOwner set(nftnl_set_alloc());
    if (!set) return OutOfMemory();
    nftnl_set_set_str(set.get(), NFTNL_SET_TABLE, verb.table.c_str());
    nftnl_set_set_str(set.get(), NFTNL_SET_NAME, verb.set.c_str());
    const bool add = verb.action == Action::kAdd;
    if (auto added = AddElements(set.get(), verb); !added) return std::unexpected(added.error());
    nlmsghdr *message = Begin(room_, add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, verb.family, add ? CreateFlags(verb.exclusive) : 0);
    nftnl_set_elems_nlmsg_build_payload(message, set.get());
    return message->nlmsg_len;
  }

 private:
  static std::uint32_t Size(const UserData &data) { return static_cast<std::uint32_t>(data.Bytes().size()); }

  static void SetTypes(nftnl_set *set, const SetAdd &verb) {
    std::uint32_t flags = 0;
    if (verb.interval) flags |= NFT_SET_INTERVAL;
    if (!verb.data.empty()) flags |= NFT_SET_MAP;
    nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, ConcatenatedType(verb.key));
    nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, ConcatenatedSize(verb.key));
    if (!verb.data.empty()) {
      nftnl_set_set_u32(set, NFTNL_SET_DATA_TYPE, ConcatenatedType(verb.data));
      nftnl_set_set_u32(set, NFTNL_SET_DATA_LEN, ConcatenatedSize(verb.data));
    }
    if (verb.interval && verb.key.size() > 1) {
      // Ranges in each field: the kernel must know where the fields are.
      flags |= NFT_SET_CONCAT;
      std::vector<std::uint8_t> lengths;
      lengths.reserve(verb.key.size());
      for (const DataType type : verb.key) lengths.push_back(static_cast<std::uint8_t>(DataSize(type)));
      nftnl_set_set_data(set, NFTNL_SET_DESC_CONCAT, lengths.data(), static_cast<std::uint32_t>(lengths.size()));
    }
    nftnl_set_set_u32(set, NFTNL_SET_FLAGS, flags);
  }

  Result<void> AddElements(nftnl_set *set, const ElementVerb &verb) {
    const bool ranges = !verb.end.Empty() && verb.key.Fields() > 1;
    Tuple after = verb.end;
    const bool half_open = !verb.end.Empty() && !ranges;
    const bool has_end = half_open && after.Increment();
    nftnl_set_elem *element = NewElement(set, verb.key);
    if (element == nullptr) return Fail(ENOMEM, name_);
    if (ranges) Put(element, NFTNL_SET_ELEM_KEY_END, verb.end.Bytes());
    if (!verb.data.Empty()) Put(element, NFTNL_SET_ELEM_DATA, verb.data.Bytes());
    UserData data;
    if (verb.comment) data.PutText(NFTNL_UDATA_SET_ELEM_COMMENT, *verb.comment);
    if (half_open && !has_end) data.PutInteger(NFTNL_UDATA_SET_ELEM_FLAGS, kIntervalOpen);
    if (!data.Whole()) return Fail(E2BIG, name_, "the comment is too long");
    if (!data.Empty()) Put(element, NFTNL_SET_ELEM_USERDATA, data.Bytes());
    if (!has_end) return {};
    nftnl_set_elem *end = NewElement(set, after);
    if (end == nullptr) return Fail(ENOMEM, name_);
    nftnl_set_elem_set_u32(end, NFTNL_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
    return {};
  }

  // Belongs to the set.
  static nftnl_set_elem *NewElement(nftnl_set *set, const Tuple &key) {
    nftnl_set_elem *element = nftnl_set_elem_alloc();
    if (element == nullptr) return nullptr;
    nftnl_set_elem_add(set, element);
    Put(element, NFTNL_SET_ELEM_KEY, key.Bytes());
    return element;
  }
  static void Put(nftnl_set_elem *element, std::uint16_t attribute, std::span<const std::byte> value) {
    nftnl_set_elem_set(element, attribute, value.data(), static_cast<std::uint32_t>(value.size()));
  }

  [[nodiscard]] std::unexpected<Error> BadNames() const { return Fail(EINVAL, name_, "a name takes 1 to 255 bytes"); }
  [[nodiscard]] std::unexpected<Error> LongComment() const { return Fail(E2BIG, name_, "the comment is too long"); }
  [[nodiscard]] std::unexpected<Error> OutOfMemory() const { return Fail(ENOMEM, name_); }

  std::uint32_t serial_;
  std::span<std::byte> room_;
  const char *name_;
};

struct Namer {
  const char *operator()(const TableVerb &verb) const { return verb.action == Action::kAdd ? "nft.table.add" : "nft.table.delete"; }
  const char *operator()(const ChainAdd &) const { return "nft.chain.add"; }
  const char *operator()(const SetAdd &) const { return "nft.set.add"; }
  const char *operator()(const RuleAdd &) const { return "nft.rule.add"; }
  const char *operator()(const ElementVerb &verb) const { return verb.action == Action::kAdd ? "nft.element.add" : "nft.element.delete"; }
};

}  // namespace

Result<std::size_t> Encode(const Verb &verb, std::uint32_t serial, std::span<std::byte> room) {
  return std::visit(Encoder(serial, room, VerbName(verb)), verb);
}

const char *VerbName(const Verb &verb) { return std::visit(Namer{}, verb); }

}  // namespace netmode::nft
