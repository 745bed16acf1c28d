#include "cachefs/policy/policy_file.h"

#include <spdlog/spdlog.h>

#include <system_error>

#include "cachefs/state/checked_json.h"

namespace penstock::cachefs {

namespace {

std::filesystem::path CopyOf(const std::filesystem::path& file) { return file.string() + ".copy"; }

KeepPin PinFromJson(const Json& json) {
  KeepPin pin;
  json.at("number").get_to(pin.number);
  json.at("pattern").get_to(pin.pattern);
  if (json.contains("first_block")) {
    pin.blocks = {json.at("first_block").get<int64_t>(), json.at("last_block").get<int64_t>()};
  }
  json.at("owner").get_to(pin.owner);
  json.at("reason").get_to(pin.reason);
  json.at("created").get_to(pin.created);
  if (json.contains("expires")) pin.expires = json.at("expires").get<int64_t>();
  return pin;
}

Json BoundToJson(uint64_t bytes) { return bytes == UINT64_MAX ? Json() : Json(bytes); }

uint64_t BoundFromJson(const Json& json) {
  return json.is_null() ? UINT64_MAX : json.get<uint64_t>();
}

Json ToJson(const PolicyContents& contents) {
  Json pins = Json::array();
  for (const KeepPin& pin : contents.pins) pins.push_back(cachefs::ToJson(pin));
  Json quotas = Json::object();
  for (const auto& [folder, quota] : contents.quotas) {
    quotas[folder] = {{"soft_bytes", BoundToJson(quota.soft_bytes)},
                      {"hard_bytes", BoundToJson(quota.hard_bytes)}};
  }
  return {{"next_number", contents.next_number},
          {"pins", std::move(pins)},
          {"quotas", std::move(quotas)}};
}

// One of the two copies.
Result<PolicyContents> ReadOne(const std::filesystem::path& file) {
  PENSTOCK_ASSIGN_OR_RETURN(const Json json,
                            ReadCheckedJson(file, {"next_number", "pins", "quotas"}));
  PolicyContents contents;
  try {
    json.at("next_number").get_to(contents.next_number);
    for (const Json& pin : json.at("pins")) contents.pins.push_back(PinFromJson(pin));
    for (const auto& [folder, quota] : json.at("quotas").items()) {
      contents.quotas[folder] = {.soft_bytes = BoundFromJson(quota.at("soft_bytes")),
                                 .hard_bytes = BoundFromJson(quota.at("hard_bytes"))};
    }
  } catch (const Json::exception& problem) {
    return Error::Corrupt("the pins and quotas cannot be understood")
        .In(file.string())
        .Found(problem.what());
  }
  return contents;
}

bool IsMissing(const Result<PolicyContents>& read) {
  return !read.ok() && read.error().kind() == ErrorKind::kNotFound;
}

}  // namespace

Json ToJson(const KeepPin& pin) {
  Json json = {{"number", pin.number},
               {"pattern", pin.pattern},
               {"owner", pin.owner},
               {"reason", pin.reason},
               {"created", pin.created}};
  if (pin.blocks) {
    json["first_block"] = pin.blocks->first;
    json["last_block"] = pin.blocks->second;
  }
  if (pin.expires) json["expires"] = *pin.expires;
  return json;
}

Result<PolicyContents> ReadPolicy(const std::filesystem::path& file) {
  auto contents = ReadOne(file);
  auto copy = ReadOne(CopyOf(file));
  if (IsMissing(contents) && IsMissing(copy)) return PolicyContents();
  if (!contents.ok() && !copy.ok()) {
    return Error::Corrupt("the pins and quotas of the cache cannot be read, and neither their copy")
        .In(IsMissing(contents) ? CopyOf(file).string() : file.string())
        .Found((IsMissing(contents) ? copy : contents).error().ToString())
        .Advice("mend the file, or move it and its copy away and pin again");
  }
  if (contents.ok()) {
    // Also of an earlier version, which wrote no copy, and of a machine that ended between the two.
    if (!copy.ok() && !IsMissing(copy)) spdlog::error("{}", copy.error().ToString());
    if (!copy.ok() || !(ToJson(*copy) == ToJson(*contents))) {
      if (const Status written = WritePolicy(file, *contents); !written.ok()) {
        spdlog::warn("{}", written.error().ToString());
      }
    }
    return contents;
  }
  spdlog::error("{}; THE PINS AND QUOTAS ARE TAKEN FROM {}: {} pins, {} quotas",
                contents.error().ToString(), CopyOf(file).string(), copy->pins.size(),
                copy->quotas.size());
  std::error_code failure;
  if (!IsMissing(contents)) {
    std::filesystem::rename(file, file.string() + ".damaged", failure);
  }
  if (const Status written = WritePolicy(file, *copy); !written.ok()) {
    spdlog::error("{}", written.error().ToString());
  }
  return copy;
}

Status WritePolicy(const std::filesystem::path& file, const PolicyContents& contents) {
  const Json json = ToJson(contents);
  PENSTOCK_RETURN_IF_ERROR(WriteCheckedJson(file, json));
  if (const Status written = WriteCheckedJson(CopyOf(file), json); !written.ok()) {
    spdlog::error("the copy of the pins and quotas is not up to date: {}",
                  written.error().ToString());
  }
  return {};
}

}  // namespace penstock::cachefs
