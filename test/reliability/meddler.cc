// Meddles with a running program at its system calls: kills it there, or makes one fail. Driven by the program itself, which asks for the
// existence of paths that nobody has:
//
//   /meddle/kill/K        SIGKILL before the Kth call that counts, from here on (0 is the first)
//   /meddle/fail/K/ERRNO  the Kth call that counts is not made, and fails with ERRNO
//   /meddle/fail/K/ERRNO/on  so do all that count after it
//   /meddle/off           no more; "exists" if the Kth call was reached
//
//   meddler PID FOLDER
//
// Of threads called "netmode" every call counts that does something; of the others, calls with a path below FOLDER. Says "attached", then
// for every /meddle/off "COUNT NAME", and at the end "killed NAME" or "ended".
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace {

enum class Mode { kIdle, kKill, kFail, kFailOn };

// Where the path is among the arguments of the calls that take one, and what they are called.
struct Call {
  std::string_view name;
  int path = -1;
};

const std::map<long, Call> &Calls() {
  static const std::map<long, Call> calls = {
      {SYS_openat, {"openat", 1}},
      {SYS_mkdirat, {"mkdirat", 1}},
      {SYS_unlinkat, {"unlinkat", 1}},
      {SYS_renameat2, {"renameat2", 3}},
      {SYS_symlinkat, {"symlinkat", 2}},
      {SYS_linkat, {"linkat", 3}},
      {SYS_readlinkat, {"readlinkat", 1}},
      {SYS_statx, {"statx", 1}},
      {SYS_newfstatat, {"newfstatat", 1}},
      {SYS_mount, {"mount", 1}},
      {SYS_umount2, {"umount2", 0}},
      {SYS_faccessat2, {"faccessat2", 1}},
#ifdef SYS_open
      {SYS_open, {"open", 0}},
      {SYS_mkdir, {"mkdir", 0}},
      {SYS_rmdir, {"rmdir", 0}},
      {SYS_unlink, {"unlink", 0}},
      {SYS_rename, {"rename", 1}},
      {SYS_symlink, {"symlink", 1}},
      {SYS_readlink, {"readlink", 0}},
      {SYS_stat, {"stat", 0}},
      {SYS_access, {"access", 0}},
#endif
      {SYS_sendmsg, {"sendmsg"}},
      {SYS_sendto, {"sendto"}},
      {SYS_recvmsg, {"recvmsg"}},
      {SYS_recvfrom, {"recvfrom"}},
      {SYS_socket, {"socket"}},
      {SYS_bind, {"bind"}},
      {SYS_setsockopt, {"setsockopt"}},
      {SYS_getsockopt, {"getsockopt"}},
      {SYS_setns, {"setns"}},
      {SYS_unshare, {"unshare"}},
      {SYS_flock, {"flock"}},
      {SYS_write, {"write"}},
      {SYS_pwrite64, {"pwrite64"}},
      {SYS_read, {"read"}},
      {SYS_pread64, {"pread64"}},
      {SYS_fchmod, {"fchmod"}},
      {SYS_ftruncate, {"ftruncate"}},
      {SYS_fstat, {"fstat"}},
      {SYS_getdents64, {"getdents64"}},
      {SYS_ioctl, {"ioctl"}},
      {SYS_lseek, {"lseek"}},
      {SYS_getrandom, {"getrandom"}},
      {SYS_fcntl, {"fcntl"}},
      {SYS_dup3, {"dup3"}},
  };
  return calls;
}

struct Meddling {
  Mode mode = Mode::kIdle;
  long at = 0;
  int error = 0;
  long count = 0;
  bool fired = false;
  std::string where;
};

class Meddler {
 public:
  Meddler(pid_t pid, std::string folder) : pid_(pid), folder_(std::move(folder)) {}

  bool Attach() {
    // Threads may start while they are listed: until a round finds none.
    for (bool more = true; more;) {
      more = false;
      const std::string path = "/proc/" + std::to_string(pid_) + "/task";
      DIR *tasks = opendir(path.c_str());
      if (tasks == nullptr) return false;
      while (const dirent *entry = readdir(tasks)) {
        const pid_t tid = std::atoi(entry->d_name);
        if (tid == 0 || threads_.contains(tid)) continue;
        const auto options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE;
        if (ptrace(PTRACE_SEIZE, tid, nullptr, options) != 0) continue;
        ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr);
        threads_.insert(tid);
        more = true;
      }
      closedir(tasks);
    }
    return !threads_.empty();
  }

  int Run() {
    std::puts("attached");
    std::fflush(stdout);
    while (true) {
      int status = 0;
      const pid_t tid = waitpid(-1, &status, __WALL);
      if (tid < 0) break;
      if (WIFEXITED(status) || WIFSIGNALED(status)) {
        if (tid == pid_) break;
        continue;
      }
      if (WIFSTOPPED(status)) Stopped(tid, status);
    }
    std::printf("%s\n", killed_ ? ("killed " + meddling_.where).c_str() : "ended");
    return 0;
  }

 private:
  void Stopped(pid_t tid, int status) {
    threads_.insert(tid);
    const int signal = WSTOPSIG(status);
    const int event = status >> 16;
    if (signal == (SIGTRAP | 0x80)) {
      Syscall(tid);
      if (killed_) return;
      ptrace(PTRACE_SYSCALL, tid, nullptr, nullptr);
    } else if (event == PTRACE_EVENT_STOP || event != 0) {
      ptrace(PTRACE_SYSCALL, tid, nullptr, nullptr);
    } else {
      ptrace(PTRACE_SYSCALL, tid, nullptr, signal);
    }
  }

  void Syscall(pid_t tid) {
    __ptrace_syscall_info info{};
    if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) <= 0) return;
    if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
      if (const auto result = results_.extract(tid)) SetResult(tid, result.mapped());
      return;
    }
    if (info.op != PTRACE_SYSCALL_INFO_ENTRY) return;
    const auto call = Calls().find(static_cast<long>(info.entry.nr));
    if (call == Calls().end()) return;
    const std::string path = call->second.path < 0 ? "" : Text(info.entry.args[call->second.path]);
    if (path.starts_with("/meddle/")) return Order(tid, path.substr(8));
    if (meddling_.mode == Mode::kIdle) return;
    if (!IsOurs(tid) && !path.starts_with(folder_)) return;
    if (call->first == SYS_write && IsWake(info.entry.args[0])) return;
    const long number = meddling_.count++;
    const bool hit = number == meddling_.at || (meddling_.mode == Mode::kFailOn && number > meddling_.at);
    if (!hit) return;
    if (!meddling_.fired) meddling_.where = std::string(call->second.name) + (path.empty() ? "" : " " + path);
    meddling_.fired = true;
    if (meddling_.mode == Mode::kKill) {
      killed_ = true;
      kill(pid_, SIGKILL);
      return;
    }
    Skip(tid);
    results_[tid] = -meddling_.error;
  }

  void Order(pid_t tid, const std::string &order) {
    if (order == "off") {
      if (meddling_.fired) {
        Skip(tid);
        results_[tid] = 0;
      }
      std::printf("%ld %s\n", meddling_.count, meddling_.where.c_str());
      std::fflush(stdout);
      meddling_ = {};
      return;
    }
    std::array<char, 8> verb{};
    std::array<char, 8> rest{};
    Meddling wanted;
    std::sscanf(order.c_str(), "%7[^/]/%ld/%d/%7s", verb.data(), &wanted.at, &wanted.error, rest.data());
    if (std::string_view(verb.data()) == "kill") {
      wanted.mode = Mode::kKill;
    } else if (std::string_view(verb.data()) == "fail") {
      wanted.mode = rest[0] == '\0' ? Mode::kFail : Mode::kFailOn;
    } else {
      std::fprintf(stderr, "no order: %s\n", order.c_str());
      std::exit(2);
    }
    meddling_ = wanted;
  }

  [[nodiscard]] bool IsOurs(pid_t tid) const {
    const std::string path = "/proc/" + std::to_string(pid_) + "/task/" + std::to_string(tid) + "/comm";
    FILE *file = std::fopen(path.c_str(), "re");
    if (file == nullptr) return false;
    std::array<char, 32> name{};
    const bool read = std::fgets(name.data(), name.size(), file) != nullptr;
    std::fclose(file);
    return read && std::string_view(name.data()).starts_with("netmode");
  }

  // libuv wakes its loop through an eventfd, and gives up where that fails.
  [[nodiscard]] bool IsWake(std::uint64_t fd) const {
    const std::string path = "/proc/" + std::to_string(pid_) + "/fd/" + std::to_string(fd);
    std::array<char, 64> target{};
    return readlink(path.c_str(), target.data(), target.size() - 1) > 0 && std::string_view(target.data()) == "anon_inode:[eventfd]";
  }

  // Page by page: what follows the text may not be mapped, and the text may go on in the next one.
  [[nodiscard]] std::string Text(std::uint64_t address) const {
    constexpr std::size_t kPage = 4096;
    std::string text;
    while (text.size() < kPage) {
      std::array<char, kPage> buffer{};
      const std::size_t length = kPage - address % kPage;
      const iovec here{buffer.data(), length};
      const iovec there{reinterpret_cast<void *>(address), length};
      if (process_vm_readv(pid_, &here, 1, &there, 1, 0) <= 0) return {};
      const std::size_t end = strnlen(buffer.data(), length);
      text.append(buffer.data(), end);
      if (end < length) break;
      address += length;
    }
    return text;
  }

#if defined(__x86_64__)
  static void Skip(pid_t tid) { ptrace(PTRACE_POKEUSER, tid, offsetof(user_regs_struct, orig_rax), -1); }
  static void SetResult(pid_t tid, long result) { ptrace(PTRACE_POKEUSER, tid, offsetof(user_regs_struct, rax), result); }
#elif defined(__aarch64__)
  static void Skip(pid_t tid) {
    int none = -1;
    iovec value{&none, sizeof none};
    ptrace(PTRACE_SETREGSET, tid, NT_ARM_SYSTEM_CALL, &value);
  }
  static void SetResult(pid_t tid, long result) {
    user_regs_struct registers{};
    iovec value{&registers, sizeof registers};
    ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &value);
    registers.regs[0] = static_cast<std::uint64_t>(result);
    ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &value);
  }
#endif

  pid_t pid_;
  std::string folder_;
  std::set<pid_t> threads_;
  std::map<pid_t, long> results_;
  Meddling meddling_;
  bool killed_ = false;
};

}  // namespace

int main(int count, char **arguments) {
  if (count != 3) {
    std::fputs("meddler PID FOLDER\n", stderr);
    return 2;
  }
  Meddler meddler(std::atoi(arguments[1]), arguments[2]);
  if (!meddler.Attach()) {
    std::perror("meddler");
    return 1;
  }
  return meddler.Run();
}
