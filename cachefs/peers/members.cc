#include "cachefs/peers/members.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "penstock/dataset/checksum.h"

namespace penstock::cachefs {

namespace {

constexpr uint64_t kLargestFile = uint64_t{1} << 20;
constexpr std::chrono::seconds kBelieved{2};
constexpr int kLargestPort = 65535;

}  // namespace

Result<HostAndPort> ParseHostAndPort(const std::string& text) {
  const auto wrong = [&text] {
    return Error::InvalidArgument("not the address of a node")
        .Expected("HOST:PORT, an IPv6 address in brackets")
        .Found(text);
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return wrong();
  HostAndPort address{.host = text.substr(0, colon), .port = text.substr(colon + 1)};
  if (address.host.starts_with('[') && address.host.ends_with(']')) {
    address.host = address.host.substr(1, address.host.size() - 2);
  } else if (address.host.find(':') != std::string::npos) {
    return wrong();
  }
  const bool digits = !address.port.empty() && address.port.size() <= 5 &&
                      address.port.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || std::stoi(address.port) < 1 || std::stoi(address.port) > kLargestPort ||
      address.host.empty() || address.host.find_first_of(" \t/\"") != std::string::npos) {
    return wrong();
  }
  return address;
}

Result<std::vector<std::string>> ParseMembers(const std::string& text) {
  std::vector<std::string> members;
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '[' && text.find('"') != std::string::npos) {
    const auto list = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!list.is_array()) return Error::InvalidArgument("not a JSON array of HOST:PORT");
    for (const auto& item : list) {
      if (!item.is_string()) return Error::InvalidArgument("not a JSON array of HOST:PORT");
      members.push_back(item.get<std::string>());
    }
  } else {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      line = line.substr(0, line.find('#'));
      const size_t begin = line.find_first_not_of(" \t\r");
      if (begin == std::string::npos) continue;
      members.push_back(line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1));
    }
  }
  for (const std::string& member : members) PENSTOCK_RETURN_IF_ERROR(ParseHostAndPort(member));
  std::sort(members.begin(), members.end());
  const auto twice = std::adjacent_find(members.begin(), members.end());
  if (twice != members.end()) {
    return Error::InvalidArgument("a node is listed twice").Found(*twice);
  }
  return members;
}

const std::string* OwnerOf(const std::vector<std::string>& members, std::string_view block_id) {
  const std::string* owner = nullptr;
  uint64_t greatest = 0;
  for (const std::string& member : members) {
    std::string text = member;
    text.push_back('\0');
    text += block_id;
    const uint64_t weight = HashExtent(AsBytes(text));
    if (owner == nullptr || weight > greatest) {
      owner = &member;
      greatest = weight;
    }
  }
  return owner;
}

Result<std::unique_ptr<MemberList>> MemberList::Open(const std::filesystem::path& file) {
  std::unique_ptr<MemberList> list(new MemberList(file));
  PENSTOCK_RETURN_IF_ERROR(list->Load());
  return list;
}

Status MemberList::Load() {
  checked_ = std::chrono::steady_clock::now();
  PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(file_));
  if (read_ && *read_ == identity) return {};
  PENSTOCK_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(file_, kLargestFile));
  read_ = identity;  // of what is wrong, too: it is told once
  auto members = ParseMembers(text);
  if (!members.ok()) return std::move(members).error().In(file_.string());
  members_ = std::make_shared<const std::vector<std::string>>(*std::move(members));
  return {};
}

std::shared_ptr<const std::vector<std::string>> MemberList::Get() {
  const std::lock_guard lock(mutex_);
  if (std::chrono::steady_clock::now() - checked_ >= kBelieved) {
    const auto before = members_;
    if (const Status loaded = Load(); !loaded.ok()) {
      spdlog::error("the list of nodes stays as it was: {}", loaded.error().ToString());
    } else if (before != members_) {
      spdlog::info("{}: {} nodes now", file_.string(), members_->size());
    }
  }
  return members_;
}

}  // namespace penstock::cachefs
