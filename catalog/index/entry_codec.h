// The values of the index: an Entry as two JSON texts, so that listing need not read the facts.
//
// A change of meaning here is a new kSchemaVersion (current_index.h): indexes of another schema are
// rebuilt, never converted.

#ifndef PENSTOCK_CATALOG_INDEX_ENTRY_CODEC_H_
#define PENSTOCK_CATALOG_INDEX_ENTRY_CODEC_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/catalog/entry.h"

namespace penstock::catalog {

// All members but path (the key has it) and facts.
std::string EncodeEntry(const Entry& entry);
std::string EncodeFacts(const std::vector<EntryFact>& facts);

// kCorrupt for anything that the functions above did not make.
Result<Entry> DecodeEntry(std::string path, std::string_view text);
Result<std::vector<EntryFact>> DecodeFacts(std::string_view text);

// Also the form of a line of the verification log.
Json VerifyRecordToJson(const VerifyRecord& record);
std::optional<VerifyRecord> VerifyRecordFromJson(const Json& json);

}  // namespace penstock::catalog

#endif  // PENSTOCK_CATALOG_INDEX_ENTRY_CODEC_H_
