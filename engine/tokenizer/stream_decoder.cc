#include "engine/tokenizer/stream_decoder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "engine/base/check.h"
#include "engine/tokenizer/utf8.h"

namespace baton {

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, std::vector<std::string> stop_strings,
                             bool render_special)
    : tokenizer_(tokenizer),
      stop_strings_(std::move(stop_strings)),
      render_special_(render_special) {}

std::string StreamDecoder::Push(int32_t id) {
  if (stopped()) return "";
  const std::string piece = tokenizer_.Piece(id, render_special_);
  // A byte at a time, as one token may complete several stop strings: the first to end counts.
  for (const char byte : piece) {
    held_.push_back(byte);
    for (size_t i = 0; i < stop_strings_.size(); ++i) {
      const std::string& stop = stop_strings_[i];
      if (stop.empty() || !absl::EndsWith(held_, stop)) continue;
      stop_ = static_cast<int>(i);
      held_.resize(held_.size() - stop.size());
      return std::exchange(held_, "");
    }
  }
  const size_t ready = held_.size() - WaitingBytes();
  std::string text = held_.substr(0, ready);
  held_.erase(0, ready);
  return text;
}

size_t StreamDecoder::WaitingBytes() const {
  const absl::string_view held = held_;
  size_t waiting = IncompleteUtf8Suffix(held);
  for (const std::string& stop : stop_strings_) {
    if (stop.empty()) continue;
    for (size_t length = std::min(stop.size() - 1, held.size()); length > waiting; --length) {
      if (absl::EndsWith(held, absl::string_view(stop).substr(0, length))) waiting = length;
    }
  }
  return waiting;
}

std::string StreamDecoder::Flush() { return std::exchange(held_, ""); }

const std::string& StreamDecoder::stop_string() const {
  CHECK(stopped());
  return stop_strings_[stop_];
}

}  // namespace baton
