// How lines of a log go to systemd's journal: its own times, and the priority that it takes off the
// start of a line ("<6>").

#ifndef PENSTOCK_TOOLS_JOURNAL_FORMAT_H_
#define PENSTOCK_TOOLS_JOURNAL_FORMAT_H_

#include <spdlog/formatter.h>

#include <memory>

namespace penstock::tools {

// Whether standard error leads to the journal.
bool LogsToJournal();

std::unique_ptr<spdlog::formatter> MakeJournalFormatter();

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_JOURNAL_FORMAT_H_
