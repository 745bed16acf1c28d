// A file that sets the options of a command by the names they have on the command line:
//
//   # comment
//   cache = /ssd/penstock
//   cache-size = 200G
//   no-passthrough = true
//
// Lines of INI or TOML as CLI11 reads them; values with special characters are quoted. Positional
// arguments go by their names in lower case.

#ifndef PENSTOCK_TOOLS_CONFIG_FILE_H_
#define PENSTOCK_TOOLS_CONFIG_FILE_H_

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>

#include "penstock/base/result.h"

namespace penstock::tools {

// Sets the options of `command` that were not given on its command line. kInvalidArgument with file
// and line for a name that the command has not, a value that it refuses, or a name that stands
// there twice. A line [NAME], NAME being the command's, may head the file.
Status ApplyConfigFile(CLI::App& command, const std::filesystem::path& path);

// How an option is called in such files; "" where it has no place there.
std::string ConfigName(const CLI::Option& option);

// The file that says what `command` was told, all options with their descriptions; what has no
// value is commented out.
std::string ConfigText(const CLI::App& command);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_CONFIG_FILE_H_
