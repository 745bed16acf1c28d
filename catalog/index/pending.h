// STORE/.penstock/pending: what could not be written to the index at once, one file each.
//
// A note says only that a path should be looked at again; its truth is in the sidecar. So notes may
// be taken up twice, late or in part without harm.

#ifndef PENSTOCK_CATALOG_INDEX_PENDING_H_
#define PENSTOCK_CATALOG_INDEX_PENDING_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/index/index_database.h"
#include "catalog/index/store_folder.h"
#include "catalog/index/verification_log.h"
#include "penstock/base/result.h"

namespace penstock::catalog {

enum class PendingAction : uint8_t { kRegister, kForget };

struct PendingNote {
  std::filesystem::path file;
  PendingAction action = PendingAction::kRegister;
  std::string path;
};

Status WriteNote(const StoreFolder& store, PendingAction action, std::string_view path);

// In the order in which they were written. Files that are not notes are left alone.
Result<std::vector<PendingNote>> ReadNotes(const StoreFolder& store);

// What a note means now: an entry, an unreadable dataset, or nothing there (both empty).
struct NoteOutcome {
  std::optional<Entry> entry;
  std::optional<UnreadableDataset> unreadable;
};
Result<NoteOutcome> EvaluateNote(const StoreFolder& store, const PendingNote& note,
                                 const VerificationLog& log);

// Enters all notes and removes their files; a note whose dataset the file system refuses to read
// stays. Precondition: `database` is writable, under the exclusive StoreLock.
Status AbsorbNotes(const StoreFolder& store, const std::vector<PendingNote>& notes,
                   IndexDatabase& database);

void RemoveNotes(const std::vector<PendingNote>& notes);

}  // namespace penstock::catalog

#endif  // PENSTOCK_CATALOG_INDEX_PENDING_H_
