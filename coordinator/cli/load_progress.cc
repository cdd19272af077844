#include "coordinator/cli/load_progress.h"

#include <cstdio>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/cli/console.h"
#include "coordinator/cli/text_format.h"

namespace baton {
namespace {

constexpr std::chrono::milliseconds kRedrawInterval{50};
constexpr int kBarColumns = 40;  // of all bars together
constexpr int kMinBarColumns = 4;

}  // namespace

LoadProgressDisplay::LoadProgressDisplay(std::vector<std::string> workers, bool on_terminal)
    : workers_(std::move(workers)), on_terminal_(on_terminal), shares_(workers_.size()) {}

LoadProgressDisplay::~LoadProgressDisplay() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
}

void LoadProgressDisplay::Update(int stage, uint64_t bytes_done, uint64_t bytes_total) {
  if (stage < 0 || stage >= static_cast<int>(shares_.size()) || bytes_total == 0) return;
  const bool was_done = shares_[stage] >= 1;
  shares_[stage] = static_cast<double>(bytes_done) / static_cast<double>(bytes_total);
  if (on_terminal_) {
    Draw();
  } else if (shares_[stage] >= 1 && !was_done) {
    Say(absl::StrCat("stage ", stage, " (", workers_[stage], ") loaded ", HumanBytes(bytes_total)));
  }
}

double LoadProgressDisplay::share() const {
  return std::accumulate(shares_.begin(), shares_.end(), 0.0) / static_cast<double>(shares_.size());
}

std::string LoadProgressDisplay::Bars() const {
  const int columns = kBarColumns / static_cast<int>(shares_.size());
  std::string line = "loading";
  for (size_t i = 0; i < shares_.size(); ++i) {
    absl::StrAppend(&line, "  ", i);
    if (columns >= kMinBarColumns) {
      const int filled = static_cast<int>(shares_[i] * columns);
      absl::StrAppend(&line, " [", std::string(filled, '#'), std::string(columns - filled, '.'),
                      "]");
    }
    absl::StrAppend(&line, absl::StrFormat(" %3.0f%%", shares_[i] * 100));
  }
  return line;
}

void LoadProgressDisplay::Draw() {
  const auto now = std::chrono::steady_clock::now();
  if (drawn_ && now - last_drawn_ < kRedrawInterval) return;
  last_drawn_ = now;
  drawn_ = true;
  std::fputs(absl::StrCat("\r", Bars(), "\x1b[K").c_str(), stderr);
}

}  // namespace baton
