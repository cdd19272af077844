#include "coordinator/cli/arguments.h"

#include <algorithm>

namespace baton {
namespace {

struct SplitWord {
  std::string name;  // as in KnownFlags
  bool has_value = false;
  std::string value;
};

SplitWord Split(const std::string& word) {
  SplitWord split;
  const size_t equals = word.find('=');
  const size_t start = word.rfind("--", 0) == 0 ? 2 : 1;
  split.name = word.substr(start, equals == std::string::npos ? equals : equals - start);
  std::replace(split.name.begin(), split.name.end(), '_', '-');
  split.has_value = equals != std::string::npos;
  if (split.has_value) split.value = word.substr(equals + 1);
  return split;
}

// A number, or "-" for the standard input: no flag.
bool IsValue(const std::string& word) {
  return word.size() < 2 || word[0] != '-' || (word[1] >= '0' && word[1] <= '9');
}

}  // namespace

std::vector<std::string> NormalizeArguments(const std::vector<std::string>& arguments,
                                            const KnownFlags& flags) {
  std::vector<std::string> result;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--") {
      result.insert(result.end(), arguments.begin() + static_cast<int64_t>(i), arguments.end());
      break;
    }
    const SplitWord word = IsValue(arguments[i]) ? SplitWord() : Split(arguments[i]);
    const auto flag = flags.find(word.name);
    if (flag == flags.end()) {
      result.push_back(arguments[i]);
      continue;
    }
    const bool value_follows =
        flag->second.takes_value && !word.has_value && i + 1 < arguments.size();
    if (!word.has_value && !value_follows) {
      result.push_back(flag->second.canonical);
      continue;
    }
    const std::string value = value_follows ? arguments[++i] : word.value;
    if (value.empty()) {
      // CLI11 takes `--flag=` for a flag whose value is the next word.
      result.push_back(flag->second.canonical);
      result.push_back(value);
    } else {
      result.push_back(flag->second.canonical + "=" + value);
    }
  }
  return result;
}

}  // namespace baton
