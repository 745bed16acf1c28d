// The part of Operations that shows the extended attributes user.penstock.*, and the table of
// operations for libfuse.

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "cachefs/fuse/operations.h"
#include "penstock/cachefs/control.h"
#include "penstock/dataset/lease_protocol.h"

namespace penstock::cachefs {

namespace {

constexpr char kStateAttribute[] = "user.penstock.state";
constexpr char kGenerationAttribute[] = "user.penstock.generation";
constexpr char kBlockAttribute[] = "user.penstock.block";
constexpr char kVerifiedAttribute[] = "user.penstock.verified-at";
constexpr char kPinnedAttribute[] = "user.penstock.pinned";
// All the others, a line each: they are not listed.
constexpr char kAllAttribute[] = "user.penstock.all";
constexpr std::string_view kUserPrefix = "user.";
constexpr std::string_view kOurPrefix = "user.penstock.";
// The kernel takes no longer list (XATTR_LIST_MAX).
constexpr size_t kLongestList = 65536;

void ReplyAttribute(fuse_req_t request, const std::string& value, size_t size) {
  if (size == 0) {
    fuse_reply_xattr(request, value.size());
  } else if (value.size() > size) {
    fuse_reply_err(request, ERANGE);
  } else {
    fuse_reply_buf(request, value.data(), value.size());
  }
}

std::string DescribeResidency(const ResidencyDetail& detail) {
  return fmt::format("{} {}/{}", ResidencyName(detail.residency), detail.extents_present,
                     detail.extents);
}

std::string AsText(std::chrono::system_clock::time_point time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

// "3 until 2027-01-31T12:00:00Z by alice: for the paper".
std::string DescribePin(const KeepPin& pin) {
  std::string text = std::to_string(pin.number);
  if (pin.expires) {
    text += " until " + AsText(std::chrono::system_clock::from_time_t(*pin.expires));
  }
  if (!pin.owner.empty()) text += " by " + pin.owner;
  if (!pin.reason.empty()) text += ": " + pin.reason;
  return text;
}

// As of one block: "partial 17/64" blocks.
std::string DescribeDataset(const BlockCache& cache, const DatasetView& view) {
  size_t complete = 0;
  bool anything = false;
  for (const auto& block : view.blocks) {
    const Residency residency = cache.ResidencyOf(*block).residency;
    if (residency == Residency::kComplete) ++complete;
    anything = anything || residency != Residency::kAbsent;
  }
  const bool whole = complete == view.blocks.size() && complete > 0;
  return fmt::format("{} {}/{}",
                     whole      ? "complete"
                     : anything ? "partial"
                                : "absent",
                     complete, view.blocks.size());
}

std::optional<std::string> Among(const std::vector<std::pair<std::string, std::string>>& attributes,
                                 const std::string& wanted) {
  std::string all;
  for (const auto& [attribute, value] : attributes) {
    if (attribute == wanted) return value;
    all += fmt::format("{}: {}\n", attribute.substr(kOurPrefix.size()), value);
  }
  if (wanted != kAllAttribute || all.empty()) return std::nullopt;
  return all;
}

Operations& Self(fuse_req_t request) {
  return *static_cast<Operations*>(
      static_cast<SessionUserdata*>(fuse_req_userdata(request))->operations);
}

}  // namespace

Result<std::vector<std::pair<std::string, std::string>>> Operations::PenstockAttributes(
    const Node& node) {
  std::vector<std::pair<std::string, std::string>> attributes;
  const auto add_pin = [&](const std::string& dataset, int64_t block) {
    if (services_.policy == nullptr) return;
    if (const auto pin = services_.policy->KeptBy(dataset, block)) {
      attributes.emplace_back(kPinnedAttribute, DescribePin(*pin));
    }
  };
  if (node.face) {
    attributes.emplace_back(kFaceAttribute, DescribeFace(*node.face));
    return attributes;
  }
  if (node.block) {
    attributes.emplace_back(kStateAttribute,
                            DescribeResidency(services_.cache->ResidencyOf(*node.block)));
    attributes.emplace_back(lease::kDatasetAttribute,
                            node.block->dataset.empty() ? "." : node.block->dataset);
    attributes.emplace_back(kGenerationAttribute, node.block->generation);
    attributes.emplace_back(kBlockAttribute, std::to_string(node.block->block));
    if (const auto verified_at = services_.cache->VerifiedAt(*node.block)) {
      attributes.emplace_back(kVerifiedAttribute, AsText(*verified_at));
    }
    add_pin(node.block->dataset, node.block->block);
    return attributes;
  }
  if (!S_ISDIR(node.type)) return attributes;
  const auto view = services_.registry->Get(node.path);
  const bool is_dataset = view.ok();
  // (Of a store that is away not everything is known; those who look for the daemon still find it.)
  if (!is_dataset && view.error().kind() != ErrorKind::kNotFound && !IsStoreAway(view.error())) {
    return view.error();
  }
  if (is_dataset || node.path.empty()) {
    attributes.emplace_back(lease::kSocketAttribute, services_.lease_socket);
    attributes.emplace_back(kControlAttribute, services_.control_socket);
  }
  if (is_dataset) {
    attributes.emplace_back(lease::kDatasetAttribute, node.path.empty() ? "." : node.path);
    attributes.emplace_back(kGenerationAttribute, (*view)->generation);
    attributes.emplace_back(kStateAttribute, DescribeDataset(*services_.cache, **view));
    add_pin(node.path, kNoBlock);
  }
  return attributes;
}

Result<std::optional<std::string>> Operations::StoreAttribute(const Node& node,
                                                              const std::string& name) {
  // Nothing else can have any.
  if (node.face || !(S_ISREG(node.type) || S_ISDIR(node.type))) return std::optional<std::string>();
  PENSTOCK_ASSIGN_OR_RETURN(auto value, services_.upstream->Attribute(node.path, name));
  if (!value || S_ISDIR(node.type)) return value;
  PENSTOCK_ASSIGN_OR_RETURN(const struct stat status, services_.upstream->Stat(node.path));
  const bool same = status.st_dev == node.device && status.st_ino == node.inode;
  return same ? std::move(value) : std::nullopt;
}

Result<std::vector<std::string>> Operations::StoreAttributeNames(const Node& node) {
  if (node.face || !(S_ISREG(node.type) || S_ISDIR(node.type))) return std::vector<std::string>();
  PENSTOCK_ASSIGN_OR_RETURN(auto names, services_.upstream->AttributeNames(node.path));
  std::erase_if(names, [](const std::string& name) { return name.starts_with(kOurPrefix); });
  if (names.empty() || S_ISDIR(node.type)) return names;
  PENSTOCK_ASSIGN_OR_RETURN(const struct stat status, services_.upstream->Stat(node.path));
  if (status.st_dev != node.device || status.st_ino != node.inode) names.clear();
  return names;
}

void Operations::GetExtendedAttribute(fuse_req_t request, fuse_ino_t id, const char* name,
                                      size_t size) {
  // The kernel itself asks for security.capability, and ls for lists of access of every entry,
  // until it is told that there are none.
  if (!std::string_view(name).starts_with(kUserPrefix)) {
    fuse_reply_err(request, EOPNOTSUPP);
    return;
  }
  const auto node = nodes_.Get(id);
  if (!node) {
    fuse_reply_err(request, ESTALE);
    return;
  }
  WithStore(*services_.metadata_workers, request,
            [this, node, wanted = std::string(name), size](const Pending& pending) {
              if (!wanted.starts_with(kOurPrefix)) {
                const auto value = StoreAttribute(*node, wanted);
                const fuse_req_t claimed = pending->Claim();
                if (claimed == nullptr) return;
                if (!value.ok()) {
                  fuse_reply_err(claimed, ErrnoOf(value.error(), node->path));
                } else if (!*value) {
                  fuse_reply_err(claimed, ENODATA);
                } else {
                  ReplyAttribute(claimed, **value, size);
                }
                return;
              }
              const auto attributes = PenstockAttributes(*node);
              const fuse_req_t claimed = pending->Claim();
              if (claimed == nullptr) return;
              if (!attributes.ok()) {
                fuse_reply_err(claimed, ErrnoOf(attributes.error(), node->path));
                return;
              }
              const auto value = Among(*attributes, wanted);
              if (value) {
                ReplyAttribute(claimed, *value, size);
              } else {
                fuse_reply_err(claimed, ENODATA);
              }
            });
}

void Operations::ListExtendedAttributes(fuse_req_t request, fuse_ino_t id, size_t size) {
  const auto node = nodes_.Get(id);
  if (!node) {
    fuse_reply_err(request, ESTALE);
    return;
  }
  // Only those of the store: what copies attributes (cp --preserve=xattr, rsync -X) would have the
  // copy say that it is a block of a cache, and fails where one changes between its two calls.
  WithStore(*services_.metadata_workers, request, [this, node, size](const Pending& pending) {
    const auto of_store = StoreAttributeNames(*node);
    const fuse_req_t claimed = pending->Claim();
    if (claimed == nullptr) return;
    // A copy that lacks some of them, and does not say so, would be worse than an error; but while
    // the store is away, when nobody knows of any, that would be no copy at all.
    if (!of_store.ok() && !IsStoreAway(of_store.error())) {
      fuse_reply_err(claimed, ErrnoOf(of_store.error(), node->path));
      return;
    }
    std::string names;
    for (const std::string& name : of_store.ok() ? *of_store : std::vector<std::string>()) {
      if (names.size() + name.size() + 1 > kLongestList) break;
      names += name;
      names.push_back('\0');
    }
    ReplyAttribute(claimed, names, size);
  });
}

const fuse_lowlevel_ops& Operations::Table() {
  static const fuse_lowlevel_ops table = [] {
    fuse_lowlevel_ops ops{};
    ops.init = [](void* userdata, fuse_conn_info* connection) {
      KernelChannel::FromUserdata(userdata)->Negotiate(connection);
      connection->max_background = 64;
      connection->congestion_threshold = 48;
    };
    ops.lookup = [](fuse_req_t request, fuse_ino_t parent, const char* name) {
      Self(request).Lookup(request, parent, name);
    };
    ops.forget = [](fuse_req_t request, fuse_ino_t id, uint64_t lookups) {
      Self(request).Forget(id, lookups);
      fuse_reply_none(request);
    };
    ops.forget_multi = [](fuse_req_t request, size_t count, fuse_forget_data* forgets) {
      for (size_t i = 0; i < count; ++i) Self(request).Forget(forgets[i].ino, forgets[i].nlookup);
      fuse_reply_none(request);
    };
    ops.getattr = [](fuse_req_t request, fuse_ino_t id, fuse_file_info*) {
      Self(request).GetAttributes(request, id);
    };
    ops.readlink = [](fuse_req_t request, fuse_ino_t id) { Self(request).ReadLink(request, id); };
    ops.open = [](fuse_req_t request, fuse_ino_t id, fuse_file_info* info) {
      Self(request).Open(request, id, info);
    };
    ops.read = [](fuse_req_t request, fuse_ino_t, size_t size, off_t offset, fuse_file_info* info) {
      Self(request).Read(request, size, offset, info);
    };
    ops.lseek = [](fuse_req_t request, fuse_ino_t, off_t offset, int whence, fuse_file_info* info) {
      Self(request).Seek(request, offset, whence, info);
    };
    ops.release = [](fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
      Self(request).Release(request, info);
    };
    ops.opendir = [](fuse_req_t request, fuse_ino_t id, fuse_file_info* info) {
      Self(request).OpenDirectory(request, id, info);
    };
    ops.readdir = [](fuse_req_t request, fuse_ino_t id, size_t size, off_t offset,
                     fuse_file_info* info) {
      Self(request).ReadDirectory(request, id, size, offset, info, /*with_attributes=*/false);
    };
    // The kernel asks by this where it has seen that the entries are looked at one by one.
    ops.readdirplus = [](fuse_req_t request, fuse_ino_t id, size_t size, off_t offset,
                         fuse_file_info* info) {
      Self(request).ReadDirectory(request, id, size, offset, info, /*with_attributes=*/true);
    };
    ops.releasedir = [](fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
      Self(request).ReleaseDirectory(request, info);
    };
    ops.statfs = [](fuse_req_t request, fuse_ino_t) { Self(request).StatFileSystem(request); };
    ops.getxattr = [](fuse_req_t request, fuse_ino_t id, const char* name, size_t size) {
      Self(request).GetExtendedAttribute(request, id, name, size);
    };
    ops.listxattr = [](fuse_req_t request, fuse_ino_t id, size_t size) {
      Self(request).ListExtendedAttributes(request, id, size);
    };
    // Whatever would change something: the mount is read-only, so these are only reached if
    // somebody remounts it writable.
    ops.setattr = [](fuse_req_t request, fuse_ino_t, struct stat*, int, fuse_file_info*) {
      fuse_reply_err(request, EROFS);
    };
    ops.mkdir = [](fuse_req_t request, fuse_ino_t, const char*, mode_t) {
      fuse_reply_err(request, EROFS);
    };
    ops.unlink = [](fuse_req_t request, fuse_ino_t, const char*) {
      fuse_reply_err(request, EROFS);
    };
    ops.rmdir = ops.unlink;
    ops.rename = [](fuse_req_t request, fuse_ino_t, const char*, fuse_ino_t, const char*,
                    unsigned) { fuse_reply_err(request, EROFS); };
    ops.create = [](fuse_req_t request, fuse_ino_t, const char*, mode_t, fuse_file_info*) {
      fuse_reply_err(request, EROFS);
    };
    return ops;
  }();
  return table;
}

}  // namespace penstock::cachefs
