// DescriptorAttachment: open files that go along with a message over a UNIX socket (SCM_RIGHTS).

#ifndef PENSTOCK_BASE_DESCRIPTOR_ATTACHMENT_H_
#define PENSTOCK_BASE_DESCRIPTOR_ATTACHMENT_H_

#include <sys/socket.h>

#include <cstddef>
#include <span>

namespace penstock {

class DescriptorAttachment {
 public:
  static constexpr size_t kMost = 2;

  // The receiver gets copies; the sender's descriptors stay open and its own. None leaves the
  // message as it is. Must outlive the sendmsg. Precondition: at most kMost.
  DescriptorAttachment(msghdr& message, std::span<const int> descriptors);
  DescriptorAttachment(const DescriptorAttachment&) = delete;
  DescriptorAttachment& operator=(const DescriptorAttachment&) = delete;

 private:
  alignas(cmsghdr) char control_[CMSG_SPACE(kMost * sizeof(int))] = {};
};

}  // namespace penstock

#endif  // PENSTOCK_BASE_DESCRIPTOR_ATTACHMENT_H_
