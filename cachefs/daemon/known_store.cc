#include "cachefs/daemon/known_store.h"

#include <spdlog/spdlog.h>

#include "penstock/base/file.h"
#include "penstock/cachefs/upstream.h"
#include "penstock/dataset/description.h"

namespace penstock::cachefs {

namespace {

constexpr char kFileName[] = "known-store.json";
constexpr uint64_t kMostBytes = 64 * 1024;

}  // namespace

std::optional<KnownStore> ReadKnownStore(const std::filesystem::path& cache) {
  const auto text = ReadWholeFile(cache / kFileName, kMostBytes);
  if (!text.ok()) return std::nullopt;
  try {
    const Json json = Json::parse(*text);
    return KnownStore{.given = json.at("given").get<std::string>(),
                      .store = json.at("store").get<std::string>()};
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

void WriteKnownStore(const std::filesystem::path& cache, const KnownStore& known) {
  const auto before = ReadKnownStore(cache);
  if (before && before->given == known.given && before->store == known.store) return;
  // A password in an address is nobody's business.
  const Json json = {{"given", WithoutSecrets(known.given)},
                     {"store", WithoutSecrets(known.store)}};
  const Status written = WriteFileAtomically(cache / kFileName, json.dump(1) + "\n");
  if (!written.ok()) spdlog::warn("{}", written.error().ToString());
}

}  // namespace penstock::cachefs
