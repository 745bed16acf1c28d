#include "tools/penstock/manual_pages.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <sstream>
#include <string_view>
#include <vector>

#include "tools/penstock/config_file.h"

namespace penstock::tools {

namespace {

// As text of man(7): nothing in it is taken for a request or an escape.
std::string Escape(std::string_view text) {
  std::string escaped;
  for (const char character : text) {
    if (character == '\\') {
      escaped += "\\e";
    } else if (character == '-') {
      escaped += "\\-";
    } else if (character == '\n') {
      escaped.push_back(' ');
    } else {
      escaped.push_back(character);
    }
  }
  if (escaped.starts_with('.') || escaped.starts_with('\'')) escaped.insert(0, "\\&");
  return escaped;
}

// In bold and in italics.
std::string Bold(std::string_view text) { return "\\fB" + Escape(text) + "\\fR"; }
std::string Italic(std::string_view text) { return "\\fI" + Escape(text) + "\\fR"; }

std::string Sentence(std::string text) {
  if (text.empty()) return "";
  text.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(text.front())));
  if (text.back() != '.' && text.back() != ')') text.push_back('.');
  return text;
}

class Page {
 public:
  Page(std::string_view name, int section, std::string_view description) {
    std::string upper(name);
    std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return std::toupper(c); });
    Line(R"(.\" Made by penstock from its own help; not to be edited.)");
    Line(fmt::format(".TH {} {} \"\" \"penstock {}\" \"penstock\"", Escape(upper), section,
                     PENSTOCK_VERSION));
    Section("NAME");
    Line(fmt::format("{} \\- {}", Escape(name), Escape(description)));
  }

  void Section(std::string_view title) { Line(fmt::format(".SH {}", title)); }
  void Paragraph(std::string_view text) {
    Line(".PP");
    Line(Escape(text));
  }
  void Line(std::string_view line) { fmt::format_to(std::back_inserter(text_), "{}\n", line); }
  // `tag` is escaped already.
  void Entry(std::string_view tag, std::string_view text) {
    Line(".TP");
    Line(tag);
    Line(Escape(text));
  }
  void Example(std::string_view text) {
    Line(".PP\n.nf\n.RS");
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
      Line(line.empty() ? "\\&" : Escape(line));
    }
    Line(".RE\n.fi");
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

std::vector<const CLI::App*> CommandsOf(const CLI::App& app) {
  std::vector<const CLI::App*> commands;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_group().empty()) commands.push_back(command);
  }
  return commands;
}

std::vector<const CLI::Option*> OptionsOf(const CLI::App& command, bool positional) {
  std::vector<const CLI::Option*> options;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_group().empty() || option->get_positional() != positional) continue;
    options.push_back(option);
  }
  return options;
}

bool IsSwitch(const CLI::Option& option) { return option.get_expected_max() == 0; }

// "SECONDS" from CLI11's "FLOAT in [0.1 - 86400]" cannot be told; the type alone is.
std::string ValueName(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const std::string word = type.substr(0, type.find_first_of(" :"));
  return word.empty() ? "VALUE" : word;
}

std::string Tag(const CLI::Option& option) {
  if (option.get_positional()) return Italic(option.get_single_name());
  std::string tag;
  for (const std::string& name : option.get_snames()) tag += Bold("-" + name) + ", ";
  for (const std::string& name : option.get_lnames()) tag += Bold("--" + name) + ", ";
  tag.resize(tag.size() - 2);
  return IsSwitch(option) ? tag : tag + " " + Italic(ValueName(option));
}

std::string Text(const CLI::Option& option) {
  std::string text = Sentence(option.get_description());
  if (!option.get_default_str().empty()) {
    text += fmt::format(" Default: {}.", option.get_default_str());
  }
  return text;
}

void AddArguments(const CLI::App& command, Page& page) {
  const auto arguments = OptionsOf(command, /*positional=*/true);
  if (!arguments.empty()) page.Section("ARGUMENTS");
  for (const CLI::Option* option : arguments) page.Entry(Tag(*option), Text(*option));
  const auto options = OptionsOf(command, /*positional=*/false);
  if (!options.empty()) page.Section("OPTIONS");
  for (const CLI::Option* option : options) page.Entry(Tag(*option), Text(*option));
}

std::string Synopsis(const std::string& name, const CLI::App& command) {
  std::string synopsis = Bold(name);
  if (!OptionsOf(command, false).empty()) synopsis += " [" + Italic("OPTIONS") + "]";
  for (const CLI::Option* option : OptionsOf(command, true)) {
    std::string argument = Italic(option->get_single_name());
    if (option->get_items_expected_max() > 1) argument += " ...";
    synopsis += option->get_required() ? " " + argument : " [" + argument + "]";
  }
  return synopsis;
}

void AddExitStatus(Page& page) {
  page.Section("EXIT STATUS");
  page.Entry(Bold("0"), "Done.");
  page.Entry(Bold("1"), "Failed; with verify: damage was found.");
  page.Entry(Bold("2"), "The command line asks for something impossible.");
  page.Entry(Bold("3"), "Done, with anomalies that were reported.");
}

std::string CommandPage(const CLI::App& command) {
  const std::string name = "penstock " + command.get_name();
  Page page("penstock-" + command.get_name(), 1, command.get_description());
  const auto commands = CommandsOf(command);
  page.Section("SYNOPSIS");
  if (commands.empty()) {
    page.Line(Synopsis(name, command));
  } else {
    for (const CLI::App* below : commands) {
      if (below != commands.front()) page.Line(".br");
      page.Line(Synopsis(name + " " + below->get_name(), *below));
    }
  }
  page.Section("DESCRIPTION");
  page.Line(Escape(Sentence(command.get_description())));
  AddArguments(command, page);
  for (const CLI::App* below : commands) {
    page.Line(fmt::format(".SH {}", Escape(name + " " + below->get_name())));
    page.Line(Escape(Sentence(below->get_description())));
    for (const bool positional : {true, false}) {
      for (const CLI::Option* option : OptionsOf(*below, positional)) {
        page.Entry(Tag(*option), Text(*option));
      }
    }
  }
  AddExitStatus(page);
  page.Section("SEE ALSO");
  page.Line("\\fBpenstock\\fR(1)" + std::string(command.get_name() == "mount"
                                                    ? ", \\fBpenstock.conf\\fR(5), "
                                                      "\\fBmount.penstock\\fR(8)"
                                                    : ""));
  return page.Take();
}

std::string MainPage(const CLI::App& app) {
  Page page("penstock", 1, "ingest, cache and stream electron-microscopy detector data");
  page.Section("SYNOPSIS");
  page.Line(Bold("penstock") + " " + Italic("COMMAND") + " [" + Italic("OPTIONS") + "]");
  page.Section("DESCRIPTION");
  page.Line(
      "Converts vendors' detector files into datasets that any tool can open, keeps verified "
      "copies of them on local disks, and processes them. Every command has a page of its own.");
  std::string group;
  auto commands = CommandsOf(app);
  std::ranges::stable_sort(commands, {},
                           [](const CLI::App* command) { return command->get_group(); });
  page.Section("COMMANDS");
  for (const CLI::App* command : commands) {
    if (command->get_group() != group) {
      group = command->get_group();
      page.Line(".SS " + Escape(group));
    }
    page.Entry(Bold("penstock-" + command->get_name()) + "(1)",
               Sentence(command->get_description()));
  }
  AddArguments(app, page);
  AddExitStatus(page);
  page.Section("SEE ALSO");
  page.Line("\\fBpenstock.conf\\fR(5), \\fBmount.penstock\\fR(8)");
  return page.Take();
}

std::string ConfigPage(const CLI::App& mount) {
  Page page("penstock.conf", 5, "options of a penstock mount in a file");
  page.Section("DESCRIPTION");
  page.Line(Escape(
      "The file that penstock mount --config and the service penstock-mount@NAME "
      "(/etc/penstock/NAME.conf) read: lines NAME = VALUE, comments from # on. Values with blanks "
      "or commas stand in double quotes; switches are true or false. A name that is not known, "
      "stands twice or has a value that is refused ends the command with file and line. What the "
      "command line says goes before the file. penstock mount --print-config prints such a file."));
  page.Section("OPTIONS");
  for (const bool positional : {true, false}) {
    for (const CLI::Option* option : OptionsOf(mount, positional)) {
      const std::string name = ConfigName(*option);
      if (name.empty()) continue;
      page.Entry(
          Bold(name) + " = " +
              (IsSwitch(*option) ? Bold("true") + "|" + Bold("false") : Italic(ValueName(*option))),
          Text(*option));
    }
  }
  page.Section("EXAMPLE");
  page.Line("A whole file:");
  page.Example(
      "store = /lustre/store\n"
      "mountpoint = /mnt/penstock\n"
      "cache = /ssd/penstock\n"
      "cache-size = 2T\n"
      "metrics = 9105\n");
  page.Section("SEE ALSO");
  page.Line("\\fBpenstock\\-mount\\fR(1), \\fBmount.penstock\\fR(8)");
  return page.Take();
}

std::string MountHelperPage(const CLI::App& mount) {
  Page page("mount.penstock", 8, "mount a store of datasets through a verified cache");
  page.Section("SYNOPSIS");
  page.Line(Bold("mount -t penstock") + " " + Italic("STORE") + " " + Italic("MOUNTPOINT") + " " +
            Bold("-o") + " " + Bold("cache=") + Italic("DIR") + "[,...]");
  page.Section("DESCRIPTION");
  page.Line(Escape(
      "What mount(8) calls for file systems of the type penstock. It returns when the mount "
      "answers; umount(8) ends it. Every option of penstock mount is a mount option of the same "
      "name, with - or _. Options that mount(8), fstab(5) and systemd.mount(5) know and that say "
      "nothing to penstock are left out; a mount of penstock is read-only, without devices and "
      "set-user-id programs in any case. noexec is kept. Other options are refused, unless -s is "
      "given."));
  page.Section("OPTIONS");
  for (const CLI::Option* option : OptionsOf(mount, /*positional=*/false)) {
    std::string name = option->get_single_name();
    if (name == "help" || name == "print-config" || name == "foreground") continue;
    std::ranges::replace(name, '-', '_');
    page.Entry(IsSwitch(*option) ? Bold(name) : Bold(name + "=") + Italic(ValueName(*option)),
               Text(*option));
  }
  page.Section("EXAMPLE");
  page.Line("A line of \\fBfstab\\fR(5), mounted when it is first used:");
  page.Example(
      "/lustre/store /mnt/penstock penstock "
      "noauto,x-systemd.automount,_netdev,cache=/ssd/penstock,cache_size=2T 0 0");
  page.Section("EXIT STATUS");
  page.Line("As \\fBmount\\fR(8): 0 done, 1 wrong options, 32 the mount failed.");
  page.Section("SEE ALSO");
  page.Line("\\fBmount\\fR(8), \\fBpenstock\\-mount\\fR(1), \\fBpenstock.conf\\fR(5)");
  return page.Take();
}

}  // namespace

std::map<std::string, std::string> ManualPages(const CLI::App& app) {
  std::map<std::string, std::string> pages;
  pages["penstock.1"] = MainPage(app);
  for (const CLI::App* command : CommandsOf(app)) {
    pages["penstock-" + command->get_name() + ".1"] = CommandPage(*command);
    if (command->get_name() != "mount") continue;
    pages["penstock.conf.5"] = ConfigPage(*command);
    pages["mount.penstock.8"] = MountHelperPage(*command);
  }
  return pages;
}

}  // namespace penstock::tools
