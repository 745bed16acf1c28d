#include "catalog/index/pending.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>

#include "penstock/base/file.h"
#include "penstock/catalog/catalog.h"

namespace penstock::catalog {

namespace {

constexpr std::string_view kRegister = "register\n";
constexpr std::string_view kForget = "forget\n";
constexpr std::string_view kSuffix = ".note";
constexpr uint64_t kMaxNoteBytes = 8192;

std::optional<PendingNote> ParseNote(const std::filesystem::path& file, std::string_view text) {
  PendingNote note;
  note.file = file;
  if (text.starts_with(kRegister)) {
    text.remove_prefix(kRegister.size());
  } else if (text.starts_with(kForget)) {
    note.action = PendingAction::kForget;
    text.remove_prefix(kForget.size());
  } else {
    return std::nullopt;
  }
  note.path = text;
  if (note.path.find('\0') != std::string::npos || !IsUtf8(note.path)) return std::nullopt;
  // Relative, without "..", nothing hidden: the same paths that PathInStore makes.
  size_t start = 0;
  while (start <= note.path.size()) {
    const size_t end = std::min(note.path.find('/', start), note.path.size());
    if (IsHiddenName(std::string_view(note.path).substr(start, end - start))) return std::nullopt;
    start = end + 1;
  }
  return note;
}

}  // namespace

Status WriteNote(const StoreFolder& store, PendingAction action, std::string_view path) {
  static std::atomic<uint64_t> counter{0};
  PENSTOCK_RETURN_IF_ERROR(store.CreateFolder(store.folder()));
  PENSTOCK_RETURN_IF_ERROR(store.CreateFolder(store.pending()));
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::string name = fmt::format(
      "{:020}-{}-{}{}", std::chrono::duration_cast<std::chrono::nanoseconds>(now).count(), getpid(),
      counter.fetch_add(1), kSuffix);
  return WriteFileAtomically(
      store.pending() / name,
      std::string(action == PendingAction::kRegister ? kRegister : kForget).append(path));
}

Result<std::vector<PendingNote>> ReadNotes(const StoreFolder& store) {
  std::vector<PendingNote> notes;
  std::error_code code;
  std::filesystem::directory_iterator files(store.pending(), code);
  if (code == std::errc::no_such_file_or_directory || code == std::errc::not_a_directory) {
    return notes;
  }
  if (code) return Error::FromErrno(code.value(), "cannot list").In(store.pending());
  for (; files != std::filesystem::directory_iterator(); files.increment(code)) {
    if (code) return Error::FromErrno(code.value(), "cannot list").In(store.pending());
    const std::filesystem::path& file = files->path();
    if (file.extension() != kSuffix) continue;
    const Result<std::string> text = ReadWholeFile(file, kMaxNoteBytes);
    if (!text.ok()) continue;  // taken up by another process in the meantime, or not ours to read
    std::optional<PendingNote> note = ParseNote(file, *text);
    if (note) notes.push_back(*std::move(note));
  }
  std::sort(notes.begin(), notes.end(),
            [](const PendingNote& a, const PendingNote& b) { return a.file < b.file; });
  return notes;
}

Result<NoteOutcome> EvaluateNote(const StoreFolder& store, const PendingNote& note,
                                 const VerificationLog& log) {
  NoteOutcome outcome;
  if (note.action == PendingAction::kForget) return outcome;
  Result<Entry> entry = ReadEntry(store.dataset(note.path), note.path);
  if (entry.ok()) {
    log.Attach(*entry);
    outcome.entry = *std::move(entry);
    return outcome;
  }
  switch (entry.error().kind()) {
    case ErrorKind::kNotFound:
      return outcome;
    case ErrorKind::kCorrupt:
    case ErrorKind::kUnsupported:
    case ErrorKind::kContradiction:
      outcome.unreadable =
          UnreadableDataset{.path = note.path, .message = entry.error().ToString()};
      return outcome;
    default:
      return std::move(entry).error();
  }
}

Status AbsorbNotes(const StoreFolder& store, const std::vector<PendingNote>& notes,
                   IndexDatabase& database) {
  if (notes.empty()) return {};
  PENSTOCK_ASSIGN_OR_RETURN(const VerificationLog log, ReadVerifications(store));
  for (const PendingNote& note : notes) {
    Result<NoteOutcome> outcome = EvaluateNote(store, note, log);
    if (!outcome.ok()) continue;
    if (outcome->entry) {
      PENSTOCK_RETURN_IF_ERROR(database.Put(*outcome->entry));
    } else if (outcome->unreadable) {
      PENSTOCK_RETURN_IF_ERROR(database.PutUnreadable(*outcome->unreadable));
    } else if (note.action == PendingAction::kForget) {
      PENSTOCK_RETURN_IF_ERROR(database.Remove(note.path));
    }
    RemoveNotes({note});
  }
  return {};
}

void RemoveNotes(const std::vector<PendingNote>& notes) {
  // What cannot be removed is taken up again by the next one, which does no harm.
  for (const PendingNote& note : notes) (void)unlink(note.file.c_str());
}

}  // namespace penstock::catalog
