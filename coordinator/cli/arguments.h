// Spellings that CLI11 does not know, made into those that it does.
#ifndef BATON_COORDINATOR_CLI_ARGUMENTS_H_
#define BATON_COORDINATOR_CLI_ARGUMENTS_H_

#include <map>
#include <string>
#include <vector>

namespace baton {

struct KnownFlag {
  std::string canonical;  // "--max-tokens"
  bool takes_value = false;
};

// By name without dashes, words joined by '-': "n", "max-tokens", "ctk".
using KnownFlags = std::map<std::string, KnownFlag>;

// `-ctk f16`, `--max_tokens 4`, `-temp=0` and so on become `--canonical=value`. With its value in
// the same word, a flag may be given any text, also one that looks like a flag. What is not known
// stays as it is, and so does everything after `--`.
std::vector<std::string> NormalizeArguments(const std::vector<std::string>& arguments,
                                            const KnownFlags& flags);

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_ARGUMENTS_H_
