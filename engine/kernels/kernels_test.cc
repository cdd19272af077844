// Every kernel of every instruction set against its scalar twin, bit for bit.
//
// Built for the sets that this CPU has, and once more each for the AVX-512 and the AVX-VNNI source
// run in emulation.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "engine/base/thread_pool.h"
#include "engine/kernels/attention.h"
#include "engine/kernels/attention_tile.h"
#include "engine/kernels/matmul.h"
#include "engine/kernels/scalar/scalar.h"
#include "engine/quant/blocks.h"
#include "engine/quant/dequantize.h"
#include "gtest/gtest.h"
#if defined(BATON_TEST_EMULATED_AVX512)
#include "engine/kernels/avx512/kernels.h"
#elif defined(BATON_TEST_EMULATED_AVX_VNNI)
#include "engine/kernels/avx2/kernels.h"
#endif

namespace baton {
namespace {

std::vector<const Kernels*> FastKernels() {
#if defined(BATON_TEST_EMULATED_AVX512)
  return {&Avx512Kernels()};
#elif defined(BATON_TEST_EMULATED_AVX_VNNI)
  return {&AvxVnniKernels()};
#else
  std::vector<const Kernels*> all;
  for (Isa isa : SupportedIsas()) {
    if (isa != Isa::kScalar) all.push_back(&KernelsFor(isa));
  }
  return all;
#endif
}

class KernelsTest : public testing::Test {
 protected:
  float Uniform(float low, float high) {
    return low + (high - low) * static_cast<float>(random_() >> 8) * 0x1p-24f;
  }
  std::vector<float> Floats(int64_t n, float scale = 2) {
    std::vector<float> x(n);
    for (float& v : x) v = Uniform(-scale, scale);
    return x;
  }
  std::mt19937 random_{7};
  const Kernels& scalar_ = ScalarKernels();
};

TEST_F(KernelsTest, ThereIsSomethingToCompare) {
  if (FastKernels().empty()) GTEST_SKIP() << "this CPU has none of the instruction sets";
}

testing::AssertionResult SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i])) {
      return testing::AssertionFailure() << "element " << i << ": " << a[i] << " and " << b[i];
    }
  }
  return testing::AssertionSuccess();
}

// Kernels that put out[i] for i < n, of x or of x and y; x may be out.
struct Pointwise {
  const char* name;
  bool uses_y;
  void (*run)(const Kernels& k, const float* x, const float* y, int64_t n, float* out);
};

template <void (*Kernels::*kMember)(const float*, const float*, int64_t, float*)>
void RunOfTwo(const Kernels& k, const float* x, const float* y, int64_t n, float* out) {
  (k.*kMember)(x, y, n, out);
}

const Pointwise kActivations[] = {
    {"silu_multiply", true, RunOfTwo<&Kernels::silu_multiply>},
    {"gelu_multiply", true, RunOfTwo<&Kernels::gelu_multiply>},
    {"swiglu_clamped_multiply", true, RunOfTwo<&Kernels::swiglu_clamped_multiply>},
    {"gelu", false,
     [](const Kernels& k, const float* x, const float* /*y*/, int64_t n, float* out) {
       k.gelu(x, n, out);
     }},
};

const Pointwise kOtherPointwise[] = {
    {"rms_norm", true,
     [](const Kernels& k, const float* x, const float* y, int64_t n, float* out) {
       k.rms_norm(x, y, 1e-5f, n, out);
     }},
    {"layer_norm", true,
     [](const Kernels& k, const float* x, const float* y, int64_t n, float* out) {
       k.layer_norm(x, y, nullptr, 1e-5f, n, out);
     }},
    {"layer_norm with bias", true,
     [](const Kernels& k, const float* x, const float* y, int64_t n, float* out) {
       k.layer_norm(x, y, y, 1e-5f, n, out);
     }},
    {"add", true,
     [](const Kernels& k, const float* x, const float* y, int64_t n, float* out) {
       std::copy(x, x + n, out);
       k.add(out, y, n);
     }},
    {"add_scaled", true,
     [](const Kernels& k, const float* x, const float* y, int64_t n, float* out) {
       std::copy(x, x + n, out);
       k.add_scaled(out, y, 0.37f, n);
     }},
    {"scale", false,
     [](const Kernels& k, const float* x, const float* /*y*/, int64_t n, float* out) {
       std::copy(x, x + n, out);
       k.scale(out, 0.37f, n);
     }},
    {"soft_cap", false,
     [](const Kernels& k, const float* x, const float* /*y*/, int64_t n, float* out) {
       std::copy(x, x + n, out);
       k.soft_cap(out, 15, n);
     }},
};

std::vector<Pointwise> AllPointwise() {
  std::vector<Pointwise> all(std::begin(kActivations), std::end(kActivations));
  all.insert(all.end(), std::begin(kOtherPointwise), std::end(kOtherPointwise));
  return all;
}

TEST_F(KernelsTest, Pointwise) {
  std::vector<int64_t> sizes = {1, 2, 15, 16, 17, 64, 100, 576};
  for (int i = 0; i < 8; ++i) sizes.push_back(1 + random_() % 1000);
  for (const int64_t n : sizes) {
    const std::vector<float> x = Floats(n, 30), y = Floats(n, 10);
    for (const Pointwise& kernel : AllPointwise()) {
      std::vector<float> expected(n + kLanes, -1.0f);
      kernel.run(scalar_, x.data(), y.data(), n, expected.data());
      EXPECT_EQ(expected[n], -1.0f) << kernel.name << " wrote beyond the last element";
      for (const Kernels* fast : FastKernels()) {
        std::vector<float> actual(n + kLanes, -1.0f);
        kernel.run(*fast, x.data(), y.data(), n, actual.data());
        EXPECT_TRUE(SameBits(expected, actual))
            << kernel.name << " " << IsaName(fast->isa) << " n " << n;
        std::copy(x.begin(), x.end(), actual.begin());
        kernel.run(*fast, actual.data(), y.data(), n, actual.data());
        EXPECT_TRUE(SameBits(expected, actual)) << kernel.name << " in place";
      }
    }
  }
}

TEST_F(KernelsTest, Rope) {
  for (const Kernels* fast : FastKernels()) {
    for (const auto rope : {&Kernels::rope_adjacent, &Kernels::rope_halves}) {
      for (const int64_t pairs : {1, 2, 15, 16, 17, 64, 100, 576}) {
        const std::vector<float> sine = Floats(pairs, 1), cosine = Floats(pairs, 1);
        std::vector<float> expected = Floats(2 * pairs + kLanes), actual = expected;
        (scalar_.*rope)(expected.data(), cosine.data(), sine.data(), pairs);
        (fast->*rope)(actual.data(), cosine.data(), sine.data(), pairs);
        EXPECT_TRUE(SameBits(expected, actual)) << IsaName(fast->isa) << " pairs " << pairs;
      }
    }
  }
}

TEST_F(KernelsTest, ActivationsAtTheEndsOfTheirRange) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {0.0f,  -0.0f,  1e-30f,   87.5f, -87.5f, 200,  -200,
                                1e30f, -1e30f, infinity, 88.0f, -88.3f, 7.0f, 6.9999995f};
  const std::vector<float> ones(x.size(), 1.0f);
  for (const Pointwise& kernel : kActivations) {
    const bool is_clamped = kernel.name == std::string("swiglu_clamped_multiply");
    std::vector<float> expected(x.size()), actual(x.size());
    kernel.run(scalar_, x.data(), ones.data(), x.size(), expected.data());
    EXPECT_EQ(expected[0], 0.0f);
    EXPECT_NEAR(expected[5], is_clamped ? 14.0f : 200.0f, 1e-4);
    EXPECT_EQ(expected[6], 0.0f);
    for (const Kernels* fast : FastKernels()) {
      kernel.run(*fast, x.data(), ones.data(), x.size(), actual.data());
      EXPECT_TRUE(SameBits(expected, actual)) << kernel.name << " " << IsaName(fast->isa);
    }
  }
}

TEST_F(KernelsTest, NoNanIsHidden) {
  std::vector<const Kernels*> all = FastKernels();
  all.push_back(&scalar_);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const int64_t n = 19;
  for (const Kernels* kernels : all) {
    for (const Pointwise& kernel : AllPointwise()) {
      for (const auto& [in_y, at] :
           {std::pair(false, 0), {false, 5}, {false, 18}, {true, 3}, {true, 17}}) {
        if (in_y && !kernel.uses_y) continue;
        std::vector<float> x = Floats(n), y = Floats(n), out(n);
        std::vector<float>& input = in_y ? y : x;
        input[at] = nan;
        kernel.run(*kernels, x.data(), y.data(), n, out.data());
        EXPECT_TRUE(std::isnan(out[at])) << kernel.name << " " << IsaName(kernels->isa);
      }
    }
  }
}

// Against double, so that scalar and fast can't be wrong alike.
TEST_F(KernelsTest, ActivationsAreWhatTheyAreCalled) {
  const int64_t n = 2000;
  const std::vector<float> gate = Floats(n, 12), up = Floats(n, 12);
  std::vector<float> gelu(n), gelu_multiply(n), swiglu(n), capped = gate;
  scalar_.gelu(gate.data(), n, gelu.data());
  scalar_.gelu_multiply(gate.data(), up.data(), n, gelu_multiply.data());
  scalar_.swiglu_clamped_multiply(gate.data(), up.data(), n, swiglu.data());
  scalar_.soft_cap(capped.data(), 5, n);
  for (int64_t i = 0; i < n; ++i) {
    const double x = gate[i], y = std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x);
    const double exact = 0.5 * x * (1 + std::tanh(y));
    EXPECT_NEAR(gelu[i], exact, 1e-6 * (1 + std::abs(exact))) << x;
    EXPECT_NEAR(gelu_multiply[i], exact * up[i], 1e-6 * (1 + std::abs(exact * up[i]))) << x;
    const double g = std::min(x, 7.0), u = std::clamp<double>(up[i], -7, 7);
    const double gated = g / (1 + std::exp(-1.702 * g)) * (u + 1);
    EXPECT_NEAR(swiglu[i], gated, 1e-6 * (1 + std::abs(gated))) << x;
    EXPECT_NEAR(capped[i], 5 * std::tanh(x / 5), 2e-6) << x;
  }
}

TEST_F(KernelsTest, LayerNormHasMeanAndVariance) {
  const int64_t n = 500;
  const std::vector<float> weight = Floats(n), bias = Floats(n);
  std::vector<float> x = Floats(n), out(n);
  for (float& v : x) v += 100;
  scalar_.layer_norm(x.data(), weight.data(), bias.data(), 1e-3f, n, out.data());
  double mean = 0, variance = 0;
  for (const float v : x) mean += v / static_cast<double>(n);
  for (const float v : x) variance += (v - mean) * (v - mean) / n;
  for (int64_t i = 0; i < n; ++i) {
    EXPECT_NEAR(out[i], (x[i] - mean) / std::sqrt(variance + 1e-3) * weight[i] + bias[i], 1e-4);
  }
}

TEST_F(KernelsTest, ToHalf) {
  std::vector<float> x = Floats(1000, 3);
  for (float special :
       {0.0f, -0.0f, 65504.0f, 65519.9f, 65520.0f, 1e9f, 6e-8f, 3e-8f, 2.9e-8f, 6.1e-5f}) {
    x.push_back(special);
    x.push_back(-special);
  }
  std::vector<uint16_t> expected(x.size()), actual(x.size());
  scalar_.to_half(x.data(), x.size(), expected.data());
  for (const Kernels* fast : FastKernels()) {
    fast->to_half(x.data(), x.size(), actual.data());
    EXPECT_EQ(expected, actual);
  }
}

struct Quantized {
  explicit Quantized(int64_t columns) : blocks(columns / 32), rows{blocks.data(), columns / 32} {}
  std::vector<QuantizedBlock> blocks;
  QuantizedRows rows;
};

TEST_F(KernelsTest, QuantizeRow) {
  std::vector<float> x = Floats(32 * 40, 5);
  for (int i = 0; i < 32; ++i) {
    x[32 + i] = 0;                                     // nothing at all
    x[64 + i] = 1e-38f;                                // too small for an inverse
    x[96 + i] = static_cast<float>(i) - 15.5f;         // ties
    x[128 + i] = 127.0f * (i % 2 == 0 ? 0.5f : 1.5f);  // exact halves
    x[160 + i] = i == 7 ? -3e38f : 1e-30f;             // one value, and nothing beside it
  }
  for (const int64_t count : {1, 2, 3, 5, 33, 40}) {
    Quantized expected(32 * count);
    scalar_.quantize_row(x.data(), expected.rows, 0);
    for (const Kernels* fast : FastKernels()) {
      Quantized actual(32 * count);
      fast->quantize_row(x.data(), actual.rows, 0);
      for (int64_t i = 0; i < count; ++i) {
        EXPECT_EQ(std::memcmp(&expected.blocks[i], &actual.blocks[i], sizeof(QuantizedBlock)), 0)
            << i << " of " << count;
      }
    }
  }
}

// The sum of squared errors of a row.
double SquaredError(const std::vector<float>& x, const Quantized& q) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const QuantizedBlock& block = q.blocks[i / 32];
    const double error = double{x[i]} - double{block.scale} * block.values[i % 32];
    sum += error * error;
  }
  return sum;
}

TEST_F(KernelsTest, QuantizeRowIsCloserThanTheLargestValueOverOneHundredTwentySeven) {
  const std::vector<float> x = Floats(32 * 1000, 11);
  Quantized best(x.size()), plain(x.size());
  scalar_.quantize_row(x.data(), best.rows, 0);
  for (size_t b = 0; b < plain.blocks.size(); ++b) {
    float max = 0;
    for (int i = 0; i < 32; ++i) max = std::max(max, std::abs(x[32 * b + i]));
    plain.blocks[b].scale = max / 127;
    for (int i = 0; i < 32; ++i) {
      plain.blocks[b].values[i] = static_cast<int8_t>(std::nearbyintf(x[32 * b + i] * (127 / max)));
    }
  }
  EXPECT_LT(SquaredError(x, best), 0.87 * SquaredError(x, plain));
}

TEST_F(KernelsTest, QuantizeRowShowsWhatIsNotFinite) {
  std::vector<const Kernels*> all = FastKernels();
  all.push_back(&scalar_);
  for (const Kernels* kernels : all) {
    for (float bad :
         {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
          std::numeric_limits<float>::quiet_NaN()}) {
      std::vector<float> x(64, 1.0f);
      x[40] = bad;
      Quantized q(64);
      kernels->quantize_row(x.data(), q.rows, 0);
      EXPECT_EQ(q.blocks[0].scale, 1.0f / 127.0f);
      EXPECT_TRUE(std::isnan(q.blocks[1].scale));
      EXPECT_EQ(q.blocks[1].values[8], 0);
    }
  }
}

// Rows of random blocks whose scales are numbers of ordinary size.
std::vector<uint8_t> RandomWeights(TensorType type, int64_t rows, int64_t columns,
                                   std::mt19937& random) {
  std::vector<uint8_t> bytes(rows * RowBytes(type, columns));
  if (type == TensorType::kF64) {
    for (size_t i = 0; i < bytes.size(); i += 8) {
      const double w = (static_cast<double>(random()) * 0x1p-32 - 0.5) * 0.2;
      std::memcpy(&bytes[i], &w, 8);
    }
    return bytes;
  }
  if (type == TensorType::kF32) {
    for (size_t i = 0; i < bytes.size(); i += 4) {
      const float w = (static_cast<float>(random() >> 8) * 0x1p-24f - 0.5f) * 0.2f;
      std::memcpy(&bytes[i], &w, 4);
    }
    return bytes;
  }
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  if (type == TensorType::kMXFP4) {  // an exponent has no ordinary size
    for (size_t i = 0; i < bytes.size(); i += sizeof(BlockMXFP4)) bytes[i] = 0x70 | bytes[i] % 16;
  }
  for (;;) {
    const auto bad = FindNonFinite(type, bytes.data(), rows * columns);
    if (!bad) return bytes;
    if (type == TensorType::kIQ1_M) {
      PackIQ1MScale(0x2211, &bytes[bad->byte]);
    } else {
      bytes[bad->byte] = 0x11;
      bytes[bad->byte + 1] = 0x22;
    }
  }
}

std::vector<TensorType> WeightTypes() {
  std::vector<TensorType> types;
  for (const TypeTraits& traits : AllTypeTraits()) {
    if (traits.is_weight) types.push_back(traits.type);
  }
  return types;
}

TEST_F(KernelsTest, MatMulOfEveryType) {
  ThreadPool one(1), two(2);
  for (const TensorType type : WeightTypes()) {
    const int64_t columns = std::max<int64_t>(96, 2 * TraitsOf(type).block_elements);
    // 16-bit types take whatever bit pattern comes: magnitudes differ widely, and that is welcome.
    const int64_t out_rows = 70, x_rows = 15;
    const std::vector<uint8_t> bytes = RandomWeights(type, out_rows, columns, random_);
    const std::vector<float> x = Floats(x_rows * columns);
    for (ActivationMode mode : {ActivationMode::kInt8, ActivationMode::kF32}) {
      auto w = PackedMatrix::Create(type, out_rows, columns, mode);
      ASSERT_TRUE(w.ok());
      w->PackRows(0, 48, bytes.data());
      w->PackRows(48, 22, bytes.data() + 48 * RowBytes(type, columns));
      const auto product = [&](const Kernels& kernels, ThreadPool& pool, int64_t rows) {
        std::vector<float> out(rows * (out_rows + 3), -1.0f);
        MatMulInput input;
        input.Set(kernels, pool, x.data(), rows, columns, NeedsQuantizedInput(*w));
        MatMul(kernels, pool, *w, input, out.data(), out_rows + 3);
        return out;
      };
      for (int64_t rows : {1, 2, 3, 4, 5, 6, 7, 15}) {
        const std::vector<float> expected = product(scalar_, one, rows);
        EXPECT_EQ(expected[out_rows], -1.0f) << "wrote beyond the row";
        for (const Kernels* fast : FastKernels()) {
          EXPECT_TRUE(SameBits(expected, product(*fast, two, rows)))
              << TraitsOf(type).name << " " << IsaName(fast->isa) << " rows " << rows << " mode "
              << static_cast<int>(mode);
        }
      }
    }
  }
}

TEST_F(KernelsTest, RowsComeBackFromPackedMatrices) {
  for (const TensorType type : WeightTypes()) {
    const int64_t columns = 256, rows = 20;
    const std::vector<uint8_t> bytes = RandomWeights(type, rows, columns, random_);
    auto w = PackedMatrix::Create(type, rows, columns, ActivationMode::kInt8);
    ASSERT_TRUE(w.ok());
    w->PackRows(0, rows, bytes.data());
    for (int64_t row : {0, 15, 16, 19}) {
      std::vector<float> expected(columns), actual(columns);
      Dequantize(type, bytes.data() + row * RowBytes(type, columns), columns, expected.data());
      w->DequantizeRow(row, actual.data());
      EXPECT_TRUE(SameBits(expected, actual)) << TraitsOf(type).name << " row " << row;
    }
  }
}

// Its outputs are those of the whole matrix, also where its last group has rows of the rest.
TEST_F(KernelsTest, TheFirstRowsOfAMatrixAreAMatrix) {
  ThreadPool pool(2);
  for (const TensorType type : {TensorType::kQ4_0, TensorType::kF16}) {
    const int64_t columns = 256, rows = 50, x_rows = 3;
    const std::vector<uint8_t> bytes = RandomWeights(type, rows, columns, random_);
    auto w = PackedMatrix::Create(type, rows, columns, ActivationMode::kInt8);
    ASSERT_TRUE(w.ok());
    w->PackRows(0, rows, bytes.data());
    const std::vector<float> x = Floats(x_rows * columns);
    MatMulInput input;
    input.Set(scalar_, pool, x.data(), x_rows, columns, true);
    std::vector<float> whole(x_rows * rows);
    MatMul(scalar_, pool, *w, input, whole.data(), rows);
    for (const int64_t some : {1, 16, 37, 50}) {
      const PackedMatrix first = w->FirstRows(some);
      EXPECT_EQ(first.rows(), some);
      std::vector<float> out(x_rows * rows, -1);
      MatMul(scalar_, pool, first, input, out.data(), rows);
      for (int64_t i = 0; i < x_rows * rows; ++i) {
        EXPECT_EQ(out[i], i % rows < some ? whole[i] : -1) << some << " rows, " << i;
      }
    }
  }
}

// A product in int8 stays near the exact one: guards against scalar and fast being wrong alike.
TEST_F(KernelsTest, Int8ProductIsNearTheExactOne) {
  ThreadPool pool(1);
  for (const TensorType type : WeightTypes()) {
    if (TraitsOf(type).block_elements == 1) continue;
    const int64_t columns = 512, rows = 16;
    const std::vector<uint8_t> bytes = RandomWeights(type, rows, columns, random_);
    const std::vector<float> x = Floats(columns);
    auto w = PackedMatrix::Create(type, rows, columns, ActivationMode::kInt8);
    ASSERT_TRUE(w.ok());
    w->PackRows(0, rows, bytes.data());
    MatMulInput input;
    input.Set(scalar_, pool, x.data(), 1, columns, true);
    std::vector<float> out(rows), row(columns);
    MatMul(scalar_, pool, *w, input, out.data(), rows);
    for (int64_t j = 0; j < rows; ++j) {
      w->DequantizeRow(j, row.data());
      double exact = 0, size = 0;
      for (int64_t i = 0; i < columns; ++i) {
        exact += static_cast<double>(row[i]) * x[i];
        size += std::pow(static_cast<double>(row[i]) * x[i], 2);
      }
      EXPECT_NEAR(out[j], exact, 0.03 * std::sqrt(size) + 1e-12)
          << TraitsOf(type).name << " row " << j;
    }
  }
}

struct AttentionCase {
  KvType type;
  int heads, kv_heads, key_size, value_size;
  int window = 0;
  float soft_cap = 0;
  bool sinks = false;
  bool latent = false;
};

// The table of a sequence whose row at `position` is the first to come: without the blocks that no
// row sees any more.
std::vector<const uint8_t*> BlocksInWindow(std::vector<const uint8_t*> blocks, int window,
                                           int64_t position) {
  const int64_t gone = window == 0 ? 0 : (position - window + 1) / kKvBlockTokens;
  for (int64_t i = 0; i < gone; ++i) blocks[i] = nullptr;
  return blocks;
}

TEST_F(KernelsTest, AttentionOverChunksTypesAndThreads) {
  const int64_t positions = 3 * kAttentionBlock + 21;
  for (const AttentionCase& c :
       std::vector<AttentionCase>{{KvType::kF16, 6, 2, 64, 64},
                                  {KvType::kF32, 3, 3, 24, 20},
                                  {KvType::kF16, 5, 1, 40, 72},
                                  {KvType::kQ8_0, 4, 2, 64, 32},
                                  {KvType::kF16, 3, 3, 20, 36, 1},
                                  {KvType::kF16, 6, 2, 64, 64, 5, 2},
                                  {KvType::kF32, 4, 1, 24, 20, 40},
                                  {KvType::kF16, 2, 2, 32, 32, 128, 0, true},
                                  {KvType::kQ8_0, 8, 1, 32, 32, 90, 3, true},
                                  {KvType::kF32, 5, 1, 16, 72, 0, 1, true},
                                  {KvType::kF32, 4, 1, 24, 16, 0, 0, false, true},
                                  {KvType::kF16, 3, 1, 216, 200, 0, 0, false, true},
                                  {KvType::kF16, 20, 1, 40, 24, 50, 2, true, true},
                                  {KvType::kQ8_0, 6, 2, 96, 64, 0, 0, false, true}}) {
    const std::vector<float> query = Floats(positions * c.heads * c.key_size);
    const std::vector<float> key = Floats(positions * c.kv_heads * c.key_size);
    std::vector<float> value = Floats(positions * c.kv_heads * c.value_size);
    const std::vector<float> sinks = Floats(c.heads);
    if (c.latent) {
      for (int64_t i = 0; i < positions * c.kv_heads; ++i) {
        std::copy_n(&key[i * c.key_size], c.value_size, &value[i * c.value_size]);
      }
    }
    const auto attend = [&](const Kernels& kernels, ThreadPool& pool, int64_t chunk, bool latent) {
      const KvLayout layout = {c.type, c.kv_heads, c.key_size, c.value_size, latent};
      // Blocks in no order, full of NaN before they are written.
      const int64_t block_count = (positions + kKvBlockTokens - 1) / kKvBlockTokens;
      std::vector<uint8_t> cache(block_count * layout.LayerBytes() + 64, 0xff);
      std::vector<const uint8_t*> blocks;
      for (int64_t i = 0; i < block_count; ++i) {
        blocks.push_back(cache.data() + (i * 5 + 3) % block_count * layout.LayerBytes());
      }
      std::vector<float> out(positions * c.heads * c.value_size);
      AttentionScratch scratch;
      for (int64_t first = 0; first < positions; first += chunk) {
        const int64_t rows = std::min(chunk, positions - first);
        for (int64_t p = first; p < first + rows; ++p) {
          StoreKeyValue(kernels, layout, const_cast<uint8_t*>(blocks[p / kKvBlockTokens]),
                        p % kKvBlockTokens, &key[p * c.kv_heads * c.key_size],
                        latent ? nullptr : &value[p * c.kv_heads * c.value_size]);
        }
        AttentionShape shape;
        shape.layout = layout;
        shape.query_head_count = c.heads;
        shape.scale = 0.3f;
        shape.window = c.window;
        shape.soft_cap = c.soft_cap;
        if (c.sinks) shape.sinks = sinks.data();
        const std::vector<const uint8_t*> seen = BlocksInWindow(blocks, c.window, first);
        AttentionRows input;
        input.row_count = rows;
        input.first_position = first;
        input.query = &query[first * c.heads * c.key_size];
        input.out = &out[first * c.heads * c.value_size];
        input.blocks = seen.data();
        Attend(kernels, pool, shape, {&input, 1}, scratch);
      }
      return out;
    };
    ThreadPool one(1), three(3);
    // A latent gives what K and V give where that part of K is stored once more as V.
    const std::vector<float> expected = attend(scalar_, one, positions, false);
    for (float v : expected) ASSERT_TRUE(std::isfinite(v));
    EXPECT_TRUE(SameBits(expected, attend(scalar_, three, 50, c.latent)));
    for (const Kernels* fast : FastKernels()) {
      for (int64_t chunk : {int64_t{1}, int64_t{7}, int64_t{64}, positions}) {
        EXPECT_TRUE(SameBits(expected, attend(*fast, three, chunk, c.latent)))
            << IsaName(fast->isa) << " chunk " << chunk << " " << KvTypeName(c.type) << " window "
            << c.window << " latent " << c.latent;
      }
    }
  }
}

class LongAttentionTest : public KernelsTest, public testing::WithParamInterface<KvLayout> {};
INSTANTIATE_TEST_SUITE_P(Layouts, LongAttentionTest,
                         testing::Values(KvLayout{KvType::kF16, 2, 32, 40},
                                         KvLayout{KvType::kF16, 2, 88, 72, true}));

// Few rows that see many positions: tiles are divided among threads, and their partials merged.
TEST_P(LongAttentionTest, IsDividedAmongThreads) {
  const KvLayout layout = GetParam();
  const int heads = 6;
  const int64_t lengths[] = {21 * kAttentionBlock + 5, 3, 9 * kAttentionBlock};
  const int64_t row_counts[] = {3, 1, 4};
  std::vector<std::vector<uint8_t>> caches;
  std::vector<std::vector<const uint8_t*>> blocks;
  for (const int64_t length : lengths) {
    const int64_t block_count = (length + kKvBlockTokens - 1) / kKvBlockTokens;
    std::vector<uint8_t>& cache = caches.emplace_back(block_count * layout.LayerBytes() + 64, 0xff);
    std::vector<const uint8_t*>& table = blocks.emplace_back();
    for (int64_t i = 0; i < block_count; ++i) {
      table.push_back(cache.data() + i * layout.LayerBytes());
    }
    for (int64_t p = 0; p < length; ++p) {
      StoreKeyValue(scalar_, layout, const_cast<uint8_t*>(table[p / kKvBlockTokens]),
                    p % kKvBlockTokens, Floats(2 * layout.key_size).data(),
                    Floats(2 * layout.value_size).data());
    }
  }
  const std::vector<float> query = Floats(8 * heads * layout.key_size), sinks = Floats(heads);
  const auto attend = [&](const Kernels& kernels, int threads, int window) {
    std::vector<std::vector<const uint8_t*>> seen;
    std::vector<float> out(8 * heads * layout.value_size);
    std::vector<AttentionRows> sequences;
    int64_t row = 0;
    for (size_t i = 0; i < blocks.size(); ++i) {
      seen.push_back(BlocksInWindow(blocks[i], window, lengths[i] - row_counts[i]));
      sequences.push_back({row_counts[i], lengths[i] - row_counts[i],
                           &query[row * heads * layout.key_size],
                           &out[row * heads * layout.value_size], seen.back().data()});
      row += row_counts[i];
    }
    ThreadPool pool(threads);
    AttentionScratch scratch;
    AttentionShape shape = {layout, heads, 0.3f};
    shape.window = window;
    shape.sinks = sinks.data();
    Attend(kernels, pool, shape, sequences, scratch);
    EXPECT_EQ(scratch.merges.size(), threads == 1 ? 0u : 4u) << "tiles of the long sequences";
    return out;
  };
  for (const int window : {0, 600}) {
    const std::vector<float> expected = attend(scalar_, 1, window);
    for (float v : expected) ASSERT_TRUE(std::isfinite(v));
    EXPECT_TRUE(SameBits(expected, attend(scalar_, 5, window)));
    for (const Kernels* fast : FastKernels()) {
      for (int threads : {2, 3}) {
        EXPECT_TRUE(SameBits(expected, attend(*fast, threads, window))) << IsaName(fast->isa);
      }
    }
  }
}

// Against softmax in double, so that scalar and fast can't be wrong alike.
TEST_F(KernelsTest, AttentionIsSoftmax) {
  const int size = 32;
  const int64_t positions = 150;
  const KvLayout layout = {KvType::kF32, 1, size, size};
  const std::vector<float> query = Floats(size), key = Floats(positions * size),
                           value = Floats(positions * size);
  std::vector<uint8_t> cache(5 * layout.LayerBytes() + 64);
  std::vector<const uint8_t*> blocks;
  for (int i = 0; i < 5; ++i) blocks.push_back(cache.data() + i * layout.LayerBytes());
  for (int64_t p = 0; p < positions; ++p) {
    StoreKeyValue(scalar_, layout, const_cast<uint8_t*>(blocks[p / kKvBlockTokens]),
                  p % kKvBlockTokens, &key[p * size], &value[p * size]);
  }
  std::vector<float> out(size);
  const float sink = 1.5f;
  AttentionShape shape;
  shape.layout = layout;
  shape.query_head_count = 1;
  shape.scale = 0.5f;
  AttentionRows input;
  input.row_count = 1;
  input.first_position = positions - 1;
  input.query = query.data();
  input.out = out.data();
  input.blocks = blocks.data();
  ThreadPool pool(1);
  AttentionScratch scratch;
  for (const bool variant : {false, true}) {
    if (variant) {
      shape.window = 70;
      shape.soft_cap = 3;
      shape.sinks = &sink;
    }
    Attend(scalar_, pool, shape, {&input, 1}, scratch);
    std::vector<double> p(positions), exact(size);
    double sum = variant ? std::exp(sink) : 0;
    for (int64_t i = variant ? positions - shape.window : 0; i < positions; ++i) {
      double score = 0;
      for (int d = 0; d < size; ++d) score += 0.5 * query[d] * key[i * size + d];
      if (variant) score = shape.soft_cap * std::tanh(score / shape.soft_cap);
      sum += p[i] = std::exp(score);
    }
    for (int64_t i = 0; i < positions; ++i) {
      for (int d = 0; d < size; ++d) exact[d] += p[i] / sum * value[i * size + d];
    }
    for (int d = 0; d < size; ++d) EXPECT_NEAR(out[d], exact[d], 1e-5);
  }
}

// Every float counts once: a probe that skips some would find more bandwidth than there is.
TEST_F(KernelsTest, ProbeReadsAll) {
  std::vector<const Kernels*> all = FastKernels();
  all.push_back(&scalar_);
  AlignedBuffer buffer(kMaxProbeStreams * 2 * kProbeReadFloats * sizeof(float));
  float* data = buffer.as<float>();
  for (const Kernels* kernels : all) {
    for (int streams : {1, 2, 4}) {
      const int64_t count = streams * 2 * kProbeReadFloats;
      for (int64_t i = 0; i < count; ++i) {
        data[i] = 2;
        EXPECT_EQ(kernels->probe.read_max(data, count, streams, i % 2 * 64), 2.0f);
        data[i] = 1;
      }
    }
  }
}

TEST_F(KernelsTest, ProbesCountWhatTheyDo) {
  for (const Kernels* fast : FastKernels()) {
    for (const auto run : {fast->probe.dot_int8, fast->probe.fma_f32}) {
      if (run == nullptr) continue;
      EXPECT_GT(run(1), 0);
      EXPECT_EQ(run(10), 10 * run(1));
    }
  }
}

}  // namespace
}  // namespace baton
