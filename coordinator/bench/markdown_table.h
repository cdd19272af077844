// Tables that people read in a terminal and paste into a page.
#ifndef BATON_COORDINATOR_BENCH_MARKDOWN_TABLE_H_
#define BATON_COORDINATOR_BENCH_MARKDOWN_TABLE_H_

#include <cstddef>
#include <string>
#include <vector>

namespace baton {

// A line at a time, so that widths are fixed before the first one.
class MarkdownTable {
 public:
  struct Column {
    std::string name;
    bool is_number = false;  // to the right
    size_t width = 0;        // in characters, at least: the widest cell to be expected
  };

  explicit MarkdownTable(std::vector<Column> columns);

  std::string Header() const;
  // One cell per column.
  std::string Line(const std::vector<std::string>& cells) const;

 private:
  std::vector<Column> columns_;
};

// Characters of UTF-8 text.
size_t CharacterCount(const std::string& text);

}  // namespace baton

#endif  // BATON_COORDINATOR_BENCH_MARKDOWN_TABLE_H_
