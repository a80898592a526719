#include "nft/list.h"

#include <libnftnl/udata.h>

#include <algorithm>
#include <cstring>

#include "nft/dump.h"
#include "nft/user_data.h"

namespace netmode::nft {

namespace {

using netlink::Attribute;
using netlink::Bytes;
using netlink::Message;

nfgenmsg Header(Family family) { return nft::Header(static_cast<std::uint8_t>(family)); }

// What a set's elements are made of.
struct Shape {
  std::uint32_t key_type = 0;
  std::uint32_t data_type = 0;
  std::uint32_t flags = 0;

  // Elements are the two ends of half-open intervals.
  [[nodiscard]] bool HalfOpen() const { return (flags & NFT_SET_INTERVAL) != 0 && (flags & NFT_SET_CONCAT) == 0; }
};

Result<Shape> ShapeOf(netlink::Socket &socket, const ListVerb &verb) {
  netlink::Batch request;
  request.Begin(MessageType(NFT_MSG_GETSET), 0, Header(verb.family), 0);
  request.PutString(NFTA_SET_TABLE, *verb.table);
  request.PutString(NFTA_SET_NAME, *verb.set);
  request.End();
  Shape shape;
  auto got = Get(socket, request, NFT_MSG_NEWSET, [&](const Attribute &attribute) {
    if (attribute.type == NFTA_SET_KEY_TYPE) shape.key_type = NetworkU32(attribute);
    if (attribute.type == NFTA_SET_DATA_TYPE) shape.data_type = NetworkU32(attribute);
    if (attribute.type == NFTA_SET_FLAGS) shape.flags = NetworkU32(attribute);
  });
  if (!got) return std::unexpected(std::move(got.error()));
  return shape;
}

// An element as received.
struct RawElement {
  std::vector<std::byte> key;
  std::vector<std::byte> end;
  std::vector<std::byte> data;
  std::uint32_t flags = 0;
  std::optional<std::string> comment;
  std::optional<ElementCounter> counter;

  [[nodiscard]] bool IsEnd() const { return (flags & NFT_SET_ELEM_INTERVAL_END) != 0; }
};

std::optional<std::vector<std::byte>> ValueOf(Bytes nest) {
  std::vector<std::byte> value;
  const bool whole = netlink::ForEachAttribute(nest, [&](const Attribute &attribute) {
    if (attribute.type == NFTA_DATA_VALUE) value.assign(attribute.value.begin(), attribute.value.end());
  });
  if (!whole) return std::nullopt;
  return value;
}

// The one expression that elements of ours have: what was counted.
bool ReadCounter(Bytes nest, std::optional<ElementCounter> &counter) {
  bool counts = false;
  Bytes data;
  bool whole = netlink::ForEachAttribute(nest, [&](const Attribute &attribute) {
    if (attribute.type == NFTA_EXPR_NAME) counts = attribute.Text() == "counter";
    if (attribute.type == NFTA_EXPR_DATA) data = attribute.value;
  });
  if (!counts) return whole;
  ElementCounter read;
  whole = netlink::ForEachAttribute(data,
                                    [&](const Attribute &attribute) {
                                      if (attribute.type == NFTA_COUNTER_PACKETS) read.packets = NetworkU64(attribute);
                                      if (attribute.type == NFTA_COUNTER_BYTES) read.bytes = NetworkU64(attribute);
                                    }) &&
          whole;
  counter = read;
  return whole;
}

std::optional<RawElement> ReadElement(Bytes nest) {
  RawElement element;
  bool good = true;
  const auto read = [&](const Attribute &attribute, std::vector<std::byte> &into) {
    auto value = ValueOf(attribute.value);
    good = good && value;
    if (value) into = std::move(*value);
  };
  const bool whole = netlink::ForEachAttribute(nest, [&](const Attribute &attribute) {
    if (attribute.type == NFTA_SET_ELEM_KEY) read(attribute, element.key);
    if (attribute.type == NFTA_SET_ELEM_KEY_END) read(attribute, element.end);
    if (attribute.type == NFTA_SET_ELEM_DATA) read(attribute, element.data);
    if (attribute.type == NFTA_SET_ELEM_FLAGS) element.flags = NetworkU32(attribute);
    if (attribute.type == NFTA_SET_ELEM_EXPR) good = ReadCounter(attribute.value, element.counter) && good;
    if (attribute.type == NFTA_SET_ELEM_USERDATA) element.comment = FindText(attribute.value, NFTNL_UDATA_SET_ELEM_COMMENT);
  });
  if (!whole || !good) return std::nullopt;
  return element;
}

Result<void> ReadElements(const Message &message, std::vector<RawElement> &elements) {
  const auto attributes = AttributesOf(message, NFT_MSG_NEWSETELEM);
  if (!attributes) return {};
  bool good = true;
  const bool whole = netlink::ForEachAttribute(*attributes, [&](const Attribute &list) {
    if (list.type != NFTA_SET_ELEM_LIST_ELEMENTS) return;
    good = netlink::ForEachAttribute(list.value,
                                     [&](const Attribute &one) {
                                       auto element = ReadElement(one.value);
                                       good = good && element;
                                       if (element) elements.push_back(std::move(*element));
                                     }) &&
           good;
  });
  return whole && good ? Result<void>() : Malformed("set elements");
}

// The value before, in network order.
void Decrement(std::vector<std::byte> &value) {
  for (auto place = value.rbegin(); place != value.rend(); ++place) {
    const auto old = *place;
    *place = static_cast<std::byte>(static_cast<unsigned>(old) - 1);
    if (old != std::byte{0}) return;
  }
}

// Puts starts and ends together: each start is followed by its end, an end comes before a start at the same key, and the interval
// up to the highest value has no end.
std::vector<RawElement> PairUp(std::vector<RawElement> elements) {
  std::ranges::sort(elements, [](const RawElement &left, const RawElement &right) {
    if (left.key != right.key) return left.key < right.key;
    return left.IsEnd() && !right.IsEnd();
  });
  std::vector<RawElement> intervals;
  for (std::size_t index = 0; index < elements.size(); ++index) {
    if (elements[index].IsEnd()) continue;
    RawElement interval = std::move(elements[index]);
    if (index + 1 < elements.size() && elements[index + 1].IsEnd()) {
      interval.end = elements[index + 1].key;
      Decrement(interval.end);
    } else {
      interval.end.assign(interval.key.size(), std::byte{0xff});
    }
    intervals.push_back(std::move(interval));
  }
  return intervals;
}

Result<std::vector<ElementEntry>> Present(std::vector<RawElement> elements, const Shape &shape) {
  if (shape.HalfOpen()) elements = PairUp(std::move(elements));
  std::vector<ElementEntry> entries;
  entries.reserve(elements.size());
  for (RawElement &element : elements) {
    auto key = Split(shape.key_type, element.key);
    auto end = element.end.empty() ? std::vector<Field>() : Split(shape.key_type, element.end);
    auto data = element.data.empty() ? std::vector<Field>() : Split(shape.data_type, element.data);
    if (!key || !end || !data) return Fail(ENOTSUP, "nft.list", "the set holds a type of value that netmode doesn't read");
    entries.push_back({.key = std::move(*key),
                       .end = std::move(*end),
                       .data = std::move(*data),
                       .comment = std::move(element.comment),
                       .counter = element.counter});
  }
  return entries;
}

Result<std::vector<RawElement>> DumpElements(netlink::Socket &socket, const ListVerb &verb) {
  netlink::Batch request;
  request.Begin(MessageType(NFT_MSG_GETSETELEM), NLM_F_DUMP, Header(verb.family), 0);
  request.PutString(NFTA_SET_ELEM_LIST_TABLE, *verb.table);
  request.PutString(NFTA_SET_ELEM_LIST_SET, *verb.set);
  request.End();
  std::vector<RawElement> elements;
  auto dumped = socket.Dump(request, [&](const Message &message) { return ReadElements(message, elements); }, [&] { elements.clear(); });
  if (!dumped) return std::unexpected(std::move(dumped.error()));
  return elements;
}

std::string InWords(const std::vector<Field> &key) {
  std::string words;
  for (const Field &field : key) {
    if (!words.empty()) words += ' ';
    words += field.text.empty() ? std::to_string(field.number) : field.text;
  }
  return words;
}

Result<std::vector<ElementCount>> CountsOf(const std::vector<RawElement> &elements, const Shape &shape) {
  std::vector<ElementCount> counts;
  for (const RawElement &element : elements) {
    if (!element.counter || element.counter->packets == 0) continue;
    const auto key = Split(shape.key_type, element.key);
    if (!key) return Fail(ENOTSUP, "nft.list", "the set holds a type of value that netmode doesn't read");
    counts.push_back({.key = InWords(*key), .counter = *element.counter});
  }
  return counts;
}

Result<void> ReadTable(const Message &message, Family family, std::vector<TableEntry> &tables) {
  const auto attributes = AttributesOf(message, NFT_MSG_NEWTABLE);
  if (!attributes || static_cast<std::uint8_t>(message.payload[0]) != static_cast<std::uint8_t>(family)) return {};
  TableEntry table;
  const bool whole = netlink::ForEachAttribute(*attributes, [&](const Attribute &attribute) {
    if (attribute.type == NFTA_TABLE_NAME) table.name = attribute.Text();
    if (attribute.type == NFTA_TABLE_FLAGS) table.flags = NetworkU32(attribute);
    if (attribute.type == NFTA_TABLE_USERDATA) table.comment = FindText(attribute.value, NFTNL_UDATA_TABLE_COMMENT);
    if (attribute.type == NFTA_TABLE_HANDLE) table.handle = NetworkU64(attribute);
  });
  if (!whole) return Malformed("table");
  tables.push_back(std::move(table));
  return {};
}

Result<std::vector<TableEntry>> ListTables(netlink::Socket &socket, const ListVerb &verb) {
  netlink::Batch request;
  request.Begin(MessageType(NFT_MSG_GETTABLE), NLM_F_DUMP, Header(verb.family), 0);
  request.End();
  std::vector<TableEntry> tables;
  auto dumped =
      socket.Dump(request, [&](const Message &message) { return ReadTable(message, verb.family, tables); }, [&] { tables.clear(); });
  if (!dumped) return std::unexpected(std::move(dumped.error()));
  if (verb.table) std::erase_if(tables, [&](const TableEntry &table) { return table.name != *verb.table; });
  return tables;
}

Result<Listing> ListOnce(netlink::Socket &socket, const ListVerb &verb) {
  Listing listing;
  if (verb.table && verb.set) {
    const auto shape = ShapeOf(socket, verb);
    if (!shape) return std::unexpected(shape.error());
    auto raw = DumpElements(socket, verb);
    if (!raw) return std::unexpected(std::move(raw.error()));
    if (verb.counts) {
      auto counts = CountsOf(*raw, *shape);
      if (!counts) return std::unexpected(std::move(counts.error()));
      listing.of_counts = true;
      listing.counts = std::move(*counts);
      return listing;
    }
    auto elements = Present(std::move(*raw), *shape);
    if (!elements) return std::unexpected(std::move(elements.error()));
    listing.of_set = true;
    listing.elements = std::move(*elements);
  } else {
    auto tables = ListTables(socket, verb);
    if (!tables) return std::unexpected(std::move(tables.error()));
    listing.tables = std::move(*tables);
  }
  return listing;
}

}  // namespace

Result<Listing> List(netlink::Socket &socket, const ListVerb &verb) {
  return Consistent(socket, [&] { return ListOnce(socket, verb); });
}

}  // namespace netmode::nft
