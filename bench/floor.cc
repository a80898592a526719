// Floor: makes attaches natively, one at a time and on demand, so that a driver can alternate them with netmode's own.
//
// Reads commands from stdin, fields apart by tabs, and answers each with one line: nanoseconds (CLOCK_MONOTONIC), or `error TEXT`.
//
//   ground BRIDGE_INDEX MTU PREFIX BROADCAST GATEWAY     once, first
//   bare NAME HOST_IFNAME MAC ADDRESS                    an attach as bare.h makes it
//   clear NAME HOST_IFNAME …                             takes such attaches away, all links in one group
//   full PLAN                                            runs a plan of netmode's own, as lib/ writes it for the addon
//
// Works in the network and mount namespace that it is started in; scripts/in-namespace.sh gives private ones.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bare.h"
#include "binding/read_plan.h"
#include "netns/namespace.h"
#include "program/runner.h"

namespace {

using namespace netmode;

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
  [[nodiscard]] Result<std::int64_t> Obey(std::span<const std::string> fields) {
    const std::string &command = fields.front();
    if (command == "full" && fields.size() == 2) return RunFull(fields[1]);
    if (command == "ground" && fields.size() == 6) return Start(fields);
    if (command == "bare" && fields.size() == 5 && bare_) return MakeBare(fields);
    if (command == "clear" && fields.size() % 2 == 1 && bare_) return Clear(fields.subspan(1));
    return Fail(EINVAL, command, "with " + std::to_string(fields.size() - 1) + " fields");
  }

 private:
  [[nodiscard]] Result<std::int64_t> Start(std::span<const std::string> fields) {
    auto bare = bench::Bare::Open({.home = session_.Home(),
                                   .bridge = Number(fields[1]),
                                   .mtu = Number(fields[2]),
                                   .prefix = Number(fields[3]),
                                   .broadcast = fields[4],
                                   .gateway = fields[5]});
    if (!bare) return std::unexpected(bare.error());
    bare_.emplace(std::move(*bare));
    return 0;
  }

  [[nodiscard]] Result<std::int64_t> MakeBare(std::span<const std::string> fields) {
    auto prepared = bare_->Prepare({.name = fields[1], .host_ifname = fields[2], .mac = fields[3], .address = fields[4]});
    if (!prepared) return std::unexpected(prepared.error());
    const std::int64_t start = Now();
    const Result<void> made = bare_->Make();
    const std::int64_t end = Now();
    if (!made) return std::unexpected(made.error());
    return end - start;
  }

  [[nodiscard]] Result<std::int64_t> Clear(std::span<const std::string> fields) {
    std::vector<bench::Sample> samples;
    for (std::size_t i = 0; i < fields.size(); i += 2) {
      samples.push_back({.name = fields[i], .host_ifname = fields[i + 1], .mac = {}, .address = {}});
    }
    const std::int64_t start = Now();
    const Result<void> cleared = bare_->Clear(samples);
    const std::int64_t end = Now();
    if (!cleared) return std::unexpected(cleared.error());
    return end - start;
  }

  // What netmode's create() takes beyond this is JavaScript, the binding and the way to another thread and back.
  [[nodiscard]] Result<std::int64_t> RunFull(const std::string &text) {
    const auto plan = binding::Read(text);
    if (!plan) return std::unexpected(plan.error());
    const std::atomic<bool> cancelled = false;
    program::Runner runner(session_, cancelled);
    const std::int64_t start = Now();
    program::Report report = runner.Run(*plan);
    const std::int64_t end = Now();
    runner.Behind();
    if (!report.failure) return end - start;
    report.failure->error.detail += " (step " + std::to_string(report.failure->step) + ")";
    return std::unexpected(std::move(report.failure->error));
  }

  program::Session session_;
  std::optional<bench::Bare> bare_;
};

}  // namespace

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
