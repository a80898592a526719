#include "binding/write_nft.h"

#include <vector>

namespace netmode::binding {

namespace {

Napi::Object WriteField(Napi::Env env, const nft::Field &field) {
  Napi::Object object = Napi::Object::New(env);
  switch (field.type) {
    case nft::DataType::kIpv4Address:
      object.Set("ip4", field.text);
      break;
    case nft::DataType::kIpv6Address:
      object.Set("ip6", field.text);
      break;
    case nft::DataType::kNdTarget:
      object.Set("ndTarget", field.text);
      break;
    case nft::DataType::kEtherAddress:
      object.Set("mac", field.text);
      break;
    case nft::DataType::kInetProtocol:
      object.Set("protocol", field.text);
      break;
    case nft::DataType::kInterfaceName:
      object.Set("ifname", field.text);
      break;
    case nft::DataType::kInetService:
      object.Set("port", field.number);
      break;
    case nft::DataType::kMark:
      object.Set("mark", field.number);
      break;
  }
  return object;
}

template <class Item, class WriteItem>
Napi::Array WriteAll(Napi::Env env, const std::vector<Item> &items, WriteItem write) {
  Napi::Array array = Napi::Array::New(env, items.size());
  std::uint32_t index = 0;
  for (const Item &item : items) array.Set(index++, write(env, item));
  return array;
}

Napi::Object WriteTable(Napi::Env env, const nft::TableEntry &table) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("name", table.name);
  object.Set("handle", static_cast<double>(table.handle));
  object.Set("flags", table.flags);
  if (table.comment) object.Set("comment", *table.comment);
  return object;
}

Napi::Object WriteElement(Napi::Env env, const nft::ElementEntry &element) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("key", WriteAll(env, element.key, WriteField));
  if (!element.end.empty()) object.Set("end", WriteAll(env, element.end, WriteField));
  if (!element.data.empty()) object.Set("data", WriteAll(env, element.data, WriteField));
  if (element.comment) object.Set("comment", *element.comment);
  if (element.counter) {
    Napi::Object counter = Napi::Object::New(env);
    counter.Set("packets", static_cast<double>(element.counter->packets));
    counter.Set("bytes", static_cast<double>(element.counter->bytes));
    object.Set("counter", counter);
  }
  return object;
}

Napi::Object WriteChain(Napi::Env env, const nft::ChainEntry &chain) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("family", nft::FamilyName(chain.family));
  object.Set("table", chain.table);
  object.Set("chain", chain.chain);
  if (!chain.base) return object;
  Napi::Object base = Napi::Object::New(env);
  base.Set("type", chain.base->type);
  base.Set("hook", nft::HookName(chain.family, chain.base->hook));
  base.Set("priority", chain.base->priority);
  base.Set("policy", chain.base->drop ? "drop" : "accept");
  if (chain.base->device) base.Set("device", *chain.base->device);
  object.Set("base", base);
  return object;
}

Napi::Object WriteRule(Napi::Env env, const nft::RuleEntry &rule) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("family", nft::FamilyName(rule.family));
  object.Set("table", rule.table);
  object.Set("chain", rule.chain);
  object.Set("handle", static_cast<double>(rule.handle));
  object.Set("expressions",
             WriteAll(env, rule.expressions, [](Napi::Env here, const std::string &name) { return Napi::String::New(here, name); }));
  if (!rule.verdict.empty()) object.Set("verdict", rule.verdict);
  if (!rule.target.empty()) object.Set("target", rule.target);
  if (rule.iifname) object.Set("iifname", *rule.iifname);
  if (rule.oifname) object.Set("oifname", *rule.oifname);
  if (rule.counter) {
    Napi::Object counter = Napi::Object::New(env);
    counter.Set("packets", static_cast<double>(rule.counter->packets));
    counter.Set("bytes", static_cast<double>(rule.counter->bytes));
    object.Set("counter", counter);
  }
  if (rule.comment) object.Set("comment", *rule.comment);
  return object;
}

}  // namespace

Napi::Object WriteNftRules(Napi::Env env, const nft::Rules &rules) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("chains", WriteAll(env, rules.chains, WriteChain));
  object.Set("rules", WriteAll(env, rules.rules, WriteRule));
  return object;
}

Napi::Object WriteNft(Napi::Env env, const nft::Listing &listing, bool elements) {
  Napi::Object object = Napi::Object::New(env);
  if (listing.of_counts) {
    // Flat, as there may be a thousand: `[key, packets, bytes, key, …]`
    Napi::Array counts = Napi::Array::New(env, 3 * listing.counts.size());
    std::uint32_t at = 0;
    for (const nft::ElementCount &one : listing.counts) {
      counts.Set(at++, one.key);
      counts.Set(at++, static_cast<double>(one.counter.packets));
      counts.Set(at++, static_cast<double>(one.counter.bytes));
    }
    object.Set("counts", counts);
  } else if (elements) {
    object.Set("elements", WriteAll(env, listing.elements, WriteElement));
  } else {
    object.Set("tables", WriteAll(env, listing.tables, WriteTable));
  }
  return object;
}

}  // namespace netmode::binding
