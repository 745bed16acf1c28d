#include "catalog/index/entry_codec.h"

#include <utility>

namespace penstock::catalog {

namespace {

constexpr std::string_view kIntact = "intact";
constexpr std::string_view kDamaged = "damaged";

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Error Malformed(std::string path) {
  return Error::Corrupt("an entry of the catalog is malformed").In(std::move(path));
}

}  // namespace

Json VerifyRecordToJson(const VerifyRecord& record) {
  return {{"time", record.time},
          {"result", record.result == VerifyResult::kIntact ? kIntact : kDamaged},
          {"generation", record.generation},
          {"bytes_checked", record.bytes_checked},
          {"damage_count", record.damage_count}};
}

std::optional<VerifyRecord> VerifyRecordFromJson(const Json& json) {
  try {
    const std::string result = json.at("result");
    if (result != kIntact && result != kDamaged) return std::nullopt;
    return VerifyRecord{
        .time = json.at("time"),
        .result = result == kIntact ? VerifyResult::kIntact : VerifyResult::kDamaged,
        .generation = json.at("generation"),
        .bytes_checked = json.at("bytes_checked"),
        .damage_count = json.at("damage_count")};
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

std::string EncodeEntry(const Entry& entry) {
  const DatasetShape& shape = entry.shape;
  Json json{{"scan", {shape.scan.rows, shape.scan.columns}},
            {"series", shape.scan.is_series},
            {"signal", {shape.signal.rows, shape.signal.columns}},
            {"type", ZarrDataType(shape.element_type)},
            {"blocks", entry.block_count},
            {"block_bytes", entry.block_bytes},
            {"frames_expected", entry.frames_expected},
            {"frames_received", entry.frames_received},
            {"state", entry.state},
            {"generation", entry.generation},
            {"source_format", entry.source_format},
            {"source_files", entry.source_files},
            {"source_file_count", entry.source_file_count},
            {"start_time", entry.start_time},
            {"ingest_time", entry.ingest_time},
            {"anomalies", entry.anomaly_count},
            {"sidecar_bytes", entry.sidecar_bytes},
            {"sidecar_mtime_ns", entry.sidecar_mtime_ns}};
  if (entry.last_verified) json["verified"] = VerifyRecordToJson(*entry.last_verified);
  return Dump(json);
}

Result<Entry> DecodeEntry(std::string path, std::string_view text) {
  try {
    const Json json = Json::parse(text);
    Result<ElementType> type = ParseElementType(json.at("type").get<std::string>());
    if (!type.ok()) return Malformed(std::move(path));
    Entry entry;
    entry.shape = {.scan = {.rows = json.at("scan").at(0),
                            .columns = json.at("scan").at(1),
                            .is_series = json.at("series")},
                   .signal = {.rows = json.at("signal").at(0), .columns = json.at("signal").at(1)},
                   .element_type = *type};
    json.at("blocks").get_to(entry.block_count);
    json.at("block_bytes").get_to(entry.block_bytes);
    json.at("frames_expected").get_to(entry.frames_expected);
    json.at("frames_received").get_to(entry.frames_received);
    json.at("state").get_to(entry.state);
    json.at("generation").get_to(entry.generation);
    json.at("source_format").get_to(entry.source_format);
    json.at("source_files").get_to(entry.source_files);
    json.at("source_file_count").get_to(entry.source_file_count);
    json.at("start_time").get_to(entry.start_time);
    json.at("ingest_time").get_to(entry.ingest_time);
    json.at("anomalies").get_to(entry.anomaly_count);
    json.at("sidecar_bytes").get_to(entry.sidecar_bytes);
    json.at("sidecar_mtime_ns").get_to(entry.sidecar_mtime_ns);
    if (json.contains("verified")) {
      entry.last_verified = VerifyRecordFromJson(json.at("verified"));
      if (!entry.last_verified) return Malformed(std::move(path));
    }
    entry.path = std::move(path);
    return entry;
  } catch (const Json::exception&) {
    return Malformed(std::move(path));
  }
}

std::string EncodeFacts(const std::vector<EntryFact>& facts) {
  Json list = Json::array();
  for (const EntryFact& fact : facts) list.push_back({fact.path, fact.value, fact.units});
  return Dump(list);
}

Result<std::vector<EntryFact>> DecodeFacts(std::string_view text) {
  std::vector<EntryFact> facts;
  try {
    for (const Json& fact : Json::parse(text)) {
      facts.push_back({.path = fact.at(0), .value = fact.at(1), .units = fact.at(2)});
    }
  } catch (const Json::exception&) {
    return Malformed("");
  }
  return facts;
}

}  // namespace penstock::catalog
