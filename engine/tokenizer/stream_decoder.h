// Token ids to text that can be printed at once.
#ifndef BATON_ENGINE_TOKENIZER_STREAM_DECODER_H_
#define BATON_ENGINE_TOKENIZER_STREAM_DECODER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "engine/tokenizer/tokenizer.h"

namespace baton {

// Holds back what the next token could change: the bytes of an unfinished UTF-8 character, and the
// longest end of the text that a stop string could begin with. What it has given out is never
// taken back. Not thread-safe: one for each generation.
class StreamDecoder {
 public:
  // `tokenizer` outlives this. Empty stop strings are ignored.
  StreamDecoder(const Tokenizer& tokenizer, std::vector<std::string> stop_strings,
                bool render_special = false);

  // The text that is safe to print after one more token; often empty. Text ends before the first
  // stop string to be completed, which is cut off; after that every call returns "".
  std::string Push(int32_t id);

  // What was held back, as it is: unfinished characters are not replaced. To be called at the end
  // of the generation.
  std::string Flush();

  // Whether a stop string ended the text, and which.
  bool stopped() const { return stop_ >= 0; }
  const std::string& stop_string() const;

 private:
  // Bytes at the end of held_ that have to wait.
  size_t WaitingBytes() const;

  const Tokenizer& tokenizer_;
  const std::vector<std::string> stop_strings_;
  const bool render_special_;
  std::string held_;
  int stop_ = -1;  // index of the stop string that was found
};

}  // namespace baton

#endif  // BATON_ENGINE_TOKENIZER_STREAM_DECODER_H_
