// Folders, files and claims of the state folder: where the intent is kept, so that any process finds it again.
// Everything here is a path and a few system calls; nothing is cached.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace netmode::state {

// flock(2) on a folder itself. Held as long as the descriptor that Acquire answers; the kernel drops it when the process dies.
struct Lock {
  enum class Mode : std::uint8_t { kShared, kExclusive };
  std::string path;
  Mode mode = Mode::kExclusive;
  bool immediate = false;             // EWOULDBLOCK at once instead of waiting
  std::optional<std::string> gate{};  // a folder to be locked first, let go of at once by those who share
};

// mkdir, 0755 less the umask; EEXIST unless `ensure`, and then ENOTDIR if something else has the name.
struct FolderCreate {
  std::string path;
  bool ensure = false;
};

// rm -r; absent is fine. Symbolic links are removed, never followed.
struct FolderRemove {
  std::string path;
};

// Removes a file; absent is fine.
struct FileRemove {
  std::string path;
};

// Gives a file another name in its folder; what had that name is gone. `exclusive`: EEXIST if anything has it. A folder may be renamed too:
// who has its lock has it still.
struct FileRename {
  std::string path;
  std::string to;
  bool exclusive = false;
};

// A text file, readable by everyone whatever the umask (sandboxes run as other users).
struct FileWrite {
  enum class How : std::uint8_t {
    kCreate,     // must be new: EEXIST; a failed write leaves nothing behind
    kReplace,    // readers see the old text or the new one; the inode changes
    kOverwrite,  // in place, so that bind mounts of it see the new text; made if absent
    kUnseen,     // where nobody looks yet: at once, over whatever is left there
    kStart,      // at once as well, and must be new: EEXIST; who finds half of it knows that nothing has been done yet
  };
  std::string path;
  std::string text;
  How how = How::kCreate;
};

// A symbolic link that says who holds something: made in one step with its content. EEXIST carries the holder.
// With `from` it is taken over from that holder, in one step too; ESTALE if it isn't that one's.
struct Claim {
  std::string path;
  std::string holder;
  std::optional<std::string> from = std::nullopt;
};

// Removes a claim if it is this holder's. Absent or another's: nothing happens.
struct Release {
  std::string path;
  std::string holder;
};

// `kept`: a descriptor of the folder that an earlier lock has left, if there is one; where something else has the path by now, it is
// opened anew. Fails with ENOENT when the folder went away while waiting, also when another was made under its name meanwhile: what the
// caller knew of the old one does not hold for the new one. Never take one lock twice in a plan: flock belongs to the
// descriptor, so that the second waits for the first for ever. ECANCELED soon after `given_up` has become true while waiting.
[[nodiscard]] Result<UniqueFd> Acquire(const Lock &lock, const std::function<bool()> &given_up = {}, UniqueFd kept = {});

// Gives a lock back, and answers the descriptor, or none where the lock would stay with it: then it has been closed. Closing the descriptor
// would do, were it not for a child_process.spawn at this moment: the process that it forks has a copy of the descriptor until it executes
// its program, and the lock would stay as long.
UniqueFd Drop(UniqueFd lock) noexcept;

[[nodiscard]] Result<void> Run(const FolderCreate &op);
[[nodiscard]] Result<void> Run(const FolderRemove &op);
[[nodiscard]] Result<void> Run(const FileWrite &op);
// The same for `kStart`; answers the version of the file that it has made, for ExpectVersion.
[[nodiscard]] Result<std::string> Start(const FileWrite &op);
[[nodiscard]] Result<void> Run(const FileRemove &op);
[[nodiscard]] Result<void> Run(const FileRename &op);
[[nodiscard]] Result<void> Run(const Claim &op);
[[nodiscard]] Result<void> Run(const Release &op);

}  // namespace netmode::state
