#include "cachefs/state/checked_json.h"

#include <algorithm>
#include <string>
#include <utility>

#include "penstock/base/file.h"
#include "penstock/dataset/checksum.h"

namespace penstock::cachefs {

namespace {

constexpr char kChecksum[] = "checksum";
constexpr uint64_t kMostBytes = uint64_t{16} << 20;

std::string Digest(const Json& object) { return HashBytes(AsBytes(object.dump())); }

// What is wrong with a damaged file is said with its bytes, which need not be text.
std::string Printable(std::string text) {
  std::ranges::replace_if(
      text, [](char byte) { return byte < ' ' || byte > '~'; }, '?');
  return text;
}

}  // namespace

Result<Json> ReadCheckedJson(const std::filesystem::path& file,
                             std::initializer_list<std::string_view> members) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(file, kMostBytes));
  const auto damaged = [&](std::string expected, std::string found) {
    return Error::Corrupt("the file is damaged")
        .In(file.string())
        .Expected(std::move(expected))
        .Found(Printable(std::move(found)));
  };
  Json object;
  try {
    object = Json::parse(text);
  } catch (const Json::exception& problem) {
    return damaged("JSON", problem.what());
  }
  if (!object.is_object()) return damaged("an object", object.type_name());
  if (const auto found = object.find(kChecksum); found != object.end()) {
    const Json given = *found;
    object.erase(kChecksum);
    const std::string digest = Digest(object);
    if (given != digest) return damaged("the checksum " + digest, given.dump());
  }
  for (const auto& [name, value] : object.items()) {
    if (std::ranges::find(members, name) == members.end()) {
      return damaged("nothing else than it has", name);
    }
  }
  return object;
}

Status WriteCheckedJson(const std::filesystem::path& file, const Json& object) {
  // What is no UTF-8 is replaced; the digest is that of what can be read back.
  Json whole = Json::parse(object.dump(-1, ' ', false, Json::error_handler_t::replace));
  whole[kChecksum] = Digest(whole);
  // Names of the store are not for everybody.
  return WriteFileAtomically(file, whole.dump(1) + "\n", 0640);
}

}  // namespace penstock::cachefs
