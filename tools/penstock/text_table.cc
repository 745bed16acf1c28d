#include "tools/penstock/text_table.h"

#include <algorithm>

namespace penstock::tools {

namespace {

// UTF-8 continuation bytes take no room; wide and combining characters are not considered.
size_t WidthOf(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
  }));
}

void AppendRow(const std::vector<TableColumn>& columns, const std::vector<size_t>& widths,
               const std::vector<std::string>& cells, std::string& table) {
  std::string line;
  for (size_t i = 0; i < columns.size(); ++i) {
    const std::string padding(widths[i] - WidthOf(cells[i]), ' ');
    if (i != 0) line += "  ";
    line += columns[i].right_aligned ? padding + cells[i] : cells[i] + padding;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  table += line + "\n";
}

}  // namespace

std::string WithoutControlCharacters(std::string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return text;
}

std::string FormatTable(const std::vector<TableColumn>& columns,
                        const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::vector<std::string>> cells(1);
  for (const TableColumn& column : columns) cells.front().push_back(column.title);
  cells.insert(cells.end(), rows.begin(), rows.end());
  std::vector<size_t> widths(columns.size(), 0);
  for (std::vector<std::string>& row : cells) {
    for (size_t i = 0; i < columns.size(); ++i) {
      row[i] = WithoutControlCharacters(std::move(row[i]));
      widths[i] = std::max(widths[i], WidthOf(row[i]));
    }
  }
  std::string table;
  for (const std::vector<std::string>& row : cells) AppendRow(columns, widths, row, table);
  return table;
}

}  // namespace penstock::tools
