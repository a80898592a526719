// Plans come as JSON: whatever text it is, it is read or refused, and what was read is what was written.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  const auto document = netmode::json::Parse(std::string(reinterpret_cast<const char *>(data), size));
  if (document) static_cast<void>(document->Root().Find("op"));
  return 0;
}
