// Plans come as JSON: whatever text it is, it is read or refused, and what was read is what was written.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  const auto value = netmode::json::Parse({reinterpret_cast<const char *>(data), size});
  if (value) static_cast<void>(value->Find("op"));
  return 0;
}
