#include "penstock/base/descriptor_attachment.h"

#include <cassert>
#include <cstring>

namespace penstock {

DescriptorAttachment::DescriptorAttachment(msghdr& message, std::span<const int> descriptors) {
  assert(descriptors.size() <= kMost);
  if (descriptors.empty()) return;
  message.msg_control = control_;
  message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
  std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
}

}  // namespace penstock
