// Result<T>: a value or an Error, the only way in which native/ reports failure (no exceptions).
#pragma once

#include <cerrno>
#include <cstdint>
#include <expected>
#include <string>
#include <utility>

namespace netmode {

// What went wrong, as much as the kernel told. Classified by `code` (a positive errno), never by text.
struct Error {
  int code = 0;
  std::string syscall;       // what was being done: "open", "link.add"
  std::string detail;        // the kernel's extended ack, or what was expected; may be empty
  std::string holder;        // who holds the name, address or port, where that is the failure
  std::uint32_t offset = 0;  // offset of the attribute that the kernel rejected, 0 if unknown
};

template <class T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> Fail(int code, std::string syscall, std::string detail = {}) {
  return std::unexpected(Error{.code = code, .syscall = std::move(syscall), .detail = std::move(detail), .holder = {}, .offset = 0});
}

// The error of the system call that just failed.
[[nodiscard]] inline std::unexpected<Error> FailErrno(std::string syscall, std::string detail = {}) {
  return Fail(errno, std::move(syscall), std::move(detail));
}

}  // namespace netmode
