#include "engine/gguf/extents.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr uint64_t kBegin = 4096;

TensorInfo Tensor(std::string name, TensorType type, uint64_t columns, uint64_t rows,
                  uint64_t offset) {
  TensorInfo tensor;
  tensor.name = std::move(name);
  tensor.type = type;
  tensor.dim_count = 2;
  tensor.dims = {columns, rows, 1, 1};
  tensor.offset = kBegin + offset;
  tensor.bytes = rows * RowBytes(type, columns);
  return tensor;
}

std::vector<std::string> Messages(const std::vector<TensorInfo>& tensors, uint64_t data_bytes,
                                  Severity least = Severity::kUnknown) {
  ProblemList problems;
  CheckExtents(tensors, {kBegin, kBegin + data_bytes, 32}, &problems);
  std::vector<std::string> messages;
  for (const Problem& problem : problems.problems()) {
    EXPECT_EQ(problem.kind, ProblemKind::kExtent);
    if (problem.severity >= least) messages.emplace_back(problem.status.message());
  }
  return messages;
}

TEST(ExtentsTest, PaddingAndAnyOrderAreSound) {
  const std::vector<TensorInfo> tensors = {Tensor("b", TensorType::kF32, 3, 1, 128),
                                           Tensor("a", TensorType::kQ4_0, 64, 3, 0)};
  EXPECT_THAT(Messages(tensors, 140, Severity::kNote), IsEmpty());
  EXPECT_THAT(Messages(tensors, 160, Severity::kNote), IsEmpty());
  EXPECT_THAT(Messages({}, 0, Severity::kNote), IsEmpty());
}

// The file that TinyLlama's users stared at.
TEST(ExtentsTest, BlocksWithoutTheirScale) {
  const std::vector<TensorInfo> tensors = {
      Tensor("token_embd.weight", TensorType::kQ4_0, 2048, 32000, 0),
      Tensor("output_norm.weight", TensorType::kF32, 2048, 1, 32768000)};
  EXPECT_THAT(Messages(tensors, 32768000 + 8192),
              ElementsAre("token_embd.weight is declared Q4_0: 65,536,000 elements need 36,864,000 "
                          "bytes at 18 bytes per 32; the file gives 32,768,000, exactly 16 per 32: "
                          "blocks without their f16 scale; get the file again from its publisher"));
}

TEST(ExtentsTest, BlocksWithoutTheirScaleAtOffsetsWithThem) {
  const std::vector<TensorInfo> tensors = {Tensor("a", TensorType::kQ4_0, 32, 64, 0),
                                           Tensor("b", TensorType::kQ4_0, 32, 64, 1152)};
  EXPECT_THAT(Messages(tensors, 2048),
              ElementsAre(HasSubstr("the file gives 896: it ends at byte 6,144 of 6,400, the size "
                                    "of a file whose 128 quantized blocks lack their f16 scales")));
  // One that is merely cut gets no such advice.
  EXPECT_THAT(Messages(tensors, 2000), ElementsAre(Not(HasSubstr("scales"))));
}

TEST(ExtentsTest, BytesOfAnotherType) {
  const std::vector<TensorInfo> tensors = {Tensor("a", TensorType::kQ8_0, 32, 64, 0),
                                           Tensor("b", TensorType::kF32, 32, 1, 1280)};
  EXPECT_THAT(Messages(tensors, 1408),
              ElementsAre(HasSubstr("the file gives 1,280, exactly 20 per 32: what type Q4_1")));
  // Too much of it, too.
  const std::vector<TensorInfo> wide = {Tensor("a", TensorType::kQ4_0, 32, 64, 0),
                                        Tensor("b", TensorType::kF32, 32, 1, 2176)};
  EXPECT_THAT(Messages(wide, 2304),
              ElementsAre(HasSubstr("the file gives 2,176, exactly 34 per 32: what type Q8_0")));
}

TEST(ExtentsTest, EveryTensorBeyondTheEndIsTold) {
  const std::vector<TensorInfo> tensors = {Tensor("a", TensorType::kF32, 32, 1, 0),
                                           Tensor("b", TensorType::kF32, 32, 1, 128),
                                           Tensor("c", TensorType::kF32, 32, 1, 256)};
  EXPECT_THAT(Messages(tensors, 130),
              ElementsAre("b is declared F32: 32 elements need 128 bytes at 4 bytes each; the file "
                          "gives 2: it ends at byte 4,226 of 4,480",
                          StartsWith("c is declared F32")));
}

TEST(ExtentsTest, Overlap) {
  const std::vector<TensorInfo> tensors = {Tensor("a", TensorType::kF32, 32, 1, 0),
                                           Tensor("b", TensorType::kF32, 32, 1, 96)};
  EXPECT_THAT(Messages(tensors, 224),
              ElementsAre(HasSubstr("gives 96 before b starts at byte 4,192: they overlap")));
}

TEST(ExtentsTest, GapsAndTrailingBytesAreNotes) {
  const std::vector<TensorInfo> tensors = {Tensor("a", TensorType::kF32, 8, 1, 0),
                                           Tensor("b", TensorType::kF32, 8, 1, 64)};
  EXPECT_THAT(Messages(tensors, 1096), IsEmpty());
  EXPECT_THAT(Messages(tensors, 1096, Severity::kNote),
              ElementsAre("32 bytes between a and b belong to no tensor",
                          "1,000 bytes after b, the last tensor, belong to no tensor"));
}

}  // namespace
}  // namespace baton
