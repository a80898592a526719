#include "exec/report.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string_view>

namespace netmode::exec {

namespace {

[[nodiscard]] std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> escape;
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
      quoted += escape.data();
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

void Write(int fd, const char *kind, const Error &error) {
  if (fd < 0) return;
  const std::string line = std::string("{\"") + kind + "\":" + Quoted(error.syscall) + ",\"errno\":" + std::to_string(error.code) +
                           ",\"detail\":" + Quoted(error.detail) + "}\n";
  // Node's pipes are sockets; should the parent be gone, no SIGPIPE. Another caller may pass a real pipe.
  if (send(fd, line.data(), line.size(), MSG_NOSIGNAL) < 0 && errno == ENOTSOCK) static_cast<void>(!write(fd, line.data(), line.size()));
}

}  // namespace

void ReportFailure(int fd, const Error &error) { Write(fd, "stage", error); }
void ReportSkipped(int fd, const Error &error) { Write(fd, "skipped", error); }

}  // namespace netmode::exec
