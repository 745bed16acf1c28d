// penstock bugreport: one archive with what is needed to look into a fault of a mount.

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>

#include "penstock/base/file.h"
#include "tools/penstock/bug_report.h"
#include "tools/penstock/commands.h"

namespace penstock::tools {

namespace {

namespace fs = std::filesystem;

// Of a name that nobody else knows, readable by its owner alone, gone with this object.
class PrivateFolder {
 public:
  PrivateFolder() {
    std::string name = fs::temp_directory_path() / "penstock-bugreport-XXXXXX";
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~PrivateFolder() {
    std::error_code failure;
    if (!path_.empty()) fs::remove_all(path_, failure);
  }
  PrivateFolder(const PrivateFolder&) = delete;
  PrivateFolder& operator=(const PrivateFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

Status Pack(const fs::path& parent, const std::string& name, const fs::path& out) {
  const pid_t child = fork();
  if (child == 0) {
    execlp("tar", "tar", "-C", parent.c_str(), "-czf", out.c_str(), "--", name.c_str(), nullptr);
    _exit(127);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
    return Error(ErrorKind::kIo, "tar could not write the archive").In(out.string());
  }
  return {};
}

Result<fs::path> WriteReport(const std::string& path, std::string out) {
  PENSTOCK_ASSIGN_OR_RETURN(const auto report, GatherBugReport(path));
  const std::string name =
      fmt::format("penstock-bugreport-{:%Y%m%dT%H%M%SZ}", fmt::gmtime(std::time(nullptr)));
  if (out.empty()) out = name + ".tar.gz";
  const PrivateFolder folder;
  if (folder.path().empty()) return Error::FromErrno(errno, "cannot make a temporary folder");
  PENSTOCK_RETURN_IF_ERROR(CreateDirectories(folder.path() / name));
  for (const auto& [file, text] : report) {
    PENSTOCK_RETURN_IF_ERROR(WriteFileAtomically(folder.path() / name / file, text));
  }
  PENSTOCK_RETURN_IF_ERROR(Pack(folder.path(), name, out));
  return fs::path(out);
}

void AddBugReport(CLI::App& app, CommandContext& context) {
  struct Arguments {
    std::string path;
    std::string out;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* const command = app.add_subcommand(
      "bugreport", "gather what is needed to look into a fault of a mount, also of a dead one");
  command->add_option("PATH", arguments->path, "The mount, or its cache directory")->required();
  command->add_option("-o,--out", arguments->out,
                      "The archive (default: penstock-bugreport-TIME.tar.gz here)");
  command->callback([arguments, &context] {
    umask(0077);
    const auto written = WriteReport(arguments->path, arguments->out);
    if (!written.ok()) {
      context.exit_status = ReportError(written.error());
      return;
    }
    fmt::print(
        "{}\nIt holds names of files and datasets, no data of them. Read it before you pass "
        "it on.\n",
        written->string());
  });
}

const CommandRegistration kBugReport(&AddBugReport);

}  // namespace

}  // namespace penstock::tools
