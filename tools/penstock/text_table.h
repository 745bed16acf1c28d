// A table of text with aligned columns, for standard output.

#ifndef PENSTOCK_TOOLS_TEXT_TABLE_H_
#define PENSTOCK_TOOLS_TEXT_TABLE_H_

#include <string>
#include <vector>

namespace penstock::tools {

struct TableColumn {
  std::string title;
  bool right_aligned = false;
};

// One line per row and one for the titles, two spaces between columns, none at the ends of lines.
// Every row has as many cells as there are columns. Widths count UTF-8 characters; control
// characters, which a file name can contain, are shown as '?'.
std::string FormatTable(const std::vector<TableColumn>& columns,
                        const std::vector<std::vector<std::string>>& rows);

// The same replacement for a single text.
std::string WithoutControlCharacters(std::string text);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_TEXT_TABLE_H_
