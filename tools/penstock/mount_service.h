// MountService: what a mount in the foreground owes the service manager and whoever rotates its
// logs: systemd's notifications, its watchdog, and SIGHUP.

#ifndef PENSTOCK_TOOLS_MOUNT_SERVICE_H_
#define PENSTOCK_TOOLS_MOUNT_SERVICE_H_

#include <functional>
#include <thread>

#include "penstock/base/file.h"
#include "penstock/cachefs/mount.h"

namespace penstock::tools {

class MountService {
 public:
  // Takes SIGHUP for this process from now on (until then it would end it). `reopen_log` is called
  // for every SIGHUP, on the service's thread.
  explicit MountService(std::function<void()> reopen_log);
  ~MountService();
  MountService(const MountService&) = delete;
  MountService& operator=(const MountService&) = delete;

  // READY=1; from now on STATUS= every half minute, WATCHDOG=1 while the mount is alive, and on
  // SIGHUP RELOADING=1, the logs opened again, READY=1.
  void Begin(const cachefs::MountHandle& handle);
  // STOPPING=1, unless another process serves the mount from now on. The handle is not used any
  // more when it returns. Begin may follow.
  void End(cachefs::MountEnding ending);
  // MAINPID=; returns when the service manager knows.
  static void NameSuccessor(pid_t process);

 private:
  void Work();
  void Reload();

  const std::function<void()> reopen_log_;
  cachefs::MountHandle handle_;
  FileDescriptor stop_;  // eventfd
  std::thread thread_;
};

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_MOUNT_SERVICE_H_
