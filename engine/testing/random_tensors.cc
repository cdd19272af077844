#include "engine/testing/random_tensors.h"

#include <bit>
#include <utility>

#include "absl/status/status.h"
#include "engine/quant/dequantize.h"
#include "engine/testing/random_blocks.h"

namespace baton {
namespace {

void StoreF32(float value, uint8_t* out) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  for (int i = 0; i < 4; ++i) out[i] = static_cast<uint8_t>(bits >> (8 * i));
}

}  // namespace

uint64_t HashText(absl::string_view text) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

void RandomTensors::AddMatrix(const std::string& name, TensorType type, std::vector<uint64_t> dims,
                              float rms) {
  const uint64_t row = dims[0];
  Add(name, type, std::move(dims), [type, row, rms](Random* random, uint8_t* out) {
    FillRandomBlocks(type, row, rms, random, out);
  });
}

void RandomTensors::AddDequantized(const std::string& name, TensorType type,
                                   std::vector<uint64_t> dims, float rms) {
  const uint64_t row = dims[0];
  Add(name, TensorType::kF32, std::move(dims), [type, row, rms](Random* random, uint8_t* out) {
    std::vector<uint8_t> blocks(RowBytes(type, row));
    FillRandomBlocks(type, row, rms, random, blocks.data());
    std::vector<float> weights(row);
    Dequantize(type, blocks.data(), row, weights.data());
    for (uint64_t i = 0; i < row; ++i) StoreF32(weights[i], out + 4 * i);
  });
}

void RandomTensors::AddUniform(const std::string& name, std::vector<uint64_t> dims, float low,
                               float high) {
  const uint64_t row = dims[0];
  Add(name, TensorType::kF32, std::move(dims), [row, low, high](Random* random, uint8_t* out) {
    for (uint64_t i = 0; i < row; ++i) StoreF32(random->Uniform(low, high), out + 4 * i);
  });
}

void RandomTensors::AddRamp(const std::string& name, uint64_t size, float last) {
  Add(name, TensorType::kF32, {size}, [size, last](Random*, uint8_t* out) {
    for (uint64_t i = 0; i < size; ++i) {
      const float share = size > 1 ? static_cast<float>(i) / static_cast<float>(size - 1) : 0.0f;
      StoreF32(1.0f + (last - 1.0f) * share, out + 4 * i);
    }
  });
}

void RandomTensors::Add(const std::string& name, TensorType type, std::vector<uint64_t> dims,
                        MakeRow make_row) {
  TensorFill fill;
  if (fill_) {
    const uint64_t seed = seed_ * 0x9E3779B97F4A7C15u ^ HashText(name);
    const uint64_t row_bytes = RowBytes(type, dims[0]);
    fill = [seed, row_bytes, make_row = std::move(make_row)](uint64_t first_row, uint64_t row_count,
                                                             uint8_t* out) {
      for (uint64_t row = 0; row < row_count; ++row) {
        Random random(Random(seed + first_row + row).Next());
        make_row(&random, out + row * row_bytes);
      }
      return absl::OkStatus();
    };
  }
  writer_->AddTensor(name, type, std::move(dims), std::move(fill));
}

}  // namespace baton
