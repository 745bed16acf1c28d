#include "tools/penstock/catalog_output.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cstdio>
#include <ctime>

#include "penstock/dataset/dataset.h"

namespace penstock::tools {

using nlohmann::ordered_json;

std::string ScanText(const ScanShape& scan) {
  return scan.is_series ? fmt::format("{}", scan.columns)
                        : fmt::format("{} x {}", scan.rows, scan.columns);
}

std::string SignalText(const SignalShape& signal) {
  return fmt::format("{} x {}", signal.rows, signal.columns);
}

std::string ShortTime(std::string_view time) {
  constexpr size_t kDate = 10;
  constexpr size_t kDateAndTime = 16;
  if (time.size() < kDateAndTime || time[kDate] != 'T') return std::string(time);
  return fmt::format("{} {}", time.substr(0, kDate), time.substr(kDate + 1, 5));
}

std::string TimeNow() {
  const std::time_t seconds = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S+00:00}", utc);
}

ordered_json ScanToJson(const ScanShape& scan) {
  return scan.is_series ? ordered_json::array({scan.columns})
                        : ordered_json::array({scan.rows, scan.columns});
}

ordered_json VerifiedToJson(const std::optional<catalog::VerifyRecord>& record) {
  if (!record) return nullptr;
  return {{"time", record->time},
          {"intact", record->result == catalog::VerifyResult::kIntact},
          {"bytes_checked", record->bytes_checked},
          {"damage_count", record->damage_count}};
}

ordered_json UnreadableToJson(const std::vector<catalog::UnreadableDataset>& unreadable) {
  ordered_json list = ordered_json::array();
  for (const catalog::UnreadableDataset& dataset : unreadable) {
    list.push_back({{"path", dataset.path}, {"message", dataset.message}});
  }
  return list;
}

void PrintDocument(const ordered_json& json) {
  std::printf("%s\n", json.dump(2, ' ', false, ordered_json::error_handler_t::replace).c_str());
}

Result<StorePlace> FindStorePlace(const std::filesystem::path& path) {
  std::error_code code;
  const std::filesystem::path resolved = std::filesystem::canonical(path, code);
  if (code) return Error::FromErrno(code.value(), "cannot find the store").In(path);
  if (!std::filesystem::is_directory(resolved, code)) {
    return Error::InvalidArgument("a store is a directory").In(path);
  }
  if (LooksLikeDataset(resolved)) {
    return Error::InvalidArgument("this is a dataset, not a store")
        .In(path)
        .Advice("'penstock show' describes a dataset");
  }
  StorePlace place{.store = catalog::FindStore(resolved).value_or(resolved), .prefix = ""};
  if (place.store != resolved) {
    place.prefix = resolved.lexically_relative(place.store).string() + "/";
  }
  return place;
}

}  // namespace penstock::tools
