// Tensors of random weights for models that are made in code.
#ifndef BATON_ENGINE_TESTING_RANDOM_TENSORS_H_
#define BATON_ENGINE_TESTING_RANDOM_TENSORS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/gguf/gguf_writer.h"
#include "engine/quant/types.h"
#include "engine/testing/random.h"

namespace baton {

// FNV-1a.
uint64_t HashText(absl::string_view text);

// Adds tensors to a writer. A row's weights follow from the seed, the tensor's name and the row's
// number alone, so threads may share a tensor in any way.
class RandomTensors {
 public:
  // Without `fill` tensors are holes. The writer must outlive this object, and not the other way.
  RandomTensors(uint64_t seed, bool fill, GgufWriter* writer)
      : seed_(seed), fill_(fill), writer_(writer) {}

  // Rows of dims[0] weights with the mean 0 and this root mean square.
  void AddMatrix(const std::string& name, TensorType type, std::vector<uint64_t> dims, float rms);
  // In F32, the weights that AddMatrix would give in `type`.
  void AddDequantized(const std::string& name, TensorType type, std::vector<uint64_t> dims,
                      float rms);
  // F32, uniform in [low, high).
  void AddUniform(const std::string& name, std::vector<uint64_t> dims, float low, float high);
  // F32, ascending from 1 to `last`.
  void AddRamp(const std::string& name, uint64_t size, float last);

 private:
  using MakeRow = std::function<void(Random* random, uint8_t* out)>;
  void Add(const std::string& name, TensorType type, std::vector<uint64_t> dims, MakeRow make_row);

  const uint64_t seed_;
  const bool fill_;
  GgufWriter* const writer_;
};

}  // namespace baton

#endif  // BATON_ENGINE_TESTING_RANDOM_TENSORS_H_
