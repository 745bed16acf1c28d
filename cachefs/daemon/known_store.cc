#include "cachefs/daemon/known_store.h"

#include <spdlog/spdlog.h>

#include "cachefs/state/checked_json.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

namespace {

constexpr char kFileName[] = "known-store.json";

}  // namespace

std::optional<KnownStore> ReadKnownStore(const std::filesystem::path& cache) {
  const auto json = ReadCheckedJson(cache / kFileName, {"given", "store"});
  if (!json.ok()) {
    if (json.error().kind() != ErrorKind::kNotFound) spdlog::warn("{}", json.error().ToString());
    return std::nullopt;
  }
  try {
    return KnownStore{.given = json->at("given").get<std::string>(),
                      .store = json->at("store").get<std::string>()};
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
  const Status written = WriteCheckedJson(cache / kFileName, json);
  if (!written.ok()) spdlog::warn("{}", written.error().ToString());
}

}  // namespace penstock::cachefs
