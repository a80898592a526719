#include "netlink/attributes.h"

namespace netmode::netlink {

std::string_view Attribute::Text() const {
  const std::string_view all(reinterpret_cast<const char *>(value.data()), value.size());
  return all.substr(0, all.find('\0'));
}

}  // namespace netmode::netlink
