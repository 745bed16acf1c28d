// Text of tag files to UTF-8.

#ifndef PENSTOCK_INGEST_FORMATS_GATAN_TAGS_TAG_TEXT_H_
#define PENSTOCK_INGEST_FORMATS_GATAN_TAGS_TAG_TEXT_H_

#include <optional>
#include <string>
#include <string_view>

namespace penstock::ingest::gatan {

// Names of tags: UTF-8 where they are that, else Latin-1 ("Emission Current (µA)").
std::string TextFromBytes(std::string_view bytes);

// Nothing where it is no text: unpaired surrogates or control characters. Zeros at the end are
// dropped.
std::optional<std::string> TextFromUtf16(std::u16string_view text);

}  // namespace penstock::ingest::gatan

#endif  // PENSTOCK_INGEST_FORMATS_GATAN_TAGS_TAG_TEXT_H_
