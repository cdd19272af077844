// The coordinator's command line, from words to an exit code.
#ifndef BATON_COORDINATOR_CLI_RUN_MAIN_H_
#define BATON_COORDINATOR_CLI_RUN_MAIN_H_

#include <string>
#include <vector>

namespace baton {

inline constexpr int kExitOk = 0;
inline constexpr int kExitError = 1;  // that a person can cause or mend
inline constexpr int kExitUsage = 2;
inline constexpr int kExitUnknown = 3;  // inspect: sound, but not understood

// Runs what the words after the program's name ask for. Errors are one line on stderr, "error:
// ...".
int RunMain(const std::vector<std::string>& arguments);

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_RUN_MAIN_H_
