#include "coordinator/bench/markdown_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace baton {

MarkdownTable::MarkdownTable(std::vector<Column> columns) : columns_(std::move(columns)) {
  for (Column& column : columns_)
    column.width = std::max(column.width, CharacterCount(column.name));
}

std::string MarkdownTable::Header() const {
  std::vector<std::string> names, rules;
  for (const Column& column : columns_) {
    names.push_back(column.name);
    rules.push_back(std::string(column.width, '-'));
    if (column.is_number) rules.back().back() = ':';
  }
  return absl::StrCat(Line(names), Line(rules));
}

std::string MarkdownTable::Line(const std::vector<std::string>& cells) const {
  std::string line = "|";
  for (size_t i = 0; i < cells.size(); ++i) {
    const Column& column = columns_[i];
    const std::string blanks(column.width - std::min(column.width, CharacterCount(cells[i])), ' ');
    absl::StrAppend(&line, " ", column.is_number ? blanks : "", cells[i],
                    column.is_number ? "" : blanks, " |");
  }
  return line + "\n";
}

size_t CharacterCount(const std::string& text) {
  // Continuation bytes take no place.
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

}  // namespace baton
