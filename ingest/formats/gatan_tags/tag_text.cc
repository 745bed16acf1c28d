#include "ingest/formats/gatan_tags/tag_text.h"

#include <cstddef>
#include <cstdint>

namespace penstock::ingest::gatan {

namespace {

void AppendUtf8(uint32_t code, std::string& text) {
  const auto rest = [&](int shift) {
    text += static_cast<char>(0x80U | ((code >> shift) & 0x3FU));
  };
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0U | (code >> 6));
    rest(0);
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0U | (code >> 12));
    rest(6);
    rest(0);
  } else {
    text += static_cast<char>(0xF0U | (code >> 18));
    rest(12);
    rest(6);
    rest(0);
  }
}

// Length of the UTF-8 sequence at `at`, 0 where there is none (RFC 3629).
size_t SequenceLength(std::string_view bytes, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint8_t lead = byte(at);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || bytes.size() - at < length) return 0;
  uint32_t code = lead & (0x7FU >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0U) != 0x80) return 0;
    code = code << 6 | (byte(at + i) & 0x3FU);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xD800 && code < 0xE000;
  return overlong || surrogate || code > 0x10FFFF ? 0 : length;
}

bool IsUtf8(std::string_view bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = SequenceLength(bytes, at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

}  // namespace

std::string TextFromBytes(std::string_view bytes) {
  const bool is_utf8 = IsUtf8(bytes);
  std::string text;
  for (const char byte : bytes) {
    const auto code = static_cast<uint8_t>(byte);
    if (code < 0x20 || code == 0x7F) {
      text += '?';  // names go into messages and the sidecar
    } else if (is_utf8) {
      text += byte;
    } else {
      AppendUtf8(code, text);
    }
  }
  return text;
}

std::optional<std::string> TextFromUtf16(std::u16string_view text) {
  while (!text.empty() && text.back() == u'\0') text.remove_suffix(1);
  std::string utf8;
  for (size_t i = 0; i < text.size(); ++i) {
    uint32_t code = text[i];
    if (code >= 0xD800 && code < 0xE000) {
      if (code >= 0xDC00 || i + 1 == text.size()) return std::nullopt;
      const uint32_t low = text[++i];
      if (low < 0xDC00 || low >= 0xE000) return std::nullopt;
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if ((code < 0x20 && code != '\t' && code != '\n' && code != '\r') || code == 0x7F) {
      return std::nullopt;
    }
    AppendUtf8(code, utf8);
  }
  return utf8;
}

}  // namespace penstock::ingest::gatan
