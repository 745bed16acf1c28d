#include "tools/penstock/watch_rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fnmatch.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "penstock/base/file.h"
#include "tools/penstock/ingest_arguments.h"

namespace penstock::tools {

namespace {

using nlohmann::ordered_json;

constexpr uint64_t kMaxRulesBytes = uint64_t{4} << 20;
constexpr size_t kMaxRules = 10'000;
constexpr std::array<std::string_view, 5> kPlaceholders = {"{name}", "{path}", "{folder}",
                                                           "{format}", "{date}"};

std::string Shown(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace).substr(0, 80);
}

// One rule; every failure names file, rule and key.
class RuleReader {
 public:
  RuleReader(const std::filesystem::path& file, size_t number) : file_(file), number_(number) {
    AddIngestOptions(app_, arguments_);
    app_.allow_extras(false);
  }

  Result<WatchRule> Read(const ordered_json& json) {
    if (!json.is_object()) return Wrong("", "an object", Shown(json));
    WatchRule rule;
    for (const auto& [key, value] : json.items()) {
      Status taken = Take(key, value, rule);
      if (!taken.ok()) return std::move(taken).error();
    }
    if (rule.match.empty()) return Wrong("match", "a pattern such as '*.mib'", "nothing");
    PENSTOCK_RETURN_IF_ERROR(CheckName(rule.name));
    Status parsed = Parse();
    if (!parsed.ok()) return std::move(parsed).error();
    auto options = ToIngestOptions(arguments_);
    if (!options.ok()) return std::move(options).error().Context(Place(""));
    rule.options = *std::move(options);
    return rule;
  }

 private:
  std::string Place(const std::string& key) const {
    return fmt::format("{}: rule {}{}", file_.string(), number_,
                       key.empty() ? "" : fmt::format(", key '{}'", key));
  }
  Error Wrong(const std::string& key, std::string expected, std::string found) const {
    return Error::InvalidArgument("this is not a rule")
        .In(file_.string())
        .At(fmt::format("rule {}{}", number_, key.empty() ? "" : fmt::format(", key '{}'", key)))
        .Expected(std::move(expected))
        .Found(std::move(found));
  }

  Status Take(const std::string& key, const ordered_json& value, WatchRule& rule) {
    if (key == "comment") return {};
    if (key == "match" || key == "name") {
      if (!value.is_string() || value.get<std::string>().empty()) {
        return Wrong(key, "a text", Shown(value));
      }
      (key == "match" ? rule.match : rule.name) = value.get<std::string>();
      return {};
    }
    if (key == "ignore") {
      if (!value.is_boolean()) return Wrong(key, "true or false", Shown(value));
      rule.ignore = value.get<bool>();
      return {};
    }
    if (key == "quiet") {
      if (!value.is_number() || value.get<double>() < 0.05 || value.get<double>() > 1e6) {
        return Wrong(key, "seconds, at least 0.05", Shown(value));
      }
      rule.quiet = std::chrono::milliseconds(static_cast<int64_t>(value.get<double>() * 1000));
      return {};
    }
    return TakeOption(key, value);
  }

  // A rule's options are checked by what checks them on the command line.
  Status TakeOption(const std::string& key, const ordered_json& value) {
    std::string name = "--" + key;
    std::ranges::replace(name, '_', '-');
    const CLI::Option* option = app_.get_option_no_throw(name);
    if (option == nullptr || name == "--help" || key.find('-') != std::string::npos) {
      return Wrong(key, "match, name, ignore, quiet, comment or an option of 'penstock ingest'",
                   "an unknown key");
    }
    const bool is_flag = option->get_items_expected_max() == 0;
    if (is_flag != value.is_boolean()) {
      return Wrong(key, is_flag ? "true or false" : "a value", Shown(value));
    }
    if (is_flag) {
      if (value.get<bool>()) given_.push_back({key, {name}});
      return {};
    }
    std::string text;
    if (value.is_string()) {
      text = value.get<std::string>();
    } else if (value.is_number()) {
      text = value.dump();
    } else if (value.is_array() && !value.empty()) {
      for (const ordered_json& item : value) {
        if (!item.is_number_integer()) return Wrong(key, "a list of integers", Shown(value));
        text += (text.empty() ? "" : ",") + item.dump();
      }
    } else {
      return Wrong(key, "a number, a text or a list of integers", Shown(value));
    }
    given_.push_back({key, {name + "=" + text}});
    return {};
  }

  // One option at a time first, so that the failure can be told its key.
  Status Parse() {
    std::vector<std::string> all;
    for (const auto& [key, words] : given_) {
      try {
        std::vector<std::string> reversed(words.rbegin(), words.rend());
        app_.clear();
        app_.parse(reversed);
      } catch (const CLI::ParseError& error) {
        return Wrong(key, "a value that 'penstock ingest' takes", error.what());
      }
      all.insert(all.begin(), words.begin(), words.end());
    }
    try {
      app_.clear();
      arguments_ = IngestArguments();
      app_.parse(all);
    } catch (const CLI::ParseError& error) {
      return Wrong("", "options that go together", error.what());
    }
    return {};
  }

  Status CheckName(const std::string& name) const {
    std::string rest = name;
    for (const std::string_view placeholder : kPlaceholders) {
      for (size_t at = rest.find(placeholder); at != std::string::npos;
           at = rest.find(placeholder)) {
        rest.erase(at, placeholder.size());
      }
    }
    if (rest.find_first_of("{}") == std::string::npos && !name.ends_with('/')) return {};
    return Wrong("name", fmt::format("a name of text and {}", fmt::join(kPlaceholders, ", ")),
                 "'" + name + "'");
  }

  const std::filesystem::path& file_;
  const size_t number_;
  CLI::App app_;
  IngestArguments arguments_;
  std::vector<std::pair<std::string, std::vector<std::string>>> given_;
};

std::string DateOf(int64_t unix_ns) {
  const auto seconds = static_cast<std::time_t>(unix_ns / 1'000'000'000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday);
}

}  // namespace

Result<std::vector<WatchRule>> ReadWatchRules(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaxRulesBytes));
  ordered_json json;
  try {
    json = ordered_json::parse(text);
  } catch (const ordered_json::exception& error) {
    return Error::InvalidArgument("the rules are not JSON").In(path.string()).Found(error.what());
  }
  if (!json.is_array() || json.empty() || json.size() > kMaxRules) {
    return Error::InvalidArgument("the rules are not a list of rules")
        .In(path.string())
        .Expected(R"([{"match": "*.mib", "scan_shape": [256, 256]}, ...])")
        .Found(Shown(json));
  }
  std::vector<WatchRule> rules;
  for (size_t i = 0; i < json.size(); ++i) {
    PENSTOCK_ASSIGN_OR_RETURN(WatchRule rule, RuleReader(path, i + 1).Read(json[i]));
    rules.push_back(std::move(rule));
  }
  return rules;
}

std::vector<WatchRule> DefaultWatchRules() {
  WatchRule everything;
  everything.match = "*";
  return {everything};
}

const WatchRule* FindRule(const std::vector<WatchRule>& rules,
                          const std::filesystem::path& relative) {
  for (const WatchRule& rule : rules) {
    if (fnmatch(rule.match.c_str(), relative.c_str(), 0) == 0) return &rule;
  }
  return nullptr;
}

Result<std::filesystem::path> ExpandName(const std::string& name, const NameParts& parts) {
  const std::filesystem::path folder = parts.relative.parent_path();
  const std::array<std::string, 5> values = {parts.name, folder.string(),
                                             folder.filename().string(), parts.format,
                                             DateOf(parts.modified_ns)};
  std::string text;
  for (size_t at = 0; at < name.size();) {
    size_t known = 0;
    while (known < kPlaceholders.size() &&
           name.compare(at, kPlaceholders[known].size(), kPlaceholders[known]) != 0) {
      ++known;
    }
    if (known == kPlaceholders.size()) {
      text += name[at++];
    } else {
      text += values[known];
      at += kPlaceholders[known].size();
    }
  }
  std::filesystem::path path;
  for (const std::filesystem::path& part : std::filesystem::path(text)) {
    if (part.empty() || part == "/") continue;
    if (part.string().front() == '.') {
      return Error::InvalidArgument("the name that the rule gives is no place in the store")
          .In(parts.relative.string())
          .Expected("a name without components that begin with a dot")
          .Found("'" + text + "'");
    }
    path /= part;
  }
  if (path.empty()) {
    return Error::InvalidArgument("the rule gives an empty name").In(parts.relative.string());
  }
  return path;
}

}  // namespace penstock::tools
