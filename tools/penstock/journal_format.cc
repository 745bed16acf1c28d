#include "tools/penstock/journal_format.h"

#include <spdlog/pattern_formatter.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace penstock::tools {

namespace {

class JournalPriority final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& destination) override {
    char priority = '6';
    if (message.level >= spdlog::level::err) {
      priority = '3';
    } else if (message.level == spdlog::level::warn) {
      priority = '4';
    } else if (message.level < spdlog::level::info) {
      priority = '7';
    }
    const char text[] = {'<', priority, '>'};
    destination.append(text, text + sizeof text);
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JournalPriority>();
  }
};

}  // namespace

// systemd.exec(5): DEVICE:INODE of the stream. A child that writes elsewhere inherits the variable.
bool LogsToJournal() {
  const char* const stream = std::getenv("JOURNAL_STREAM");
  struct stat status {};
  if (stream == nullptr || fstat(STDERR_FILENO, &status) != 0) return false;
  return stream == std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino);
}

std::unique_ptr<spdlog::formatter> MakeJournalFormatter() {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<JournalPriority>('*').set_pattern("%*%v");
  return formatter;
}

}  // namespace penstock::tools
