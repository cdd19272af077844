// How far each worker has loaded, on stderr.
#ifndef BATON_COORDINATOR_CLI_LOAD_PROGRESS_H_
#define BATON_COORDINATOR_CLI_LOAD_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace baton {

// A line of bars that is drawn again and again on a terminal; elsewhere a line per worker when it
// is done. Used by one thread at a time.
class LoadProgressDisplay {
 public:
  LoadProgressDisplay(std::vector<std::string> workers, bool on_terminal);
  ~LoadProgressDisplay();

  void Update(int stage, uint64_t bytes_done, uint64_t bytes_total);
  // How far all of them are on the average, of 1.
  double share() const;
  // "worker 0 [####....]  50%  worker 1 ...", as it is drawn.
  std::string Bars() const;

 private:
  void Draw();
  const std::vector<std::string> workers_;
  const bool on_terminal_;
  std::vector<double> shares_;  // of 1, by stage
  std::chrono::steady_clock::time_point last_drawn_;
  bool drawn_ = false;
};

}  // namespace baton

#endif  // BATON_COORDINATOR_CLI_LOAD_PROGRESS_H_
