// mount.penstock: what mount(8) calls for file systems of the type "penstock", so that fstab and
// automount work: mount.penstock STORE MOUNTPOINT [-sfnv] [-N NAMESPACE] [-t TYPE] [-o OPTIONS].

#ifndef PENSTOCK_TOOLS_MOUNT_HELPER_H_
#define PENSTOCK_TOOLS_MOUNT_HELPER_H_

#include <string>
#include <vector>

#include "penstock/base/result.h"

namespace penstock::tools {

struct MountHelperCall {
  std::vector<std::string> command;  // "penstock", "mount", ...
  std::string mountpoint;
  bool fake = false;     // -f: nothing is mounted
  bool verbose = false;  // -v
  bool no_exec = false;  // programs on the mount are not run
};

// True for "mount.penstock" and "mount.fuse.penstock", in any directory.
bool IsMountHelper(const std::string& program);

// An option of mount(8) that says nothing to penstock is left out; every other one becomes the
// option of `penstock mount` of the same name, with '-' or '_'. `known` are the names of those that
// take a value and of those that do not. kInvalidArgument for what is neither, unless -s is given.
struct KnownOptions {
  std::vector<std::string> with_value;
  std::vector<std::string> switches;
};
Result<MountHelperCall> ReadMountHelperCall(const std::vector<std::string>& arguments,
                                            const KnownOptions& known);

// Makes the mount refuse to run programs. kIo with the system's reason.
Status ForbidPrograms(const std::string& mountpoint);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_MOUNT_HELPER_H_
