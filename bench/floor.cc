// Floor: makes attaches natively, one at a time and on demand, so that a driver can alternate them with netmode's own.
//
// Reads commands from stdin, fields apart by tabs, and answers each with one line: nanoseconds (CLOCK_MONOTONIC), or `error TEXT`.
//
//   ground BRIDGE INDEX MTU PREFIX BROADCAST GATEWAY STATE_FOLDER NETWORK NETWORK_ID      once, first
//   bare NAME HOST_IFNAME MAC ADDRESS                                                     see bare.h
//   full NAME HOST_IFNAME MAC ADDRESS PORT RECORD                                         see full.h
//   clear                                                                                 takes the last sample away
//
// Works in the network and mount namespace that it is started in; scripts/in-namespace.sh gives private ones.
#include <ctime>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bare.h"
#include "full.h"
#include "netns/namespace.h"

namespace {

using namespace netmode;
using bench::Ground;
using bench::Sample;

std::int64_t Now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

std::vector<std::string> Split(const std::string &line) {
  std::vector<std::string> fields;
  for (std::size_t at = 0;;) {
    const std::size_t tab = line.find('\t', at);
    fields.push_back(line.substr(at, tab == std::string::npos ? tab : tab - at));
    if (tab == std::string::npos) return fields;
    at = tab + 1;
  }
}

std::uint32_t Number(const std::string &text) { return static_cast<std::uint32_t>(std::strtoul(text.c_str(), nullptr, 10)); }

class Floor {
public:
  explicit Floor(UniqueFd home) : session_(std::move(home)) {}

  // The measured nanoseconds; 0 for a command that measures nothing.
  [[nodiscard]] Result<std::int64_t> Obey(const std::vector<std::string> &fields) {
    const std::string &command = fields.front();
    if (command == "ground" && fields.size() == 10) return Start(fields);
    if (!bare_) return Fail(EINVAL, command, "not before ground");
    if (command == "bare" && fields.size() == 5) {
      if (auto prepared = bare_->Prepare(SampleOf(fields)); !prepared) return std::unexpected(prepared.error());
      return Measure(*bare_);
    }
    if (command == "full" && fields.size() == 7) {
      full_->Prepare(SampleOf(fields));
      return Measure(*full_);
    }
    if (command == "clear") {
      if (auto cleared = last_is_full_ ? full_->Clear() : bare_->Clear(); !cleared) return std::unexpected(cleared.error());
      return 0;
    }
    return Fail(EINVAL, command, "with " + std::to_string(fields.size() - 1) + " fields");
  }

private:
  [[nodiscard]] Result<std::int64_t> Start(const std::vector<std::string> &fields) {
    ground_ = {.home = session_.Home(),
               .bridge = fields[1],
               .bridge_index = Number(fields[2]),
               .mtu = Number(fields[3]),
               .prefix = Number(fields[4]),
               .broadcast = fields[5],
               .gateway = fields[6],
               .state_folder = fields[7],
               .network = fields[8],
               .network_id = fields[9]};
    auto bare = bench::Bare::Open(ground_);
    if (!bare) return std::unexpected(bare.error());
    bare_.emplace(std::move(*bare));
    full_.emplace(ground_, session_);
    return 0;
  }

  [[nodiscard]] static Sample SampleOf(const std::vector<std::string> &fields) {
    Sample sample{.name = fields[1], .host_ifname = fields[2], .mac = fields[3], .address = fields[4], .port = 0, .record = {}};
    if (fields.size() > 5) sample.port = static_cast<std::uint16_t>(Number(fields[5]));
    if (fields.size() > 6) sample.record = fields[6];
    return sample;
  }

  template <class Rival>
  [[nodiscard]] Result<std::int64_t> Measure(Rival &rival) {
    last_is_full_ = std::is_same_v<Rival, bench::Full>;
    const std::int64_t start = Now();
    const Result<void> made = rival.Make();
    const std::int64_t end = Now();
    if (!made) return std::unexpected(made.error());
    return end - start;
  }

  program::Session session_;
  Ground ground_;
  std::optional<bench::Bare> bare_;
  std::optional<bench::Full> full_;
  bool last_is_full_ = false;
};

} // namespace

int main() {
  auto home = netns::OpenCurrent();
  if (!home) return 1;
  Floor floor(std::move(*home));
  for (std::string line; std::getline(std::cin, line);) {
    const auto measured = floor.Obey(Split(line));
    if (measured) {
      std::cout << *measured << std::endl;
    } else {
      const Error &error = measured.error();
      std::cout << "error " << error.syscall << ": errno " << error.code << " " << error.detail << std::endl;
    }
  }
}
