#include "tools/penstock/config_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

namespace penstock::tools {

namespace {

// Of the command line alone.
constexpr std::string_view kNotInFiles[] = {"help",     "config",  "print-config", "foreground",
                                            "ready-fd", "replace", "directory"};

std::string Lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

CLI::Option* FindOption(CLI::App& command, const std::string& name) {
  for (CLI::Option* const option : command.get_options()) {
    if (ConfigName(*option) == name) return option;
  }
  return nullptr;
}

struct Line {
  std::filesystem::path file;
  int number = 0;

  Error Refuse(std::string why) const {
    return Error::InvalidArgument(std::move(why))
        .In(file.string())
        .At(fmt::format("line {}", number));
  }
};

std::string Trim(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

Status ApplyItem(CLI::App& command, const CLI::ConfigItem& item, std::set<std::string>& seen,
                 const Line& line) {
  const std::string name = item.fullname();
  CLI::Option* const option = FindOption(command, name);
  if (option == nullptr) {
    return line.Refuse("there is no such option")
        .Found(name)
        .Advice(fmt::format("penstock {} --help lists them", command.get_name()));
  }
  if (!seen.insert(name).second) return line.Refuse("an option stands here twice").Found(name);
  if (option->count() > 0) return {};  // the command line has said it
  try {
    if (option->get_expected_min() == 0) {
      const std::string value = item.inputs.empty() ? "" : item.inputs.front();
      if (item.inputs.size() != 1 || (value != "true" && value != "false")) {
        return line.Refuse("a switch is true or false").Found(value);
      }
      if (value == "true") option->add_result("true");
    } else {
      for (const std::string& value : item.inputs) option->add_result(value);
    }
    if (option->count() > 0) option->run_callback();
  } catch (const CLI::Error& error) {
    return line.Refuse(error.what());
  }
  return {};
}

// The description as a comment.
std::string Comment(const std::string& text) {
  std::istringstream words(text);
  std::string comment;
  std::string row = "#";
  for (std::string word; words >> word;) {
    if (row.size() + word.size() > 78) {
      comment += row + "\n";
      row = "#";
    }
    row += " " + word;
  }
  return row == "#" ? comment : comment + row + "\n";
}

std::string Quote(const std::string& value) {
  const bool plain = !value.empty() && value.find_first_of(" \t\"'#;[],=") == std::string::npos;
  return plain ? value : fmt::format("\"{}\"", value);
}

}  // namespace

std::string ConfigName(const CLI::Option& option) {
  const std::string name = option.get_single_name();
  const bool is_not = std::ranges::find(kNotInFiles, name) != std::end(kNotInFiles);
  return is_not || option.get_group().empty() ? "" : Lower(name);
}

Status ApplyConfigFile(CLI::App& command, const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) return Error::FromErrno(errno, "cannot read the configuration").In(path.string());
  std::set<std::string> seen;
  Line line{.file = path};
  for (std::string text; std::getline(file, text);) {
    ++line.number;
    text = Trim(text);
    if (text.empty() || text.front() == '#' || text.front() == ';') continue;
    if (text.front() == '[') {
      if (text == "[" + command.get_name() + "]") continue;
      return line.Refuse("there is no such section").Found(text);
    }
    if (text.find('=') == std::string::npos) {
      return line.Refuse("the line sets nothing").Expected("NAME = VALUE").Found(text);
    }
    std::vector<CLI::ConfigItem> items;
    try {
      std::istringstream one(text + "\n");
      items = CLI::ConfigTOML().from_config(one);
    } catch (const CLI::Error& error) {
      return line.Refuse(error.what());
    }
    for (const CLI::ConfigItem& item : items) {
      if (item.name == "++" || item.name == "--") continue;  // marks of sections
      PENSTOCK_RETURN_IF_ERROR(ApplyItem(command, item, seen, line));
    }
  }
  for (const CLI::Option* const option : command.get_options()) {
    for (const CLI::Option* const needed : option->get_needs()) {
      if (option->count() == 0 || needed->count() > 0) continue;
      return Error::InvalidArgument(
                 fmt::format("{} needs {}", option->get_name(), needed->get_name()))
          .In(path.string());
    }
  }
  return {};
}

std::string ConfigText(const CLI::App& command) {
  std::string text;
  for (const CLI::Option* const option : command.get_options()) {
    const std::string name = ConfigName(*option);
    if (name.empty()) continue;
    text += (text.empty() ? "" : "\n") + Comment(option->get_description());
    if (option->get_expected_min() == 0) {
      text += fmt::format("{} = {}\n", name, option->count() > 0 ? "true" : "false");
    } else if (option->count() > 0) {
      for (const std::string& value : option->results()) {
        text += fmt::format("{} = {}\n", name, Quote(value));
      }
    } else if (!option->get_default_str().empty()) {
      text += fmt::format("{} = {}\n", name, Quote(option->get_default_str()));
    } else {
      text += fmt::format("# {} =\n", name);
    }
  }
  return text;
}

}  // namespace penstock::tools
