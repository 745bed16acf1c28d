#include "cachefs/state/replica_record.h"

#include <nlohmann/json.hpp>

namespace penstock::cachefs {

namespace {

using Json = nlohmann::json;

constexpr char kBinaryVersion = 1;
constexpr int kBitsPerByte = 7;
constexpr unsigned char kMore = 0x80;

void PutNumber(std::string& out, uint64_t number) {
  while (number >= kMore) {
    out.push_back(static_cast<char>(static_cast<unsigned char>(number) | kMore));
    number >>= kBitsPerByte;
  }
  out.push_back(static_cast<char>(number));
}

void PutSigned(std::string& out, int64_t number) {
  const uint64_t sign = number < 0 ? ~uint64_t{0} : 0;
  PutNumber(out, (static_cast<uint64_t>(number) << 1) ^ sign);
}

void PutText(std::string& out, std::string_view text) {
  PutNumber(out, text.size());
  out.append(text);
}

// Takes fields off the front; `ok` is false from the first that is not there.
struct Reader {
  std::string_view rest;
  bool ok = true;

  uint64_t Number() {
    uint64_t number = 0;
    for (int shift = 0; shift < 64; shift += kBitsPerByte) {
      if (rest.empty()) break;
      const auto byte = static_cast<unsigned char>(rest.front());
      rest.remove_prefix(1);
      number |= static_cast<uint64_t>(byte & (kMore - 1)) << shift;
      if ((byte & kMore) == 0) return number;
    }
    ok = false;
    return 0;
  }
  int64_t Signed() {
    const uint64_t number = Number();
    return static_cast<int64_t>((number >> 1) ^ (~(number & 1) + 1));
  }
  std::string_view View() {
    const uint64_t length = Number();
    if (!ok || length > rest.size()) {
      ok = false;
      return {};
    }
    const std::string_view text = rest.substr(0, length);
    rest.remove_prefix(length);
    return text;
  }
  std::string Text() { return std::string(View()); }
};

std::optional<ReplicaRecord> DecodeJson(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    ReplicaRecord record;
    json.at("dataset").get_to(record.dataset);
    json.at("generation").get_to(record.generation);
    json.at("block").get_to(record.block);
    json.at("complete").get_to(record.complete);
    json.at("extents").get_to(record.extents);
    json.at("device").get_to(record.identity.device);
    json.at("inode").get_to(record.identity.inode);
    json.at("size").get_to(record.identity.size);
    json.at("mtime_ns").get_to(record.identity.mtime_ns);
    json.at("ctime_ns").get_to(record.identity.ctime_ns);
    return record;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

}  // namespace

std::string EncodeRecord(const ReplicaRecord& record) {
  std::string out(1, kBinaryVersion);
  PutText(out, record.dataset);
  PutText(out, record.generation);
  PutSigned(out, record.block);
  PutNumber(out, record.complete ? 1 : 0);
  PutText(out, record.extents);
  PutNumber(out, record.identity.device);
  PutNumber(out, record.identity.inode);
  PutNumber(out, record.identity.size);
  PutSigned(out, record.identity.mtime_ns);
  PutSigned(out, record.identity.ctime_ns);
  PutText(out, record.boot);
  PutNumber(out, record.checksums.size());
  for (const uint64_t checksum : record.checksums) PutNumber(out, checksum);
  PutSigned(out, record.verified_at);
  return out;
}

std::optional<ReplicaRecord> DecodeRecord(std::string_view bytes) {
  if (bytes.empty()) return std::nullopt;
  if (bytes.front() != kBinaryVersion) return DecodeJson(bytes);
  Reader reader{.rest = bytes.substr(1)};
  ReplicaRecord record;
  record.dataset = reader.Text();
  record.generation = reader.Text();
  record.block = reader.Signed();
  record.complete = reader.Number() != 0;
  record.extents = reader.Text();
  record.identity.device = reader.Number();
  record.identity.inode = reader.Number();
  record.identity.size = reader.Number();
  record.identity.mtime_ns = reader.Signed();
  record.identity.ctime_ns = reader.Signed();
  record.boot = reader.Text();
  const uint64_t count = reader.Number();
  for (uint64_t i = 0; i < count && reader.ok; ++i) record.checksums.push_back(reader.Number());
  if (reader.ok && !reader.rest.empty()) record.verified_at = reader.Signed();
  if (!reader.ok) return std::nullopt;
  return record;
}

std::optional<ReplicaOutline> OutlineRecord(std::string_view bytes, ReplicaRecord& storage) {
  if (bytes.empty()) return std::nullopt;
  ReplicaOutline outline;
  if (bytes.front() != kBinaryVersion) {
    auto record = DecodeJson(bytes);
    if (!record) return std::nullopt;
    storage = *std::move(record);
    outline = {.dataset = storage.dataset,
               .block = storage.block,
               .complete = storage.complete,
               .extents = storage.extents,
               .file_bytes = storage.identity.size};
    return outline;
  }
  Reader reader{.rest = bytes.substr(1)};
  outline.dataset = reader.View();
  reader.View();  // generation
  outline.block = reader.Signed();
  outline.complete = reader.Number() != 0;
  outline.extents = reader.View();
  reader.Number();  // device
  reader.Number();  // inode
  outline.file_bytes = reader.Number();
  if (!reader.ok) return std::nullopt;
  return outline;
}

}  // namespace penstock::cachefs
