// The nodes that share their caches, and which of them owns which block.
//
// The owner of a block is the member with the greatest hash of (member, block): rendezvous hashing.
// All nodes with the same list agree on it without asking each other, and where a member comes or
// goes only its own blocks change hands.

#ifndef PENSTOCK_CACHEFS_PEERS_MEMBERS_H_
#define PENSTOCK_CACHEFS_PEERS_MEMBERS_H_

#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/base/result.h"

namespace penstock::cachefs {

// "HOST:PORT"; an IPv6 address stands in brackets.
struct HostAndPort {
  std::string host;
  std::string port;
};
Result<HostAndPort> ParseHostAndPort(const std::string& text);

// One "HOST:PORT" a line with '#' before comments, or a JSON array of such strings. Sorted; twice
// the same member is an error.
Result<std::vector<std::string>> ParseMembers(const std::string& text);

// The member that owns the block; nullptr where there are none.
const std::string* OwnerOf(const std::vector<std::string>& members, std::string_view block_id);

// The list in a file, read again when the file has changed; a list that cannot be read leaves the
// earlier one in force. Thread-safe.
class MemberList {
 public:
  static Result<std::unique_ptr<MemberList>> Open(const std::filesystem::path& file);
  std::shared_ptr<const std::vector<std::string>> Get();

 private:
  explicit MemberList(std::filesystem::path file) : file_(std::move(file)) {}
  Status Load();

  const std::filesystem::path file_;
  std::mutex mutex_;
  std::optional<FileIdentity> read_;
  std::chrono::steady_clock::time_point checked_;
  std::shared_ptr<const std::vector<std::string>> members_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_PEERS_MEMBERS_H_
