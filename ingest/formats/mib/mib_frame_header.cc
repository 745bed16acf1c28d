#include "ingest/formats/mib/mib_frame_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace penstock::ingest {

namespace {

constexpr std::string_view kMagic = "MQ1,";
constexpr std::string_view kPadding{"\0 \r\n", 4};
// Fields 1 to 14 are in every header; thresholds, chip settings and the extension follow.
constexpr size_t kFixedFields = 14;

struct TypeName {
  MibPixelType type;
  std::string_view name;
};
constexpr std::array<TypeName, 6> kTypes{{{MibPixelType::kU01, "U01"},
                                          {MibPixelType::kU08, "U08"},
                                          {MibPixelType::kU16, "U16"},
                                          {MibPixelType::kU32, "U32"},
                                          {MibPixelType::kU64, "U64"},
                                          {MibPixelType::kR64, "R64"}}};

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Printable, for messages: what is not ASCII text as \xNN, at most 40 characters.
std::string Shown(std::string_view text) {
  std::string shown;
  for (const char c : text.substr(0, 40)) {
    if (c >= ' ' && c <= '~') {
      shown += c;
    } else {
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return "'" + shown + (text.size() > 40 ? "...'" : "'");
}

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

template <typename T>
std::optional<T> ParseInteger(std::string_view text, int base = 10) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> ParseFinite(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

Error FieldError(size_t number, std::string_view name, std::string_view found,
                 std::string expected) {
  return Error::Corrupt(
             fmt::format("field {} ({}) of the Merlin frame header is wrong", number, name))
      .Expected(std::move(expected))
      .Found(Shown(found));
}

// Splits off the text up to the next comma; false when `rest` is used up.
bool TakeField(std::string_view& rest, std::string_view& field) {
  if (rest.data() == nullptr) return false;
  const size_t comma = rest.find(',');
  field = rest.substr(0, comma);
  rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  return true;
}

template <typename T>
Status ReadNumber(std::string_view field, size_t number, std::string_view name, T& value,
                  int base = 10) {
  const auto parsed = ParseInteger<T>(field, base);
  if (!parsed) {
    return FieldError(number, name, field,
                      base == 16 ? "a hexadecimal number" : "a decimal number");
  }
  value = *parsed;
  return {};
}

Result<MibPixelType> ParseType(std::string_view field) {
  for (const TypeName& known : kTypes) {
    if (field == known.name) return known.type;
  }
  return FieldError(7, "pixel type", field, "U08, U16, U32 or R64");
}

// The header without its padding and last comma.
Result<std::string_view> HeaderText(std::string_view header) {
  const size_t nul = header.find('\0');
  if (nul != std::string_view::npos) {
    const size_t stray = header.find_first_not_of(kPadding, nul);
    if (stray != std::string_view::npos) {
      return Error::Corrupt("the padding of the Merlin frame header holds something else")
          .Expected("NUL or space up to byte " + std::to_string(header.size()))
          .Found(fmt::format("{} at byte {} of the header", Shown(header.substr(stray, 1)), stray));
    }
    header = header.substr(0, nul);
  }
  header = header.substr(0, header.find_last_not_of(kPadding) + 1);
  const auto binary = std::ranges::find_if(header, [](char c) { return c < ' ' || c > '~'; });
  if (binary != header.end()) {
    return Error::Corrupt("the Merlin frame header holds bytes that are not text")
        .Expected("printable ASCII, padded with NUL or space")
        .Found(fmt::format("byte 0x{:02x} at byte {} of the header",
                           static_cast<unsigned char>(*binary), binary - header.begin()));
  }
  if (header.ends_with(',')) header.remove_suffix(1);
  return header;
}

Status ParseFixedFields(const std::array<std::string_view, kFixedFields>& fields,
                        MibFrameHeader& header) {
  MibFrameLayout& layout = header.layout;
  PENSTOCK_RETURN_IF_ERROR(ReadNumber(fields[1], 2, "sequence number", header.sequence_number));
  PENSTOCK_RETURN_IF_ERROR(ReadNumber(fields[3], 4, "number of chips", layout.chips));
  PENSTOCK_RETURN_IF_ERROR(ReadNumber(fields[4], 5, "columns", layout.width));
  PENSTOCK_RETURN_IF_ERROR(ReadNumber(fields[5], 6, "rows", layout.rows));
  PENSTOCK_ASSIGN_OR_RETURN(layout.type, ParseType(fields[6]));
  layout.assembly = Trim(fields[7]);
  if (layout.assembly.empty()) return FieldError(8, "layout", fields[7], "1x1, 2x2, 2x2G, ...");
  PENSTOCK_RETURN_IF_ERROR(ReadNumber(fields[8], 9, "chip select", layout.chip_mask, 16));
  if (header.sequence_number < 0) {
    return FieldError(2, "sequence number", fields[1], "a number that is not negative");
  }
  if (layout.width == 0) return FieldError(5, "columns", fields[4], "at least 1");
  if (layout.rows == 0) return FieldError(6, "rows", fields[5], "at least 1");
  if (layout.chips == 0) return FieldError(4, "number of chips", fields[3], "at least 1");

  header.local_time = fields[9];
  header.local_time_ns = ParseMibLocalTime(fields[9]);
  const auto exposure_s = ParseFinite(fields[10]);
  if (exposure_s && *exposure_s >= 0 && *exposure_s < 1e9) {
    header.exposure_ns = std::llround(*exposure_s * 1e6) * 1000;  // the field has 1 us
  }
  header.counter = ParseInteger<int>(fields[11]);
  header.colour_mode = ParseInteger<int>(fields[12]);
  header.gain_mode = ParseInteger<int>(fields[13]);
  return {};
}

// "MQ1A", UTC time, exposure in ns, counter depth: wherever the token stands after field 14.
Status ParseExtension(std::string_view rest, MibFrameHeader& header) {
  std::string_view field;
  bool found = false;
  while (!found && TakeField(rest, field)) found = field == "MQ1A";
  if (!found) return {};
  if (TakeField(rest, field)) {
    header.utc_time = field;
    header.utc_unix_ns = ParseMibUtcTime(field);
  }
  if (TakeField(rest, field) && field.ends_with("ns")) {
    const auto exposure = ParseInteger<int64_t>(field.substr(0, field.size() - 2));
    if (exposure && *exposure >= 0) {
      header.exposure_ns = *exposure;
      header.exposure_is_exact = true;
    }
  }
  if (TakeField(rest, field)) {
    const auto depth = ParseInteger<int>(Trim(field));
    if (!depth) {
      return Error::Corrupt("the counter depth after MQ1A in the Merlin frame header is wrong")
          .Expected("1, 6, 12 or 24")
          .Found(Shown(field));
    }
    header.layout.counter_depth = *depth;
  }
  return {};
}

void ParseThresholds(std::string_view rest, MibFrameHeader& header) {
  constexpr size_t kThresholds = 8;
  std::string_view field;
  while (header.thresholds_kev.size() < kThresholds && TakeField(rest, field)) {
    const auto value = ParseFinite(field);
    if (!value) return;
    header.thresholds_kev.push_back(*value);
  }
}

}  // namespace

std::string_view MibPixelTypeName(MibPixelType type) {
  return std::ranges::find(kTypes, type, &TypeName::type)->name;
}

std::string MibFrameLayout::ToString() const {
  return fmt::format(
      "{} {} columns x {} rows, {} chip{} {}, chip select {:02X}, header of {} "
      "bytes, counter depth {}",
      MibPixelTypeName(type), width, rows, chips, chips == 1 ? "" : "s", assembly, chip_mask,
      header_bytes, counter_depth ? std::to_string(*counter_depth) : std::string("not stated"));
}

bool IsMerlinLiveDump(std::span<const std::byte> bytes) {
  const std::string_view text = AsText(bytes);
  return text.size() >= 15 && text.starts_with("MPX,") && text[14] == ',' &&
         std::ranges::all_of(text.substr(4, 10), [](char c) { return c >= '0' && c <= '9'; });
}

Result<uint32_t> MibHeaderBytes(std::span<const std::byte> bytes) {
  if (IsMerlinLiveDump(bytes)) {
    return Error::Unsupported("this is a dump of Merlin's live stream, not a MIB file")
        .Expected("'MQ1,'")
        .Found(Shown(AsText(bytes.first(15))))
        .Advice("save the acquisition as a .mib file in the Merlin software");
  }
  std::string_view rest = AsText(bytes.first(std::min(bytes.size(), kMibMinHeaderBytes)));
  if (!rest.starts_with(kMagic)) {
    return Error::Corrupt("this is not a Merlin frame header")
        .Expected("'MQ1,'")
        .Found(Shown(rest.substr(0, 8)));
  }
  std::string_view field;
  for (int number = 1; number <= 3; ++number) {
    if (!TakeField(rest, field)) break;
  }
  uint32_t header_bytes = 0;
  if (rest.data() == nullptr) return FieldError(3, "header bytes", field, "a comma after it");
  PENSTOCK_RETURN_IF_ERROR(ReadNumber(field, 3, "header bytes", header_bytes));
  if (header_bytes < kMibMinHeaderBytes || header_bytes > kMibMaxHeaderBytes) {
    return FieldError(3, "header bytes", field,
                      fmt::format("{} to {}", kMibMinHeaderBytes, kMibMaxHeaderBytes));
  }
  return header_bytes;
}

Result<MibFrameHeader> ParseMibFrameHeader(std::span<const std::byte> bytes,
                                           MibHeaderDetail detail) {
  PENSTOCK_ASSIGN_OR_RETURN(const uint32_t header_bytes, MibHeaderBytes(bytes));
  if (bytes.size() < header_bytes) {
    return Error::Corrupt("the file ends inside a Merlin frame header")
        .Expected(std::to_string(header_bytes) + " bytes")
        .Found(std::to_string(bytes.size()));
  }
  PENSTOCK_ASSIGN_OR_RETURN(const std::string_view text,
                            HeaderText(AsText(bytes.first(header_bytes))));
  std::string_view rest = text;
  std::array<std::string_view, kFixedFields> fields;
  for (size_t i = 0; i < kFixedFields; ++i) {
    if (!TakeField(rest, fields[i])) {
      return Error::Corrupt("the Merlin frame header is too short")
          .Expected(fmt::format("at least {} fields", kFixedFields))
          .Found(fmt::format("{} fields: {}", i, Shown(text)));
    }
  }
  MibFrameHeader header;
  header.layout.header_bytes = header_bytes;
  PENSTOCK_RETURN_IF_ERROR(ParseFixedFields(fields, header));
  PENSTOCK_RETURN_IF_ERROR(ParseExtension(rest, header));
  if (detail == MibHeaderDetail::kAll) {
    ParseThresholds(rest, header);
    header.text = text;
  }
  return header;
}

}  // namespace penstock::ingest
