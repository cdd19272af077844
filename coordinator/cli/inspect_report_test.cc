#include "coordinator/cli/inspect_report.h"

#include <fstream>
#include <string>

#include "engine/gguf/gguf_writer.h"
#include "engine/testing/model_maker.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

Inspection InspectModel(const ModelOptions& options) {
  const absl::StatusOr<std::string> path = MakeModel(options, testing::TempDir());
  EXPECT_TRUE(path.ok()) << path.status();
  return Inspect(*path);
}

Inspection InspectBroken() {
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}) {
    writer.AddTensorEntry({name, {32, 64}, 2, std::nullopt, 1024, nullptr});
  }
  const std::string path = testing::TempDir() + "/broken\n.gguf";
  EXPECT_TRUE(writer.Write(path).ok());
  return Inspect(path);
}

TEST(InspectReportTest, SaysWhatTheFileIs) {
  ModelOptions options;
  options.type = TensorType::kQ4_0;
  const Inspection inspection = InspectModel(options);
  const std::string text = InspectionText(inspection, /*list_tensors=*/false);
  EXPECT_THAT(text, HasSubstr("architecture  llama, 2 layers, width 64, 4 heads, 2 KV heads"));
  EXPECT_THAT(text, HasSubstr("tokenizer     llama, 320 tokens, BOS 1 \"<s>\", EOS 2 \"</s>\"\n"));
  EXPECT_THAT(text, HasSubstr("chat template none\n"));
  EXPECT_THAT(text, HasSubstr("type  tensors  parameters"));
  EXPECT_THAT(text, Not(HasSubstr("blk.1.attn_q.weight")));
  EXPECT_THAT(text, EndsWith("\nverdict: sound\n"));
  EXPECT_THAT(InspectionText(inspection, true),
              HasSubstr("blk.1.attn_q.weight       Q4_0  64 x 64"));
}

TEST(InspectReportTest, JsonHasTensorsAndTypes) {
  const auto json = InspectionJson(InspectModel(ModelOptions()));
  EXPECT_EQ(json["verdict"], "sound");
  EXPECT_TRUE(json["problems"].empty());
  EXPECT_EQ(json["architecture"], "llama");
  EXPECT_EQ(json["shape"]["block_count"], 2);
  EXPECT_EQ(json["tensors"].size(), 3u + 2 * 9);
  EXPECT_EQ(json["tensors"][0]["name"], "token_embd.weight");
  EXPECT_EQ(json["tensors"][0]["shape"], (std::vector<int>{64, 320}));
  EXPECT_EQ(json["types"][0]["type"], "F32");
}

TEST(InspectReportTest, ValuesWhereTheyWereLookedAt) {
  Inspection inspection = InspectModel(ModelOptions());
  EXPECT_THAT(InspectionText(inspection, true), Not(HasSubstr("rms")));
  ThreadPool pool(1);
  ASSERT_TRUE(InspectValues(pool, nullptr, &inspection).ok());
  const std::string text = InspectionText(inspection, true);
  EXPECT_THAT(text, HasSubstr(", all finite\n"));
  EXPECT_THAT(text, HasSubstr("least"));
  EXPECT_GT(InspectionJson(inspection)["tensors"][0]["values"]["rms"], 0);

  Inspection broken = InspectBroken();
  ASSERT_TRUE(InspectValues(pool, nullptr, &broken).ok());
  EXPECT_TRUE(broken.values.empty());
  EXPECT_THAT(InspectionText(broken, true), HasSubstr("note: the data was not looked at"));
}

TEST(InspectReportTest, ManyAlikeAreToldOnce) {
  const Inspection inspection = InspectBroken();
  const std::string text = InspectionText(inspection, false);
  EXPECT_THAT(text, HasSubstr("problem: e is declared Q4_0"));
  EXPECT_THAT(text, Not(HasSubstr("problem: f is declared Q4_0")));
  EXPECT_THAT(text, HasSubstr("problem: 5 more like the extent ones above (--json lists them)\n"));
  EXPECT_THAT(text, HasSubstr("/broken .gguf, "));
  const auto json = InspectionJson(inspection);
  EXPECT_EQ(json["verdict"], "broken");
  EXPECT_EQ(json["problems"][9]["kind"], "extent");
  EXPECT_EQ(json["problems"][9]["tensor"], "j");
  EXPECT_GT(json["problems"][9]["offset"], 0);
  EXPECT_THAT(json["problems"][9]["message"].get<std::string>(),
              HasSubstr("exactly 16 per 32: blocks without their f16 scale"));
}

TEST(InspectReportTest, AFileThatIsNoGguf) {
  const std::string path = testing::TempDir() + "/text.gguf";
  std::ofstream(path) << "hello, world";
  const Inspection inspection = Inspect(path);
  EXPECT_THAT(InspectionText(inspection, false),
              HasSubstr("problem: not a GGUF file: it starts with 'hell', expected 'GGUF'\n"));
  EXPECT_EQ(InspectionJson(inspection)["problems"][0]["kind"], "header");
  EXPECT_TRUE(InspectionJson(inspection)["tensors"].empty());
}

}  // namespace
}  // namespace baton
