#include "ingest/formats/chunked/json_values.h"

#include <charconv>
#include <cmath>

namespace penstock::ingest::chunked {

std::optional<std::string> AsText(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array() && value.size() == 1) return AsText(value.front());
  return std::nullopt;
}

std::optional<double> AsNumber(const Json& value) {
  if (value.is_number()) {
    const double number = value.get<double>();
    if (std::isfinite(number)) return number;
    return std::nullopt;
  }
  if (value.is_array() && value.size() == 1) return AsNumber(value.front());
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    double number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem == std::errc() && end == text.data() + text.size() && std::isfinite(number)) {
      return number;
    }
  }
  return std::nullopt;
}

std::vector<std::string> AsTexts(const Json& value) {
  std::vector<std::string> texts;
  if (value.is_string()) texts.push_back(value.get<std::string>());
  if (!value.is_array()) return texts;
  for (const Json& item : value) {
    if (item.is_string()) texts.push_back(item.get<std::string>());
  }
  return texts;
}

std::vector<double> AsNumbers(const Json& value) {
  std::vector<double> numbers;
  if (value.is_number()) numbers.push_back(value.get<double>());
  if (!value.is_array()) return numbers;
  for (const Json& item : value) {
    if (!item.is_number()) return {};
    numbers.push_back(item.get<double>());
  }
  return numbers;
}

}  // namespace penstock::ingest::chunked
