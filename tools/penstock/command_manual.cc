// penstock manual DIRECTORY: writes the manual pages; used by the build.

#include <filesystem>
#include <memory>
#include <string>

#include "penstock/base/file.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/manual_pages.h"

namespace penstock::tools {

namespace {

int WriteManual(const CLI::App& app, const std::filesystem::path& directory) {
  if (const Status made = CreateDirectories(directory); !made.ok()) {
    return ReportError(made.error());
  }
  for (const auto& [name, text] : ManualPages(app)) {
    if (const Status written = WriteFileAtomically(directory / name, text); !written.ok()) {
      return ReportError(written.error());
    }
  }
  return kExitDone;
}

void AddManual(CLI::App& app, CommandContext& context) {
  auto directory = std::make_shared<std::string>();
  CLI::App* const command = app.add_subcommand("manual", "write the manual pages");
  command->group("");  // not for users
  command->add_option("DIRECTORY", *directory)->required();
  command->callback(
      [directory, &app, &context] { context.exit_status = WriteManual(app, *directory); });
}

const CommandRegistration kManual(&AddManual);

}  // namespace

}  // namespace penstock::tools
